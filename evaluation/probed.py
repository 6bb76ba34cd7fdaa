"""What probes found (`probe.json`), and the tables that show it in a terminal and in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agents.files import UserError, filled, read_json, write_json
from evaluation.page import Table

VARIABLES = ("ball x", "ball y", "paddle x", "bricks")
SIGHT_COLUMNS = ("ball x", "ball y", "paddle x", "found below bricks", "found anywhere", "roles right")


@dataclass(frozen=True)
class Readout:
    """How well one variable can be read on held-out games: median absolute error (pixels, bricks) and R2."""

    variable: str
    linear_error: float
    linear_r2: float
    mlp_error: float
    mlp_r2: float


@dataclass(frozen=True)
class Sight:
    """How well a planner knows ball and paddle as it plays; on held-out games.

    Attributes:
        ball_x, ball_y, paddle_x: median absolute errors, pixels; the ball's where it is seen below the bricks.
        found_below, found: share of the steps with a ball below the bricks (and not past the paddle), or anywhere, in
            which it is seen within 8 pixels of where it is.
        roles_right: self's slot follows the paddle, and world's finds the ball, nine tenths as often as the best slot
            or more.
    """

    ball_x: float
    ball_y: float
    paddle_x: float
    found_below: float
    found: float
    roles_right: bool


@dataclass(frozen=True)
class Probe:
    """Everything about one agent, as it is kept in `probe.json`."""

    agent: str
    fingerprint: str
    seed: int
    frames: int
    games: int
    representations: dict[str, tuple[Readout, ...]]
    """`features` of the agent, then the controls."""
    keypoints: Sight | None

    def __post_init__(self) -> None:
        if "features" not in self.representations:
            raise ValueError("a probe needs the agent's features")


def write_probe(path: Path, found: Probe) -> None:
    """Write `probe.json`."""
    write_json(path, asdict(found))


def read_probe(path: Path) -> Probe:
    """Read `probe.json`.

    Raises:
        UserError: the file is not what `write_probe` writes.
    """
    try:
        return filled(Probe, read_json(path))
    except ValueError as error:
        raise UserError(f"{path}: not a probe ({error}); delete it and run `breakout probe` again") from error


def readout_rows(found: dict[str, tuple[Readout, ...]]) -> list[tuple[str, ...]]:
    """One row for each representation: its name, then for each variable `linear / small network`, error over R2."""
    rows = []
    for name, readouts in found.items():
        cells = [f"{r.linear_error:.1f} / {r.mlp_error:.1f}\n{r.linear_r2:.2f} / {r.mlp_r2:.2f}" for r in readouts]
        rows.append((name, *cells))
    return rows


def sight_row(name: str, sight: Sight) -> tuple[str, ...]:
    """What one planner knows under `SIGHT_COLUMNS`, after its name."""
    errors = [f"{error:.1f} px" for error in (sight.ball_x, sight.ball_y, sight.paddle_x)]
    return name, *errors, f"{sight.found_below:.0%}", f"{sight.found:.0%}", "yes" if sight.roles_right else "no"


def side_by_side(probes: Sequence[tuple[str, Probe]]) -> dict[str, tuple[Readout, ...]]:
    """All named probes' features, and the controls once: they are alike on the same frames and width."""
    found = {name: probe.representations["features"] for name, probe in probes}
    for _, probe in probes:
        found |= {name: readouts for name, readouts in probe.representations.items() if name != "features"}
    return found


def page_tables(probed: Sequence[tuple[str, Probe]]) -> list[Table]:
    """Return what can be read from the features, and where planners' own keypoints are; nothing if nobody probed."""
    if not probed:
        return []
    features = Table("Read from the features", ("features of", *VARIABLES), tuple(readout_rows(side_by_side(probed))))
    sights = tuple(sight_row(name, probe.keypoints) for name, probe in probed if probe.keypoints is not None)
    keypoints = Table("What the planner knows as it plays", ("planner of", *SIGHT_COLUMNS), sights)
    return [features, keypoints] if sights else [features]
