"""What lies in a profile's folder: the run folders, read and checked, with whatever is missing named."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, fields
from pathlib import Path

from agents.files import UserError, filled, number_like, read_object
from agents.run import Ledger
from evaluation.atlas import Atlas, read_atlas
from evaluation.probed import Probe, read_probe
from evaluation.record import Evaluation, read_evaluations
from evaluation.replay import Film

ARMS = {
    "supervised": "Supervised",
    "unsupervised": "Unsupervised",
    "reinforcement": "Reinforcement",
}
CONTROLS = {
    "random": "Random policy",
    "unsupervised_untrained": "Planner, untrained encoder",
    "unsupervised_components": "Planner, pixels' principal components",
    "unsupervised_shuffled": "Planner, its cells shuffled",
    "unsupervised_random": "Planner, its actions by lot",
    "demonstrator": "Demonstrator (reads RAM)",
}
VARIANTS = {  # nobody misses them where they were not trained
    "supervised_regressor": "Supervised, regressor",
    "supervised_cloning": "Supervised, plain cloning",
    "reinforcement_ppo": "Reinforcement, policy gradient (PPO)",
}
STOCK = "stock_ppo"  # to race against: it is not judged, and the report knows its learning curve only
SHALLOW = {  # from before deep learning; nor these
    "bayes_pixels": "Naive Bayes on pixels",
    "bayes_features": "Naive Bayes on the imitator's features",
    "bayes_untrained": "Naive Bayes on untrained features",
    "kernel_pixels": "Kernel machine on pixels",
    "kernel_features": "Kernel machine on the imitator's features",
    "kernel_untrained": "Kernel machine on untrained features",
}
IN_PROSE = {
    **{name: name for name in ARMS},
    "random": "the random policy",
    "unsupervised_untrained": "the planner on an untrained encoder",
    "unsupervised_components": "the planner on the pixels' principal components",
    "unsupervised_shuffled": "the planner with its cells shuffled",
    "unsupervised_random": "the planner with its cells' actions by lot",
    "demonstrator": "the demonstrator",
    **{name: label.replace("Naive", "naive").replace("Kernel", "a kernel") for name, label in SHALLOW.items()},
}
LABELLED = "supervised_labels_"  # how the folder of an arm begins that learnt from a data set; its name follows
PERSON = "person_"  # how the folder of somebody who played with the keyboard begins
UNTRAINED = (
    "random",
    "demonstrator",
    "unsupervised_shuffled",
    "unsupervised_random",
)  # nothing was learnt, so they have no ledger and no curve
_SEED = re.compile("seed_(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Curve:
    """How training went: `frames`, `wall_seconds` and `scores` (points, of training games), each `(rows,)`."""

    frames: tuple[float, ...]
    wall_seconds: tuple[float, ...]
    scores: tuple[float, ...]

    def seconds_to(self, score: float) -> float | None:
        """When training games first reached `score`, in wall seconds; None if they never did."""
        return next(
            (seconds for seconds, one in zip(self.wall_seconds, self.scores, strict=True) if one >= score), None
        )

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.wall_seconds) == len(self.scores):
            raise ValueError("a curve needs as many frames and seconds as scores")


@dataclass(frozen=True)
class RunResult:
    """One run folder. What is absent is None or empty, and named in `missing`."""

    folder: Path
    name: str
    seed: int
    evaluations: tuple[Evaluation, ...]
    ledger: Ledger | None
    provenance: dict[str, str]
    curve: Curve | None
    film: Film | None
    probe: Probe | None
    atlas: Atlas | None
    missing: tuple[str, ...]

    @property
    def label(self) -> str:
        """How people call what played here."""
        if self.person and self.evaluations:
            return f"Person: {self.evaluations[0].agent}"
        if self.name.startswith(LABELLED):
            return f"Supervised, labels of {self.name.removeprefix(LABELLED)}"
        if self.name == STOCK:
            return "stable-baselines3's PPO"
        return {**ARMS, **CONTROLS, **VARIANTS, **SHALLOW}.get(self.name, self.name)

    @property
    def in_prose(self) -> str:
        """The same in the middle of a sentence."""
        return IN_PROSE.get(self.name, self.label)

    @property
    def trained(self) -> bool:
        """Something was learnt here."""
        return self.name not in UNTRAINED and not self.person

    @property
    def person(self) -> bool:
        """Somebody played with the keyboard."""
        return self.name.startswith(PERSON)

    def judged(self, protocol: str) -> Evaluation | None:
        """Return the evaluation under `protocol`, the greedy one if there are two."""
        found = [e for e in self.evaluations if e.protocol == protocol]
        return min(found, key=lambda e: e.mode, default=None)


def run_folders(folder: Path, name: str) -> list[Path]:
    """Return the run folders `<folder>/<name>/seed_<n>`, and not what somebody moved aside; `name` may be a pattern."""
    found = [path for path in folder.glob(f"{name}/seed_*") if _SEED.fullmatch(path.name) and path.is_dir()]
    return sorted(path for path in found if not path.parent.name.startswith("."))


def read_profile(folder: Path) -> list[RunResult]:
    """Read all run folders `<folder>/<name>/seed_<n>`: arms first, then controls, then what else there is.

    Raises:
        UserError: there is nothing to read, or a file in it is damaged.
    """
    found = run_folders(folder, "*")
    if not found:
        raise UserError(f"{folder}: holds no runs (<name>/seed_<n>); pass a profile's folder such as runs/quick")
    order = [*ARMS, *CONTROLS, *VARIANTS, *SHALLOW]

    def place(path: Path) -> tuple[int, str, int]:
        name = path.parent.name
        return order.index(name) if name in order else len(order), name, _seed(path)

    return [read_run(path) for path in sorted(found, key=place)]


def read_run(folder: Path) -> RunResult:
    """Read one run folder.

    Raises:
        UserError: a file in it is damaged.
    """
    name = folder.parent.name
    wanted = [] if name == STOCK else ["evaluation.json"]
    if name != STOCK and not name.startswith(PERSON):
        wanted += ["replay.mp4"] if name in UNTRAINED else ["replay.mp4", "agent.safetensors"]
    if name not in UNTRAINED and not name.startswith(PERSON):
        wanted += ["config.json", "provenance.json", "ledger.json", "metrics.csv"]
    missing = tuple(file for file in wanted if not (folder / file).exists())
    evaluations = folder / "evaluation.json"
    return RunResult(
        folder=folder,
        name=name,
        seed=_seed(folder),
        evaluations=tuple(read_evaluations(evaluations)) if evaluations.exists() else (),
        ledger=_read_ledger(folder / "ledger.json"),
        provenance={key: str(value) for key, value in read_object(folder / "provenance.json").items()},
        curve=_read_curve(folder / "metrics.csv"),
        film=read_film(folder / "replay.mp4"),
        atlas=read_atlas(folder / "atlas.json") if (folder / "atlas.json").exists() else None,
        probe=read_probe(folder / "probe.json") if (folder / "probe.json").exists() else None,
        missing=missing,
    )


def read_film(video: Path) -> Film | None:
    """Return what a film shows, or None if it or its description is not there.

    Raises:
        UserError: the description is damaged.
    """
    path = video.with_suffix(".json")
    if not (video.exists() and path.exists()):
        return None
    try:
        return filled(Film, read_object(path))
    except ValueError as error:
        raise UserError(f"{path}: does not describe a film ({error}); delete it and film again") from error


def _seed(folder: Path) -> int:
    return int(folder.name.removeprefix("seed_"))


def _read_ledger(path: Path) -> Ledger | None:
    content = read_object(path)
    known = {field.name for field in fields(Ledger)}
    numbers = {key: value for key, value in content.items() if key in known}
    if not all(number_like(value) and value >= 0 for value in numbers.values()):
        raise UserError(f"{path}: a ledger holds numbers from 0 on only; delete it and train again")
    return Ledger(**numbers) if numbers else None


def _read_curve(path: Path) -> Curve | None:
    """Take the rows of `metrics.csv` that have a score."""
    if not path.exists():
        return None
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("score")]
        columns = [tuple(float(row[key]) for row in rows) for key in ("frames", "wall_seconds", "score")]
        if not all(number_like(value) for column in columns for value in column):
            raise ValueError("a figure in it is not finite")
    except (KeyError, TypeError, ValueError, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of metrics ({error}); delete it and train again") from error
    return Curve(*columns) if rows else None
