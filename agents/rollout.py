"""Play a policy: whole games side by side, to be watched (`play`) or on all cores (`first_games`), or a stretch of many
as frozen transitions (`collect`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.policy import Policy
from envs.breakout import SIDE, STACK, Actions, Bytes, Game, Mask, Protocol
from envs.vector import BreakoutVecEnv


@dataclass(frozen=True)
class GameRecord:
    """One whole game: enough to judge it, and with its seed and actions to play it again exactly."""

    seed: int
    score: int
    steps: int
    lives_left: int
    truncated: bool
    actions: bytes
    """The action that each step really took, one byte each."""


def play(
    make_policy: Callable[[list[Game]], Policy],
    seeds: Sequence[int],
    protocol: Protocol,
    *,
    deterministic: bool = True,
    on_step: Callable[[list[Game], Actions], None] | None = None,
    max_steps: int | None = None,
) -> list[GameRecord]:
    """Play one game per seed, side by side as one batch, each to its end.

    Args:
        make_policy: gets the games, which only the demonstrator looks into.
        on_step: called with all games and the policy's actions before each step is taken.
        max_steps: stop here even if games are still running (agent steps).
    """
    games = [Game(seed, protocol) for seed in seeds]
    policy = make_policy(games)
    taken = [bytearray() for _ in games]
    state, start = None, np.ones(len(games), np.bool_)
    while not all(game.over for game in games) and (max_steps is None or max(game.steps for game in games) < max_steps):
        observation = np.stack([game.observation for game in games])
        actions, state = policy.predict(observation, state, start, deterministic)
        start[:] = False
        if on_step is not None:
            on_step(games, actions)
        for game, action, record in zip(games, actions, taken, strict=True):
            if not game.over:
                game.step(int(action))
                record.append(game.action)
    return [
        GameRecord(game.seed, game.score, game.steps, game.lives, game.truncated, bytes(record))
        for game, record in zip(games, taken, strict=True)
    ]


def first_games(policy: Policy, env: BreakoutVecEnv, max_steps: int) -> tuple[list[int], int]:
    """Play the first game of each slot to its end, or for `max_steps`, as `play` would: same seeds, same games.

    Returns:
        each game's unclipped score so far, and the agent steps of all.
    """
    state, start = None, np.ones(env.num_envs, np.bool_)
    env.reset()
    running, scores, steps = start.copy(), np.zeros(env.num_envs, np.int64), np.zeros(env.num_envs, np.int64)
    while running.any() and steps.max() < max_steps:
        actions, state = policy.predict(env.observation, state, start)
        _, _, start, _ = env.step(actions)
        scores += np.where(running, env.points, 0).astype(np.int64)
        steps += running
        running &= ~start
    return scores.tolist(), int(steps.sum())


@dataclass(frozen=True)
class Transitions:
    """T steps of N games. Pictures are kept once, not four times in stacks.

    Attributes:
        pictures: `(T + 4, N, 84, 84)` uint8. The observation at t stacks pictures t to t + 3.
        age: `(T + 1, N)`, pictures since the game began; older ones in a stack are black.
        taken: `(T, N)` actions as the game took them.
        points: `(T, N)` won, unclipped.
        life_lost, over: `(T, N)` bool; after `over` the next observation belongs to a new game.
    """

    pictures: Bytes
    age: npt.NDArray[np.int64]
    taken: Actions
    points: npt.NDArray[np.float32]
    life_lost: Mask
    over: Mask

    def __post_init__(self) -> None:
        steps, games = self.taken.shape
        if self.pictures.shape != (steps + STACK, games, SIDE, SIDE) or self.age.shape != (steps + 1, games):
            raise ValueError(
                f"pictures {self.pictures.shape} and age {self.age.shape} do not fit {steps} x {games} steps"
            )
        for name in ("points", "life_lost", "over"):
            if getattr(self, name).shape != (steps, games):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {(steps, games)}")

    def observations(self, t: npt.NDArray[np.int64], n: npt.NDArray[np.int64]) -> Bytes:
        """Stack the observations of games `n` `(B,)` at steps `t` `(B,)`, 0 to T: `(B, 4, 84, 84)` uint8."""
        back = np.arange(STACK)
        stacks: Bytes = self.pictures[t[:, None] + back, n[:, None]]  # (B, 4, 84, 84)
        stacks[STACK - 1 - back > self.age[t, n][:, None]] = 0
        return stacks


def collect(policy: Policy, env: BreakoutVecEnv, steps: int) -> Transitions:
    """Reset the games and let a policy take `steps` steps in each, its best actions."""
    observation, state, n = env.reset(), None, env.num_envs
    pictures, age = np.empty((steps + STACK, n, SIDE, SIDE), np.uint8), np.zeros((steps + 1, n), np.int64)
    pictures[:STACK] = observation.swapaxes(0, 1)
    taken, points = np.empty((steps, n), np.int64), np.empty((steps, n), np.float32)
    life_lost, over = np.empty((steps, n), np.bool_), np.empty((steps, n), np.bool_)
    start = np.ones(n, np.bool_)
    for t in range(steps):
        actions, state = policy.predict(env.observation, state, start)
        _, _, start, _ = env.step(actions)
        taken[t], points[t], life_lost[t], over[t] = env.taken, env.points, env.life_lost, start
        pictures[t + STACK], age[t + 1] = env.observation[:, -1], np.where(start, 0, age[t] + 1)
    return Transitions(pictures, age, taken, points, life_lost, over)
