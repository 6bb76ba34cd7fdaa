"""What the report's sections are made of: rows, pictures and tables, as its templates take them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A table's row. `kind`: `mean` over training seeds, `seed` (one of several), `single` or `control`."""

    kind: str
    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A plot, as SVG that is safe to put in the page as it is, and the table behind it."""

    caption: str
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """A plain table of the page."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
