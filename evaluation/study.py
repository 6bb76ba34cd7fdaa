"""Before deep learning, on the page: what shallow learners cost and score on the labels that taught the CNN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agents.files import UserError, number_like, read_json
from envs.breakout import CLASSIC, STICKY
from evaluation.page import Table
from evaluation.reading import Standing, points, standings
from evaluation.runs import SHALLOW, RunResult

CNN = "supervised"  # the arm whose labels the shallow learners were given
COLUMNS = ("learner, on its input", "labels", "training, CPU s", "play, s per 1,000 steps", "sticky", "classic")


def read_study(path: Path) -> tuple[float, float]:
    """Return the labels that the last fit of a `study.json` took, and the CPU seconds.

    Raises:
        UserError: the file is not what `breakout shallow` writes.
    """
    content = read_json(path)
    try:
        labels, seconds = content[-1]["labels"], content[-1]["cpu_seconds"]
        if not (number_like(labels) and number_like(seconds)):
            raise ValueError("labels and seconds are numbers")
        return labels, seconds
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a study ({error!r}); delete the run and run `make shallow` again") from error


def study_table(runs: Sequence[RunResult]) -> Table | None:
    """Return a row for each shallow learner and its input, mean over training seeds; None without any `study.json`.

    The CNN's row comes last, if it has been trained; its training includes playing for the labels.
    """
    costs: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        path = run.folder / "study.json"
        if run.name in SHALLOW and path.exists():
            costs.setdefault(run.name, []).append(read_study(path))
    if not costs:
        return None
    of_cnn = [(ledger.labels, ledger.cpu_seconds) for r in runs if r.name == CNN and (ledger := r.ledger) is not None]
    if of_cnn:
        costs[CNN] = [(float(labels), seconds) for labels, seconds in of_cnn]
    names = SHALLOW | {CNN: "CNN on pixels (the supervised arm)"}
    judged = [standings(runs, protocol.name) for protocol in (STICKY, CLASSIC)]
    rows = tuple(
        (
            names[name],
            f"{sum(labels for labels, _ in paid) / len(paid):,.0f}",
            f"{sum(seconds for _, seconds in paid) / len(paid):,.1f}",
            _pace([found[name] for found in judged if name in found]),
            *(points(found[name].mean) if name in found else "not judged" for found in judged),
        )
        for name, paid in costs.items()
    )
    return Table("Shallow learners beside the CNN", COLUMNS, rows)


def _pace(judged: Sequence[Standing]) -> str:
    """Wall seconds per 1,000 agent steps of the judged games."""
    evaluations = [e for standing in judged for e in standing.evaluations]
    if not evaluations:
        return "not judged"
    return f"{1_000 * sum(e.wall_seconds for e in evaluations) / sum(e.steps for e in evaluations):.2f}"
