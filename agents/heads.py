"""Heads: what turns the encoder's view of a state into an action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from agents.encoder import Encoder, mirror
from agents.policy import State
from envs.breakout import LEARNT_ACTIONS, Actions, Mask

MIRRORED_ORDER = (0, 2, 1)  # in a mirror RIGHT is LEFT: the place in LEARNT_ACTIONS of each action's image


class Head(nn.Module, ABC):
    """What an agent has on top of the shared encoder.

    Whatever must outlive the process is a parameter or a buffer, so that it fits in the agent file; `settings` holds
    the keyword arguments that rebuild the module before those are loaded.
    """

    kind: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the JSON-able keyword arguments of the constructor."""

    @abstractmethod
    def act(
        self,
        encoder: Encoder,
        observation: Tensor,
        state: State,
        episode_start: Mask,
        deterministic: bool,
        generator: np.random.Generator,
    ) -> tuple[Actions, State]:
        """Choose actions in ALE's order for `(N, 4, 84, 84)` uint8; see `agents.policy.Policy.predict`."""


def of_actions(head: Head, encoder: Encoder, observation: Tensor, mirrored: bool) -> Tensor:
    """What a head says of each action, `(N, 3)`; if `mirrored`, averaged over the picture and its mirror image."""
    said: Tensor = head(encoder(observation).features)
    if mirrored:
        said = (said + head(encoder(mirror(observation)).features)[:, MIRRORED_ORDER]) / 2
    return said


class ActionHead(Head):
    """One score (logit) for each of NOOP, RIGHT, LEFT: the head of the supervised and the reinforcement agent.

    Args:
        features_dim: length of the encoder's feature vector.
        mirrored: at play, average the logits of the picture and of its mirror image.
    """

    kind = "action"

    def __init__(self, features_dim: int, mirrored: bool = False) -> None:
        super().__init__()
        self.mirrored = mirrored
        self.linear = nn.Linear(features_dim, len(LEARNT_ACTIONS))

    def settings(self) -> dict[str, Any]:
        return {"features_dim": self.linear.in_features, "mirrored": self.mirrored}

    def forward(self, features: Tensor) -> Tensor:
        """Features `(B, D)` -> logits `(B, 3)`."""
        logits: Tensor = self.linear(torch.relu(features))
        return logits

    def act(
        self,
        encoder: Encoder,
        observation: Tensor,
        state: State,
        episode_start: Mask,
        deterministic: bool,
        generator: np.random.Generator,
    ) -> tuple[Actions, State]:
        scores = of_actions(self, encoder, observation, self.mirrored).float().cpu().numpy()
        if not deterministic:
            scores = scores + generator.gumbel(size=scores.shape)  # the arg-max of which is a draw from the softmax
        return np.asarray(LEARNT_ACTIONS)[scores.argmax(axis=1)], None
