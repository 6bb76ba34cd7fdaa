"""How the runs learnt, and what it cost, on the page: learning curves and ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from agents.run import Ledger
from evaluation import plots
from evaluation.page import Picture, Row
from evaluation.reading import mean_ledger, points
from evaluation.runs import CONTROLS, RunResult

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


def learning_curves(runs: Sequence[RunResult]) -> list[Picture]:
    """Draw the scores of training games against frames and against time; nothing if no run logged a score."""
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


def ledger_rows(runs: Sequence[RunResult]) -> list[Row]:
    """Return what each run cost under `LEDGER_COLUMNS`, and the mean over its training seeds."""
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
