"""The label curve as the report shows it: score against the number of labels, a line for each way of getting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy import stats

from agents.files import UserError
from envs.breakout import STICKY
from evaluation import plots
from evaluation.page import Picture
from evaluation.reading import points
from evaluation.runs import read_run, run_folders

FOLDER = "label_curve"  # in a profile's folder: `<method>_<labels>/seed_<n>`
METHODS = {"cloning": "Plain cloning", "dagger": "Labels on the learner's own states (DAgger)"}
WHOLE = {"cloning": "supervised_cloning", "dagger": "supervised"}  # run folders with the profile's whole budget


@dataclass(frozen=True)
class Point:
    """What a budget of labels bought: the mean score of each training seed's games.

    Attributes:
        method: how the labels came about; a key of METHODS, or whatever else has been put there.
        labels: used, mean over the seeds.
        scores: `(seeds,)` points.
        wall_seconds: of training, mean over the seeds.
    """

    method: str
    labels: int
    scores: tuple[float, ...]
    wall_seconds: float

    def __post_init__(self) -> None:
        if not self.scores or self.labels < 1:
            raise ValueError(f"a point needs labels and scores: {self}")

    @property
    def label(self) -> str:
        """How people call the method."""
        return METHODS.get(self.method, self.method.replace("_", " ").capitalize())

    @property
    def mean(self) -> float:
        """Over training seeds, points."""
        return float(np.mean(self.scores))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% t interval of that mean over training seeds, not below 0; None of one seed."""
        if len(self.scores) < 2:
            return None
        half = float(stats.t.ppf(0.975, len(self.scores) - 1) * stats.sem(self.scores))
        return max(self.mean - half, 0.0), self.mean + half


def read_label_curve(profile_folder: Path) -> list[Point]:
    """Read all judged points, by method and then by budget; those of the whole budget stand beside smaller ones only.

    Raises:
        UserError: a folder's name does not end in a number of labels, or a file in it is damaged.
    """
    found: dict[str, list[list[Path]]] = {}
    for name, group in groupby(run_folders(profile_folder / FOLDER, "*"), key=lambda folder: folder.parent.name):
        method, _, count = name.rpartition("_")
        if not (method and count.isdigit()):
            raise UserError(f"{profile_folder / FOLDER / name}: should be named <method>_<labels>; rename or move it")
        found.setdefault(method, []).append(list(group))
    judged = []
    for method, budgets in found.items():
        whole = [run_folders(profile_folder, WHOLE[method])] if method in WHOLE else []
        judged += [_point(method, folders) for folders in [*budgets, *whole]]
    return sorted((one for one in judged if one is not None), key=lambda one: (one.method, one.labels))


def _point(method: str, folders: Sequence[Path]) -> Point | None:
    """What the judged runs in these folders reached, and with how many labels; None if there is none."""
    runs = []
    for folder in folders:
        run = read_run(folder)
        if (judged := run.judged(STICKY.name)) is not None and run.ledger is not None and run.ledger.labels > 0:
            runs.append((judged.summary.mean, run.ledger.wall_seconds, run.ledger.labels))
    if not runs:
        return None
    scores, seconds, used = zip(*runs, strict=True)
    return Point(method, round(np.mean(used)), scores, float(np.mean(seconds)))


def by_method(judged: Sequence[Point]) -> dict[str, list[Point]]:
    """Group the points of `read_label_curve`."""
    return {method: list(group) for method, group in groupby(judged, key=lambda point: point.method)}


def label_curve_picture(profile_folder: Path) -> Picture | None:
    """Draw all judged points; None if there are none."""
    lines = by_method(read_label_curve(profile_folder))
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
