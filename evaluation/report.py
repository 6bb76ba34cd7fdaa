"""The report: one page about everything in a profile's folder, with its films as files beside it.

It only reads what training and judging left on disk, asks nothing of the network, and runs no script. Whatever is
missing is named on the page.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from agents.files import UserError, write_atomically
from agents.run import Ledger
from envs.breakout import CLASSIC, STICKY, Protocol
from evaluation import plots
from evaluation.atlas import Atlas
from evaluation.label_curve import by_method, read_label_curve
from evaluation.probed import SIGHT_COLUMNS, VARIABLES, readout_rows, side_by_side, sight_row
from evaluation.reading import listed, mean_ledger, points, reading
from evaluation.record import Evaluation
from evaluation.replay import Film
from evaluation.runs import ARMS, CONTROLS, SHALLOW, RunResult, read_film, read_profile

PROTOCOLS = (STICKY, CLASSIC)  # the one with independent games first
MAP_POINTS = 1_200  # states that a map shows: more of them make the page heavy
LEDGER_COLUMNS = {
    "labels": "labels",
    "agent_steps": "agent steps",
    "frames": "frames",
    "rewards_read": "rewards read",
    "gradient_steps": "gradient steps",
    "samples": "samples",
    "cpu_seconds": "CPU s",
    "wall_seconds": "wall s",
}


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


@dataclass(frozen=True)
class ScoreSection:
    """One protocol's scores."""

    protocol: Protocol
    lead: str
    rows: tuple[Row, ...]
    picture: Picture


@dataclass(frozen=True)
class Video:
    """A film on the page. `source` and `poster` are addresses: of files beside the page, or of data within it."""

    title: str
    caption: str
    source: str
    poster: str


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
        videos = _videos(profile_folder, runs, None if single_file else target)
        write_atomically(page, render(profile_folder, runs, videos).encode())
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


def render(folder: Path, runs: Sequence[RunResult], videos: Sequence[Video], template: str = "report.html") -> str:
    """Return the page for the `runs` of a profile's folder, or what another template makes of the same results."""
    environment = Environment(
        loader=PackageLoader("evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        profile=folder.name,
        reading=reading(runs),
        setup=_setup(runs),
        sections=[section for protocol in PROTOCOLS if (section := _score_section(runs, protocol)) is not None],
        curves=_curves(runs),
        label_curve=_label_curve(folder),
        probes=_probes(runs),
        atlas=next((run.atlas for run in runs if run.atlas is not None), None),
        maps=_maps(next((run.atlas for run in runs if run.atlas is not None), None)),
        ledger_columns=tuple(LEDGER_COLUMNS.values()),
        ledger=_ledger_rows(runs),
        videos=videos,
        provenance=_provenance(runs),
        missing=_missing(runs),
    )


# -- scores ----------------------------------------------------------------------------------------------------------


def _score_section(runs: Sequence[RunResult], protocol: Protocol) -> ScoreSection | None:
    judged = [(run, e) for run in runs for e in run.evaluations if e.protocol == protocol.name]
    if not judged:
        return None
    rows: list[Row] = []
    for name, group in groupby(judged, key=lambda pair: pair[0].name):
        members = list(group)
        kind = "control" if name in CONTROLS else "seed" if len(members) > 1 else "single"
        if len(members) > 1:
            rows.append(_mean_row(members[0][0].label, [e for _, e in members]))
        rows += [Row(kind, _row_label(run, e), _score_cells(e)) for run, e in members]
    lead = (
        "Every frame the console repeats the last action with probability 0.25, so every game is another one: "
        "the intervals here mean something."
        if protocol.sticky
        else "Nothing is left to chance but the serve. A greedy agent plays the same few games again and again, so "
        "thirty games are not thirty observations: no interval is given for them, only their range."
    )
    return ScoreSection(protocol, lead, tuple(rows), _dots(judged, protocol))


def _row_label(run: RunResult, evaluation: Evaluation) -> str:
    label = run.label + ("" if run.name in ("random", "demonstrator") else f", seed {run.seed}")
    return label if evaluation.deterministic or run.name == "random" or run.person else f"{label}, sampled"


def _independent(evaluation: Evaluation) -> bool:
    """Whether the games are draws of their own, so that an interval over them says something."""
    return evaluation.protocol == STICKY.name or not evaluation.deterministic


def _interval(evaluation: Evaluation) -> tuple[float, float] | None:
    return evaluation.summary.ci95 if _independent(evaluation) else None


def _score_cells(evaluation: Evaluation) -> tuple[str, ...]:
    s, scores = evaluation.summary, evaluation.scores
    low, high = s.ci95 if _independent(evaluation) else (min(scores), max(scores))
    return (
        points(s.mean),
        f"{points(low)} to {points(high)}" + ("" if _independent(evaluation) else " (range)"),
        points(s.median),
        points(s.iqm),
        f"{len(scores)}, {s.distinct_games} distinct",
        f"{s.human_normalised:.2f}",
        f"{s.share_past_432:.0%}",
    )


def _mean_row(label: str, evaluations: Sequence[Evaluation]) -> Row:
    def average(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    summaries = [e.summary for e in evaluations]
    means = [s.mean for s in summaries]
    cells = (
        points(average(means)),
        f"{points(min(means))} to {points(max(means))} (seeds)",
        points(average([s.median for s in summaries])),
        points(average([s.iqm for s in summaries])),
        str(sum(len(e.games) for e in evaluations)),
        f"{average([s.human_normalised for s in summaries]):.2f}",
        f"{average([s.share_past_432 for s in summaries]):.0%}",
    )
    return Row("mean", f"{label}, mean of {len(evaluations)} seeds", cells)


def _dots(judged: Sequence[tuple[RunResult, Evaluation]], protocol: Protocol) -> Picture:
    strips = []
    for name, group in groupby(judged, key=lambda pair: pair[0].name):
        members = list(group)
        means = [e.summary.mean for _, e in members]
        if len(members) > 1:
            label = f"{members[0][0].label}, {len(members)} means"
            strips.append(plots.Strip(name, label, tuple(means), sum(means) / len(means), None, large=True))
        strips += [
            plots.Strip(name, _row_label(run, e), tuple(e.scores), e.summary.mean, _interval(e)) for run, e in members
        ]
    described = "; ".join(f"{s.label}: mean {points(s.mean)}" for s in strips)
    svg = plots.dots(strips, f"Scores of all {protocol.name} games", described, f"dots-{protocol.name}")
    return Picture(
        "Every game is a dot; a large one is the mean of a training seed. The tick below a row is its mean; the bar, "
        "where games are independent, the 95% interval of that mean.",
        svg,
        ("agent", "scores in order of play"),
        tuple((strip.label, ", ".join(f"{score:.4g}" for score in strip.scores)) for strip in strips),
    )


# -- learning and its cost -------------------------------------------------------------------------------------------


def _curves(runs: Sequence[RunResult]) -> list[Picture]:
    with_curve = [(run, run.curve) for run in runs if run.curve is not None]
    if not with_curve:
        return []
    columns = ("run", "frames", "wall minutes", "last score", "best score")
    rows = tuple(
        (f"{run.label}, seed {run.seed}", f"{c.frames[-1]:,.0f}", f"{c.wall_seconds[-1] / 60:.1f}",
         points(c.scores[-1]), points(max(c.scores)))
        for run, c in with_curve
    )  # fmt: skip
    described = "; ".join(f"{row[0]} ends at {row[3]} after {row[1]} frames and {row[2]} minutes" for row in rows)
    frames = [plots.Line(r.name, r.label, tuple(x / 1e6 for x in c.frames), c.scores) for r, c in with_curve]
    minutes = [plots.Line(r.name, r.label, tuple(x / 60 for x in c.wall_seconds), c.scores) for r, c in with_curve]
    against_frames = plots.curves(frames, "emulator frames (millions)", "Score against frames", described, "frames")
    against_time = plots.curves(minutes, "wall time (minutes)", "Score against wall time", described, "minutes")
    return [
        Picture("Against emulator frames, 4 a step.", against_frames, columns, rows),
        Picture("Against wall time.", against_time, columns, rows),
    ]


def _label_curve(folder: Path) -> Picture | None:
    lines = by_method(read_label_curve(folder))
    if not lines:
        return None
    rows = tuple(
        (one.label, f"{one.labels:,}", points(one.mean),
         f"{points(one.interval[0])} to {points(one.interval[1])}" if one.interval else "one seed",
         ", ".join(points(score) for score in one.scores), f"{one.wall_seconds / 60:.1f}")
        for line in lines.values() for one in line
    )  # fmt: skip
    described = "; ".join(f"{row[0]} scores {row[2]} with {row[1]} labels" for row in rows)
    drawn = [
        plots.BudgetLine(
            line[0].label, tuple(one.labels for one in line),
            tuple(one.scores for one in line), tuple(one.interval for one in line),
        )
        for line in lines.values()
    ]  # fmt: skip
    return Picture(
        "Mean score of sticky games against the number of labels. A dot is a training seed; a bar, where there are "
        "several, the 95% interval of their mean.",
        plots.budgets(drawn, "labels", "Score against labels", described, "labels"),
        ("labels by", "labels", "mean", "95% interval", "training seeds", "wall minutes"),
        rows,
    )


def _probes(runs: Sequence[RunResult]) -> list[Table]:
    """What can be read from the features, and where planners' own keypoints are."""
    probed = [(f"{run.label}, seed {run.seed}", run.probe) for run in runs if run.probe is not None]
    if not probed:
        return []
    features = Table("Read from the features", ("features of", *VARIABLES), tuple(readout_rows(side_by_side(probed))))
    sights = tuple(sight_row(name, probe.keypoints) for name, probe in probed if probe.keypoints is not None)
    keypoints = Table("The planner's own keypoints", ("keypoints of", *SIGHT_COLUMNS), sights)
    return [features, keypoints] if sights else [features]


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


def _ledger_rows(runs: Sequence[RunResult]) -> list[Row]:
    rows: list[Row] = []
    for name, group in groupby([run for run in runs if run.ledger is not None], key=lambda run: run.name):
        members = [(run, run.ledger) for run in group if run.ledger is not None]
        kind = "control" if name in CONTROLS else "seed" if len(members) > 1 else "single"
        if len(members) > 1:
            label = f"{members[0][0].label}, mean of {len(members)} seeds"
            rows.append(Row("mean", label, _ledger_cells(mean_ledger([ledger for _, ledger in members]))))
        rows += [Row(kind, f"{run.label}, seed {run.seed}", _ledger_cells(ledger)) for run, ledger in members]
    return rows


def _ledger_cells(ledger: Ledger) -> tuple[str, ...]:
    return tuple(f"{getattr(ledger, key):,.0f}" for key in LEDGER_COLUMNS)


# -- films -----------------------------------------------------------------------------------------------------------


def _videos(folder: Path, runs: Sequence[RunResult], beside: Path | None) -> list[Video]:
    """Bring the films into the page's folder `beside` it, or into the page itself."""
    videos = []
    together = read_film(folder / "together.mp4")
    if together is not None:
        title = "All side by side"
        videos.append(_video(title, together, folder / "together.mp4", beside, "together"))
    for run in runs:
        if run.film is not None:
            title = run.label if run.name in ("random", "demonstrator") else f"{run.label}, seed {run.seed}"
            name = f"{run.name}-{run.seed}"
            videos.append(_video(title, run.film, run.folder / "replay.mp4", beside, name))
    return videos


def _video(title: str, film: Film, video: Path, beside: Path | None, name: str) -> Video:
    addresses = []
    for path, kind in ((video, "video/mp4"), (video.with_suffix(".jpg"), "image/jpeg")):
        if not path.exists():
            addresses.append("")
        elif beside is None:
            addresses.append(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
        else:
            addresses.append(_placed(path, beside / f"{name}{path.suffix}"))
    return Video(title, _film_caption(film), *addresses)


def _placed(source: Path, target: Path) -> str:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
    return target.name


def _film_caption(film: Film) -> str:
    seconds = film.steps // film.frames_per_second
    shown = f"{seconds // 60}:{seconds % 60:02d}, real time"
    if len(film.names) == 1:
        end = "" if film.complete else f"; the film stops there, the game went on to step {film.total_steps:,}"
        return f"Score {film.scores[0]}, the game with seed {film.seeds[0]}: {film.rule}. {shown}{end}."
    scores = "; ".join(f"{name}: {score}" for name, score in zip(film.names, film.scores, strict=True))
    end = "" if film.complete else "; the film stops before the longest game is over"
    return f"Final scores of {scores}. Each is the median of its agent's judged {film.protocol} games. {shown}{end}."


# -- how it was done -------------------------------------------------------------------------------------------------


def _setup(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    evaluations = [e for run in runs if not run.person for e in run.evaluations]
    seeds = {name: [run.seed for run in runs if run.name == name] for name in ARMS}
    facts = [("Training seeds", "; ".join(f"{ARMS[n]}: {listed([str(s) for s in v])}" for n, v in seeds.items() if v))]
    if evaluations:
        counts = sorted({len(e.games) for e in evaluations})
        facts.append(("Games per agent and protocol", " or ".join(map(str, counts))))
        facts.append(("Judge's seed", ", ".join(map(str, sorted({e.judge_seed for e in evaluations})))))
        facts.append(("Judging took", f"{sum(e.wall_seconds for e in evaluations) / 60:.1f} minutes"))
    for key in ("commit", "machine", "device", "yardstick"):
        values = sorted({run.provenance[key] for run in runs if key in run.provenance})
        if values or key != "yardstick":  # only some runs measure their machine
            facts.append((key.capitalize(), "; ".join(values) or "not recorded"))
    return [(name, value) for name, value in facts if value]


def _provenance(runs: Sequence[RunResult]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(f"{run.label}, seed {run.seed}", list(run.provenance.items())) for run in runs if run.provenance]


def _missing(runs: Sequence[RunResult]) -> list[str]:
    present = {run.name for run in runs}
    lines = [f"{label}: no run in this folder" for name, label in {**ARMS, **CONTROLS}.items() if name not in present]
    gaps: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        gap = list(run.missing)
        absent = [protocol.name for protocol in PROTOCOLS if run.judged(protocol.name) is None]
        if absent and "evaluation.json" not in gap and not run.person:
            gap.append(f"{listed(absent)} games")
        if run.trained and run.name not in SHALLOW and run.curve is None and "metrics.csv" not in gap:
            gap.append("scores in metrics.csv")
        if gap:
            gaps.setdefault((run.label, listed(gap)), []).append(str(run.seed))
    return lines + [f"{label}, seed {listed(seeds)}: {gap}" for (label, gap), seeds in gaps.items()]
