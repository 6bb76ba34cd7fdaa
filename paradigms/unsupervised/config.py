"""Every number of unsupervised learning; the defaults are the quick profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.encoder import Width
from agents.files import UserError
from agents.plans import NEIGHBOURS
from agents.run import require_positive
from paradigms.unsupervised.limits import check_exploration


@dataclass(frozen=True)
class Config:
    """Settings of the unsupervised arm."""

    encoder: Width = "small"
    """Width of the shared encoder."""
    representation: Literal["keypoints", "untrained", "components"] = "keypoints"
    """Two controls, everything else alike: `untrained` leaves encoder and keypoint head as they were born, `components`
    has the pixels' principal components in place of keypoints."""
    games: int = 16
    """Games explored side by side."""
    round_steps: int = 24_000
    """Agent steps of exploration in each round."""
    rounds: int = 5
    """Rounds of exploration with the planner, after a first one at random."""
    slots: int = 4
    """Keypoints to look for."""
    keypoint_steps: int = 1_200
    """Gradient steps on the keypoints, after the random round."""
    refresh_steps: int = 1_000
    """Gradient steps on the keypoints, each time they are trained again."""
    refresh_after: tuple[int, ...] = (1, 3, 5)
    """Planned rounds after which they are: on the pictures of the first round, the middle one and the last two. All
    rounds are then read anew."""
    objective: Literal["predict", "contrast"] = "predict"
    """What the feature vector learns while the keypoints are trained again: to tell where self and world are now and
    next, or which moment of the same two seconds comes next."""
    batch: int = 32
    """Observations in a gradient step."""
    learning_rate: float = 3e-3
    """Of Adam, on the keypoints."""
    self_cells: int = 1_000
    """Clusters of the agent's own states, for each last action."""
    validations: int = 0
    """How many of the last planners play validation games; the last one is kept, unless an earlier one leads by more
    than its lead's standard error."""
    validation_games: int = 12
    """Sticky games that each of them plays, greedily (games)."""

    def __post_init__(self) -> None:
        names = ("games", "round_steps", "rounds", "slots", "keypoint_steps", "refresh_steps")
        require_positive(self, *names, "batch", "learning_rate", "self_cells", "validation_games")
        if self.validations < 0:
            raise UserError(f"--validations must not be negative, got {self.validations}")
        if self.slots < 2:
            raise UserError(f"--slots must be at least 2 (self and world), got {self.slots}")
        if self.self_cells < NEIGHBOURS:
            raise UserError(f"--self-cells {self.self_cells} is too few to plan with; give at least {NEIGHBOURS}")
        if self.self_cells > 10_000:
            raise UserError(f"--self-cells {self.self_cells} is more than an agent file holds; give at most 10000")
        if not all(number >= 1 for number in self.refresh_after):
            raise UserError(
                f"--refresh-after {self.refresh_after}: planned rounds are numbered from 1; give such numbers"
            )
        check_exploration(self.games, self.round_steps, self.self_cells)
