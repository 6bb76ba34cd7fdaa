"""The head of a value-based agent: what each action is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from agents.encoder import Encoder
from agents.heads import Head, blurred, growing, of_actions, steps_without_a_point
from agents.policy import State
from envs.breakout import LEARNT_ACTIONS, Actions, Mask

BLUR = 0.05  # temperature of a greedy choice that may go in circles, in points


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
        values = of_actions(self, encoder, observation, self.mirrored).float().cpu().numpy()
        dry = steps_without_a_point(observation, state, episode_start)
        if deterministic:
            best = blurred(values, dry, growing(BLUR, dry)).argmax(axis=1)  # (N,)
        else:
            anything = generator.integers(len(LEARNT_ACTIONS), size=len(values))
            best = np.where(generator.random(len(values)) < self.epsilon, anything, values.argmax(axis=1))
        return np.asarray(LEARNT_ACTIONS)[best], (dry,)
