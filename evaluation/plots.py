"""The report's pictures, as SVG that lives inside the page: text stays text, and takes the page's colours and fonts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from itertools import cycle, islice

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from envs.breakout import BOTH_WALLS, FIRST_WALL
from evaluation.statistics import HUMAN_SCORE

INK = "#010203"  # stands for the page's own text colour until the picture is in the page
MARKS = {"supervised": ("#2f74d0", "o"), "unsupervised": ("#c2661a", "s"), "reinforcement": ("#2e8b57", "^")}
CONTROL_MARK = ("#7b8494", "D")
OTHER_MARKS = (
    CONTROL_MARK, ("#8e44ad", "v"), ("#b5344a", "P"), ("#20808d", "X"), ("#8a6d00", "p"), ("#3f4d63", "h"),
)  # fmt: skip
SHADES = ("#440154", "#3b528b", "#21918c", "#5ec962", "#d8b70a")  # dark is little
TICKS = (0, 10, 50, 100, 200, FIRST_WALL, BOTH_WALLS)


@dataclass(frozen=True)
class Strip:
    """One row of dots: an agent's judged games, or (`large`) the means of an arm's training seeds.

    `interval` is that of the mean, or None where games repeat.
    """

    name: str
    label: str
    scores: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    large: bool = False


@dataclass(frozen=True)
class Line:
    """One run's learning curve."""

    name: str
    label: str
    x: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class BudgetLine:
    """One method's scores: for each budget `x` those of its training seeds and the interval of their mean."""

    label: str
    x: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    intervals: tuple[tuple[float, float] | None, ...]


def dots(strips: Sequence[Strip], title: str, description: str, key: str) -> str:
    """Draw every game as a dot, a row per agent, with the mean and its interval; return `<svg>`."""

    def draw(axes: Axes) -> None:
        for row, strip in enumerate(strips):
            colour, marker = MARKS.get(strip.name, CONTROL_MARK)
            lift = np.linspace(-0.22, 0.22, len(strip.scores))
            size, alpha = (60, 0.9) if strip.large else (18, 0.55)
            axes.scatter(strip.scores, row + lift, s=size, c=colour, marker=marker, alpha=alpha, linewidths=0)
            if strip.interval is not None:
                axes.plot(strip.interval, [row + 0.36] * 2, color=INK, linewidth=2, solid_capstyle="butt")
            axes.plot(strip.mean, row + 0.36, marker="|", color=INK, markersize=10, markeredgewidth=2)
        axes.set_yticks(range(len(strips)), [strip.label for strip in strips])
        axes.set_ylim(len(strips) - 0.4, -0.9)
        _scores_along(axes, "x")
        axes.set_xlabel("score (square-root scale)")

    return _svg(draw, (8.6, 1.1 + 0.52 * len(strips)), title, description, key)


def curves(lines: Sequence[Line], x_label: str, title: str, description: str, key: str) -> str:
    """Draw learning curves, a line per run; return `<svg>`."""

    def draw(axes: Axes) -> None:
        others = list(dict.fromkeys(line.name for line in lines if line.name not in MARKS))
        marks = MARKS | dict(zip(others, cycle(OTHER_MARKS), strict=False))
        for line in lines:
            colour, marker = marks[line.name]
            x, scores = _thinned(line.x), _thinned(line.scores)
            # One entry a name: its training seeds look alike.
            label = line.label if line.label not in axes.get_legend_handles_labels()[1] else None
            axes.plot(x, scores, color=colour, marker=marker, markersize=3.5, linewidth=1.3, alpha=0.85, label=label)
        axes.set_xlim(left=0)
        _scores_along(axes, "y")
        axes.set_xlabel(x_label)
        axes.set_ylabel("score (square-root scale)")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)

    return _svg(draw, (8.6, 4.0), title, description, key)


def budgets(lines: Sequence[BudgetLine], x_label: str, title: str, description: str, key: str) -> str:
    """Draw scores against budgets that grow tenfold: a line of means, a dot per training seed; return `<svg>`."""

    def draw(axes: Axes) -> None:
        for line, (colour, marker) in zip(lines, _marks(len(lines)), strict=True):
            axes.plot(
                line.x, [np.mean(scores) for scores in line.scores], color=colour, linewidth=1.6, label=line.label
            )
            for x, scores, interval in zip(line.x, line.scores, line.intervals, strict=True):
                axes.scatter([x] * len(scores), scores, s=22, c=colour, marker=marker, alpha=0.75, linewidths=0)
                if interval is not None:
                    axes.plot([x, x], interval, color=colour, linewidth=1.2, alpha=0.7)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))  # by default mathematics, which SVG shows raw
        axes.xaxis.set_minor_formatter(NullFormatter())
        _scores_along(axes, "y")
        axes.set_xlabel(x_label)
        axes.set_ylabel("score (square-root scale)")
        axes.legend(loc="upper left", frameon=False, fontsize=9)

    return _svg(draw, (8.6, 4.4), title, description, key)


def chart(
    points: Sequence[tuple[float, float]], values: Sequence[float], title: str, description: str, key: str
) -> str:
    """Draw states on a map, coloured by a value in five steps with as many states each; return `<svg>`."""

    def draw(axes: Axes) -> None:
        at, value = np.asarray(points), np.asarray(values)
        edges = np.quantile(value, np.linspace(0, 1, len(SHADES) + 1))
        step = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(SHADES) - 1)
        for number, colour in enumerate(SHADES):
            here = at[step == number]
            label = f"{edges[number]:.2g} to {edges[number + 1]:.2g}"
            axes.scatter(here[:, 0], here[:, 1], s=12, c=colour, edgecolors=INK, linewidths=0.3, label=label)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9, markerscale=2, title=title)

    return _svg(draw, (8.6, 4.4), title, description, key)


def _marks(count: int) -> list[tuple[str, str]]:
    return list(islice(cycle([*MARKS.values(), *OTHER_MARKS]), count))


def _scores_along(axes: Axes, which: str) -> None:
    """Give one axis the scale of scores, and the lines that people know."""
    scale = {"functions": (lambda s: np.sqrt(np.maximum(s, 0)), np.square)}
    if which == "x":
        axes.set_xscale("function", **scale)
        axes.set_xlim(0, BOTH_WALLS + 30)
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        for at, name in ((HUMAN_SCORE, "human 30.5"), (FIRST_WALL, "first wall 432")):
            axes.axvline(at, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
            axes.annotate(
                name, (at, 1), (3, 0), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=9
            )
    else:
        axes.set_yscale("function", **scale)
        axes.set_ylim(0, None)
        top = axes.get_ylim()[1]
        ticks = [tick for tick in TICKS if tick <= max(top, 10)]
        axes.set_yticks(ticks, [str(tick) for tick in ticks])
        if top > HUMAN_SCORE:
            axes.axhline(HUMAN_SCORE, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
            axes.annotate("human 30.5", (1, HUMAN_SCORE), (0, 3), xycoords=("axes fraction", "data"),
                          textcoords="offset points", ha="right", fontsize=9)  # fmt: skip


def _thinned(values: Sequence[float], most: int = 150) -> list[float]:
    """Keep at most `most` values, evenly, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, most)]


def _svg(draw: Callable[[Axes], None], size: tuple[float, float], title: str, description: str, key: str) -> str:
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "breakout",  # the same numbers give the same file
            "font.size": 11,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.parse_math": False,  # names are names
        }
    ):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        text = StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # the page's font will have it
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(text.getvalue(), title, description, key)


def _for_page(svg: str, title: str, description: str, key: str) -> str:
    """Make a file's SVG fit to stand in a page: named, with ids of its own, in the page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    opening, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', opening)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", rest)
    rest = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', rest).replace(INK, "currentColor")
    names = f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(description)}</desc>'
    attributes = f'role="img" aria-labelledby="{key}-title" aria-describedby="{key}-desc"'
    return f"<svg {box.group(0) if box else ''} {attributes}>{names}{rest}"
