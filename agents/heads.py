"""Heads: what turns the encoder's view of a state into an action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.encoder import Encoder, mirror
from agents.policy import State
from envs.breakout import FRAME_SKIP, LEARNT_ACTIONS, MAX_FRAMES, Actions, Mask, score_changed

MIRRORED_ORDER = (0, 2, 1)  # in a mirror RIGHT is LEFT: the place in LEARNT_ACTIONS of each action's image
CIRCLING = 300  # steps without a point, after which a greedy agent may be going round in circles
BLUR = 0.3  # temperature of its choice from then on, in logits
STUCK = 1000  # steps without a point, after which that was not enough, and the blur grows

Scores = npt.NDArray[np.floating[Any]]

_LOTS = np.random.default_rng(0).gumbel(size=(MAX_FRAMES // FRAME_SKIP, len(LEARNT_ACTIONS)))


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


def steps_without_a_point(observation: Tensor, state: State, episode_start: Mask) -> Actions:
    """Count on from `state`, whose first array is what this returned last; `(N,)`."""
    before = np.zeros(len(observation), np.int64) if state is None else state[0]
    return np.where(episode_start | score_changed(observation[:, -2:].cpu().numpy()), 0, before + 1)


def blurred(scores: Scores, dry: Actions, temperature: float | Scores) -> Scores:
    """Help out of a loop: once it may be in one, the best of these scores is a draw from their softmax.

    With one best action for each state, a game without chance can go round in circles for ever; good agents do so
    before the last bricks. The lots are the same in every game: play remains a function of what was seen.

    Args:
        scores: `(N, 3)`.
        dry: `(N,)` steps without a point.
        temperature: of the softmax, in the scores' unit; or one for each row, `(N, 1)`.
    """
    return scores + np.where(dry[:, None] < CIRCLING, 0.0, temperature * _LOTS[dry % len(_LOTS)])


def growing(temperature: float, dry: Actions) -> Scores:
    """Return the temperature for each game, `(N, 1)`: one more of it for every 300 steps past 1,000 without a point.

    Where only what looks wrong leads out of a loop, it is taken sooner or later; by then a life is worth the risk.
    """
    return np.asarray(temperature * (1 + np.maximum(dry - STUCK, 0)[:, None] / CIRCLING))


def choose(scores: Scores, dry: Actions, deterministic: bool, generator: np.random.Generator) -> Actions:
    """Return places in LEARNT_ACTIONS `(N,)`: of the best logits, or drawn from their softmax."""
    # The arg-max of scores with Gumbel noise is a draw from their softmax.
    noisy = blurred(scores, dry, growing(BLUR, dry)) if deterministic else scores + generator.gumbel(size=scores.shape)
    return np.asarray(noisy.argmax(axis=1))


class ActionHead(Head):
    """One score (logit) for each of NOOP, RIGHT, LEFT: the head of PPO's agent and of who imitates recorded games.

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
        dry = steps_without_a_point(observation, state, episode_start)
        return np.asarray(LEARNT_ACTIONS)[choose(scores, dry, deterministic, generator)], (dry,)
