"""Every number of supervised learning; the defaults are the quick profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.encoder import Width
from agents.files import UserError
from agents.imitator import Plays
from agents.run import require_positive
from paradigms.validation import LONGEST


@dataclass(frozen=True)
class Config:
    """Settings of the supervised arm."""

    encoder: Width = "small"
    """Width of the shared encoder."""
    rounds: int = 11
    """Rounds of gathering and fitting."""
    demonstrated_rounds: int = 2
    """Of these, how many the demonstrator alone gathers for, before the learner drives (rounds)."""
    labels: str = "demonstrator"
    """Who labels: `demonstrator` (round by round), or the folder of a recorded data set (once, the actions in it)."""
    learner: Literal["classifier", "regressor"] = "classifier"
    """What is learnt from the labels and played by: classifier (of actions; it learns to read where the ball lands
    beside that, and plays by both) or regressor (of where the ball lands alone, for the demonstrator's controller)."""
    round_labels: int = 10_000
    """States labelled in each round (states)."""
    label_share: float = 1.0
    """Share of the states played that are labelled: below 1, few labels come from many states (0 to 1)."""
    games: int = 10
    """Games side by side while gathering; the first one's states are held out (games)."""
    samples: int = 120_000
    """Observations that pass through gradient steps in each round, with repetition (observations)."""
    batch: int = 128
    """Observations in a gradient step."""
    learning_rate: float = 2e-3
    """Adam's step size."""
    decay: float = 0.0
    """Share of the training, its last part, over which the step size falls linearly to zero (0 to 1)."""
    average: float = 0.999
    """How much of the moving average of the weights stays at each gradient step (0 to 1)."""
    near_share: float = 0.7
    """Share of each batch whose ball lands within 28 frames (0 to 1)."""
    reading_weight: float = 30.0
    """Weight of the regression beside the classification; a regressor has nothing else."""
    validated_rounds: int = 4
    """Of the agents after each of the last so many rounds, the best is chosen (rounds)."""
    validation_games: int = 16
    """Sticky games that each of these agents plays for that (games)."""
    validation_steps: int = LONGEST
    """After how many steps such a game is broken off (agent steps)."""

    def __post_init__(self) -> None:
        require_positive(
            self, "rounds", "demonstrated_rounds", "round_labels", "label_share", "games", "samples", "batch",
            "learning_rate", "reading_weight", "validated_rounds", "validation_games", "validation_steps",
        )  # fmt: skip
        for name in ("average", "decay", "near_share"):
            if not 0 <= getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} must be at least 0 and below 1, got {getattr(self, name)}")
        if self.label_share > 1:
            raise UserError(f"--label-share must not exceed 1, got {self.label_share}")
        if self.learner not in ("classifier", "regressor"):
            raise UserError(f"--learner must be classifier or regressor, got {self.learner!r}")
        if self.labels != "demonstrator" and self.learner != "classifier":
            raise UserError(f"--learner {self.learner}: {self.labels} does not say where the ball lands, only what was "
                            "pressed; leave out --learner or --labels")  # fmt: skip
        if self.games < 4:
            raise UserError(f"--games must be at least 4 (held out, learner's, demonstrator's), got {self.games}")

    def learning_rate_at(self, done: float) -> float:
        """Adam's step size once the share `done` of all samples has been fitted."""
        return self.learning_rate * min(1.0, (1 - done) / self.decay if self.decay else 1.0)

    @property
    def plays(self) -> Plays:
        """What the agent plays by."""
        return "both" if self.learner == "classifier" else "landing"
