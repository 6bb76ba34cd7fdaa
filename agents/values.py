"""The head of a value-based agent: what each action is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from agents.encoder import Encoder
from agents.heads import Head, of_actions
from agents.policy import State
from envs.breakout import LEARNT_ACTIONS, Actions, Mask


class ValueHead(Head):
    """A value (expected discounted reward) for each of NOOP, RIGHT, LEFT, from normalised features.

    It plays the action of the highest value. Sampled play is epsilon-greedy: values are no logits, and lots drawn from
    their softmax would be nearly uniform.

    Args:
        features_dim: length of the encoder's feature vector.
        epsilon: how often sampled play takes any action instead (0 to 1).
        mirrored: at play, average the values of the picture and of its mirror image.
    """

    kind = "value"

    def __init__(self, features_dim: int, epsilon: float = 0.01, mirrored: bool = False) -> None:
        super().__init__()
        self.epsilon, self.mirrored = epsilon, mirrored
        self.norm = nn.LayerNorm(features_dim)
        self.linear = nn.Linear(features_dim, len(LEARNT_ACTIONS))

    def settings(self) -> dict[str, Any]:
        return {"features_dim": self.linear.in_features, "epsilon": self.epsilon, "mirrored": self.mirrored}

    def forward(self, features: Tensor) -> Tensor:
        """Features `(B, D)` -> values `(B, 3)`."""
        values: Tensor = self.linear(self.norm(features).relu())
        return values

    def act(
        self,
        encoder: Encoder,
        observation: Tensor,
        state: State,
        episode_start: Mask,
        deterministic: bool,
        generator: np.random.Generator,
    ) -> tuple[Actions, State]:
        best = of_actions(self, encoder, observation, self.mirrored).argmax(dim=1).cpu().numpy()  # (N,)
        if not deterministic:
            anything = generator.integers(len(LEARNT_ACTIONS), size=len(best))
            best = np.where(generator.random(len(best)) < self.epsilon, anything, best)
        return np.asarray(LEARNT_ACTIONS)[best], None
