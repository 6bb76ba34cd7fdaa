"""Scores on the page: one section for each protocol, a table and a picture of every game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from envs.breakout import Protocol
from evaluation import plots
from evaluation.page import Picture, Row
from evaluation.reading import points
from evaluation.record import Evaluation
from evaluation.runs import CONTROLS, RunResult


@dataclass(frozen=True)
class ScoreSection:
    """One protocol's scores."""

    protocol: Protocol
    lead: str
    rows: tuple[Row, ...]
    picture: Picture


def score_section(runs: Sequence[RunResult], protocol: Protocol) -> ScoreSection | None:
    """Return the scores of all that was judged under `protocol`; None if nothing was."""
    judged = [(run, e) for run in runs for e in run.evaluations if e.protocol == protocol.name]
    if not judged:
        return None
    rows: list[Row] = []
    for name, group in groupby(judged, key=lambda pair: pair[0].name):
        members = list(group)
        kind = "control" if name in CONTROLS else "seed" if len(members) > 1 else "single"
        if len(seeds := _one_a_seed(members)) > 1:
            rows.append(_mean_row(members[0][0].label, seeds))
        rows += [Row(kind, _row_label(run, e), _score_cells(e)) for run, e in members]
    lead = (
        "Every frame the console repeats the last action with probability 0.25, so every game is another one: "
        "the intervals here mean something."
        if protocol.sticky
        else "Nothing is left to chance but the serve. A greedy agent plays the same few games again and again, so "
        "thirty games are not thirty observations: no interval is given for them, only their range."
    )
    return ScoreSection(protocol, lead, tuple(rows), _dots(judged, protocol))


def _one_a_seed(members: Sequence[tuple[RunResult, Evaluation]]) -> list[Evaluation]:
    """Of a seed that was judged both greedy and sampled, the greedy one."""
    return [e for run, e in members if e is run.judged(e.protocol)]


def _row_label(run: RunResult, evaluation: Evaluation) -> str:
    label = run.label + ("" if run.name in ("random", "demonstrator") else f", seed {run.seed}")
    return label if evaluation.deterministic or run.name == "random" or run.person else f"{label}, sampled"


def _score_cells(evaluation: Evaluation) -> tuple[str, ...]:
    s, scores = evaluation.summary, evaluation.scores
    low, high = evaluation.spread
    return (
        points(s.mean),
        f"{points(low)} to {points(high)}" + ("" if evaluation.independent else " (range)"),
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
        means = [e.summary.mean for e in _one_a_seed(members)]
        if len(means) > 1:
            label = f"{members[0][0].label}, {len(means)} means"
            strips.append(plots.Strip(name, label, tuple(means), sum(means) / len(means), None, large=True))
        strips += [
            plots.Strip(
                name, _row_label(run, e), tuple(e.scores), e.summary.mean, e.summary.ci95 if e.independent else None
            )
            for run, e in members
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
