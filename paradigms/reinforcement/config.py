"""Every number of reinforcement learning; the defaults are the quick profile."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from agents.encoder import Width
from agents.files import UserError
from agents.run import require_positive

Algorithm = Literal["ppo", "pqn"]


@dataclass(frozen=True)
class Config:
    """Settings of the reinforcement arm."""

    algorithm: Algorithm = "pqn"
    """pqn (values of actions) or ppo (policy and value; its own defaults are those of `by_ppo`)."""
    encoder: Width = "small"
    """Width of the shared encoder."""
    steps: int = 650_000
    """Agent steps in all; rounded up to whole rollouts."""
    games: int = 16
    """Games played side by side."""
    sticky_share: float = 0.0
    """Share of these games that are sticky (0 to 1): the console repeats an action now and then. The others obey."""
    rollout_steps: int = 64
    """Agent steps of each game between two updates."""
    epochs: int = 3
    """Passes over each rollout."""
    minibatch: int = 256
    """Samples per gradient step."""
    learning_rate: float = 7e-4
    """Adam's step size at the start; it falls linearly to zero."""
    gamma: float = 0.98
    """Discount per agent step."""
    gae_lambda: float = 0.9
    """Trace decay of the Q(lambda) returns; in ppo of the generalised advantage estimate."""
    clip_range: float = 0.2
    """ppo: how far the probability ratio may move before its gradient is cut."""
    entropy_weight: float = 0.01
    """ppo: weight of the entropy bonus, per nat."""
    value_weight: float = 0.5
    """ppo: weight of the squared error of the value, per squared clipped point."""
    epsilon: float = 0.01
    """pqn: how often any action is taken, once it knows something (0 to 1)."""
    exploration: float = 0.05
    """pqn: share of the run over which that falls from 1 (0 to 1)."""
    gradient_norm: float = 10.0
    """Longest gradient; longer ones are scaled down."""
    validations: int = 4
    """How often the agent plays validation games, evenly spread over the run; the last one is kept,
    unless an earlier one leads by more than its lead's standard error (times)."""
    validation_games: int = 12
    """Sticky games that it plays each time, greedily (games)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the network computes in: auto times both as the run begins and takes the faster. Name one to make two runs
    comparable to the bit."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "games", "rollout_steps", "epochs", "learning_rate", "clip_range")
        require_positive(self, "gradient_norm", "gamma", "gae_lambda", "validations", "validation_games")
        require_positive(self, "exploration")
        for name in ("entropy_weight", "value_weight", "epsilon", "sticky_share"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"--{name.replace('_', '-')} must be a number, 0 or more; got {getattr(self, name)}")
        for name in ("gamma", "gae_lambda", "epsilon", "exploration", "sticky_share"):
            if getattr(self, name) > 1:
                raise UserError(f"--{name.replace('_', '-')} must not exceed 1, got {getattr(self, name)}")
        if not 2 <= self.minibatch <= self.rollout:
            raise UserError(f"--minibatch must lie between 2 and games x rollout steps = {self.rollout}")

    @property
    def rollout(self) -> int:
        """Agent steps in one rollout, over all games."""
        return self.games * self.rollout_steps

    @property
    def updates(self) -> int:
        """Rollouts gathered and learnt from in all."""
        return math.ceil(self.steps / self.rollout)

    def by_ppo(self) -> Config:
        """Return the same budget for proximal policy optimisation, with that algorithm's own numbers."""
        return replace(self, algorithm="ppo", gae_lambda=0.95, gradient_norm=0.5)
