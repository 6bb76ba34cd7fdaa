"""What a benchmark measures, and how it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Speed:
    """One measurement."""

    what: str
    per_second: float


def seconds(step: Callable[..., object], arguments: Iterable[object]) -> float:
    """Return how long it takes to call `step` with each argument in turn."""
    start = time.perf_counter()
    for argument in arguments:
        step(argument)
    return time.perf_counter() - start


def table(title: str, unit: str, speeds: Sequence[Speed]) -> Table:
    """Lay out speeds, each with its ratio to the first."""
    result = Table(title=title, title_justify="left", min_width=72)
    for heading in ("", unit, "ratio"):
        result.add_column(heading, justify="right" if heading else "left")
    for speed in speeds:
        result.add_row(speed.what, f"{speed.per_second:,.0f}", f"{speed.per_second / speeds[0].per_second:.2f}")
    return result
