"""Exploration: the agent plays by itself and keeps what it saw of its keypoints, did, and was told by the game."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agents.encoder import Encoder
from agents.files import UserError
from agents.planner import PlannerHead
from agents.policy import State
from agents.rollout import Transitions
from agents.tracker import CODES, LAST, Floats
from envs.breakout import BOTH_WALLS, LEARNT_ACTIONS, LIVES, Actions, Bytes, Mask, ball_must_be_served


@dataclass(frozen=True)
class Experience:
    """T steps of N games as the learner keeps them.

    Attributes:
        readings: `(T, N, K, 3)` of each slot before the step: x, y (pixels), confidence.
        taken: `(T, N)` actions as the game took them.
        points: `(T, N)` won, unclipped.
        life_lost, over: `(T, N)` bool; `over` also ends a stretch of games that was cut off.
    """

    readings: Floats
    taken: Actions
    points: Floats
    life_lost: Mask
    over: Mask

    def __post_init__(self) -> None:
        if self.taken.size == 0:
            raise ValueError("an empty exploration")
        if not self.over[-1].all():
            raise ValueError("the last step must end every stretch")
        if not np.isfinite(self.readings).all():
            raise ValueError("a reading is not finite")

    @staticmethod
    def join(parts: Sequence[Experience]) -> Experience:
        """Put stretches one after another: `(T1 + T2 + ..., N)`."""
        names = ("readings", "taken", "points", "life_lost", "over")
        return Experience(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def score(self) -> float:
        """Points that five lives won on average, cut-off games included; at most what a game holds."""
        return min(float(LIVES * self.points.sum() / max(1, self.life_lost.sum())), float(BOTH_WALLS))


class Explorer:
    """Plays the planner's greedy action, or with probability epsilon a random one; a policy.

    Args:
        on_step: called at every step (progress).

    Attributes:
        readings: one `(N, K, 3)` for each step taken.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: PlannerHead,
        epsilon: float,
        generator: np.random.Generator,
        on_step: Callable[[], None],
    ) -> None:
        self.encoder, self.head, self.epsilon = encoder, head, epsilon
        self.generator, self.on_step = generator, on_step
        self.readings: list[Floats] = []

    @torch.inference_mode()
    def predict(
        self, observation: Bytes, state: State = None, episode_start: Mask | None = None, deterministic: bool = True
    ) -> tuple[Actions, State]:
        assert episode_start is not None
        pictures = torch.from_numpy(observation).to(self.head.device)
        actions, state = self.head.act(self.encoder, pictures, state, episode_start, True, self.generator)
        self.readings.append(self.head.last_readings)
        chance = self.generator.random(len(actions)) < self.epsilon
        actions = np.where(chance, self.generator.choice(LEARNT_ACTIONS, len(actions)), actions)
        assert state is not None
        state[0][:, LAST] = np.where(ball_must_be_served(observation), 0, CODES[actions])  # what was really done
        self.on_step()
        return actions, state


def read_all(encoder: Encoder, head: PlannerHead, rollout: Transitions, on_step: Callable[[], None]) -> Floats:
    """Read the keypoints of every observation of a rollout -> `(T, N, K, 3)`."""
    device = head.device
    steps, games = rollout.taken.shape
    readings = np.empty((steps, games, head.eyes.slots, 3), np.float32)
    for t in range(0, steps, 8):
        rows = np.arange(t, min(t + 8, steps))
        observations = rollout.observations(np.repeat(rows, games), np.tile(np.arange(games), len(rows)))
        batch = torch.from_numpy(observations).to(device)
        readings[rows] = head.read(encoder, batch).reshape(len(rows), games, -1, 3)
        on_step()
    if not np.isfinite(readings).all():
        raise UserError("the keypoints are no longer numbers; give a smaller --learning-rate")
    return readings
