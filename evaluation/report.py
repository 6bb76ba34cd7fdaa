"""The report: one page about everything in a profile's folder, with its films as files beside it.

It only reads what training and judging left on disk, asks nothing of the network, and runs no script. Whatever is
missing is named on the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from agents.files import UserError, write_atomically
from envs.breakout import CLASSIC, STICKY
from evaluation import plots
from evaluation.atlas import Atlas
from evaluation.films import Video, videos
from evaluation.label_curve import label_curve_picture
from evaluation.learning import LEDGER_COLUMNS, learning_curves, ledger_rows
from evaluation.probed import page_tables
from evaluation.reading import listed, reading
from evaluation.runs import ARMS, CONTROLS, SHALLOW, STOCK, RunResult, read_profile
from evaluation.scores import score_section
from evaluation.study import study_table

PROTOCOLS = (STICKY, CLASSIC)  # the one with independent games first
MAP_POINTS = 1_200  # states that a map shows: more of them make the page heavy


def write_report(profile_folder: Path, single_file: bool = False) -> Path:
    """Write `report/index.html` into a profile's folder, with its films beside it, and return its path.

    Args:
        profile_folder: holds `<name>/seed_<n>` run folders, and perhaps `together.mp4`.
        single_file: write `report/breakout.html` instead, with the films inside.

    Raises:
        UserError: there are no runs, a file is damaged, or the folder cannot be written.
    """
    runs = read_profile(profile_folder)
    target = profile_folder / "report"
    page = target / ("breakout.html" if single_file else "index.html")
    try:
        target.mkdir(exist_ok=True)
        films = videos(profile_folder, runs, None if single_file else target)
        write_atomically(page, render(profile_folder, runs, films).encode())
    except OSError as error:
        raise UserError(f"{page}: cannot be written ({error}); free space or make the folder writable") from error
    return page


def write_table(profile_folder: Path, path: Path) -> None:
    """Write the numbers of the report as Markdown, to be kept: scores, costs, and what they were measured with.

    Raises:
        UserError: there are no runs, or a file is damaged.
    """
    text = render(profile_folder, read_profile(profile_folder), [], "results.md")
    write_atomically(path, text.replace("&#39;", "'").encode())  # the one escape that prose meets


def render(folder: Path, runs: Sequence[RunResult], films: Sequence[Video], template: str = "report.html") -> str:
    """Return the page for the `runs` of a profile's folder, or what another template makes of the same results."""
    environment = Environment(
        loader=PackageLoader("evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    atlas = next((run.atlas for run in runs if run.atlas is not None), None)
    return environment.get_template(template).render(
        profile=folder.resolve().name,
        reading=reading(runs),
        setup=_setup(runs),
        sections=[section for protocol in PROTOCOLS if (section := score_section(runs, protocol)) is not None],
        curves=learning_curves(runs),
        label_curve=label_curve_picture(folder),
        study=study_table(runs),
        probes=page_tables([(f"{run.label}, seed {run.seed}", run.probe) for run in runs if run.probe is not None]),
        atlas=atlas,
        maps=_maps(atlas),
        ledger_columns=tuple(LEDGER_COLUMNS.values()),
        ledger=ledger_rows(runs),
        videos=films,
        provenance=_provenance(runs),
        missing=_missing(runs),
    )


def _maps(atlas: Atlas | None) -> list[tuple[str, str]]:
    """The atlas's states on a plane, twice: caption and SVG."""
    if atlas is None:
        return []
    shown = atlas.points[:: max(1, len(atlas.points) // MAP_POINTS)]
    at = [(point[0], point[1]) for point in shown]
    described = f"{len(shown)} states on their first two principal components"
    worth = plots.chart(at, [point[2] for point in shown], "value", described, "map-value")
    height = plots.chart(at, [point[3] for point in shown], "ball y, px from top", described, "map-ball")
    return [("Coloured by what the state is worth to the planner.", worth),
            ("Coloured by how low the planner sees the ball, in pixels of its 84 × 84 picture.", height)]  # fmt: skip


def _setup(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    evaluations = [e for run in runs if not run.person for e in run.evaluations]
    seeds = {name: [run.seed for run in runs if run.name == name] for name in ARMS}
    facts = [("Training seeds", "; ".join(f"{ARMS[n]}: {listed([str(s) for s in v])}" for n, v in seeds.items() if v))]
    if evaluations:
        counts = sorted({len(e.games) for e in evaluations})
        facts.append(("Games per agent and protocol", " or ".join(map(str, counts))))
        facts.append(("Judge's seed", ", ".join(map(str, sorted({e.judge_seed for e in evaluations})))))
        facts.append(("Judging took", f"{sum(e.wall_seconds for e in evaluations) / 60:.1f} minutes"))
    recorded = [run.provenance for run in runs]
    for key in ("commit", "machine", "device"):
        values = sorted({origin[key] for origin in recorded if key in origin})
        facts.append((key.capitalize(), "; ".join(values) or "not recorded"))
    # Only some runs measure their machine.
    speeds = {origin["yardstick"] for origin in recorded if "yardstick" in origin}
    if ranked := sorted(speeds, key=lambda speed: (len(speed.partition(" ")[0]), speed)):
        facts.append(("Yardstick", " to ".join(dict.fromkeys([ranked[0], ranked[-1]]))))
    return [(name, value) for name, value in facts if value]


def _provenance(runs: Sequence[RunResult]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(f"{run.label}, seed {run.seed}", list(run.provenance.items())) for run in runs if run.provenance]


def _missing(runs: Sequence[RunResult]) -> list[str]:
    present = {run.name for run in runs}
    lines = [f"{label}: no run in this folder" for name, label in {**ARMS, **CONTROLS}.items() if name not in present]
    lacking = Counter(file for run in runs for file in run.missing)
    nowhere = [file for file, n in lacking.items() if n > 1 and not any((run.folder / file).exists() for run in runs)]
    if nowhere:  # as in results/, which keeps numbers only
        lines.append(f"All runs: {listed(nowhere)}")
    gaps: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        gap = [file for file in run.missing if file not in nowhere]
        absent = [protocol.name for protocol in PROTOCOLS if run.judged(protocol.name) is None]
        if absent and "evaluation.json" not in gap and not run.person and run.name != STOCK:
            gap.append(f"{listed(absent)} games")
        if run.trained and run.name not in SHALLOW and run.curve is None and "metrics.csv" not in gap:
            gap.append("scores in metrics.csv")
        if gap:
            gaps.setdefault((run.label, listed(gap)), []).append(str(run.seed))
    return lines + [f"{label}, seed {listed(seeds)}: {gap}" for (label, gap), seeds in gaps.items()]
