"""Many games of Breakout side by side, for exploration and training at full speed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from envs.breakout import (
    ALL_ACTIONS,
    CLASSIC,
    FIRE,
    FRAME_SKIP,
    LIVES,
    MAX_FRAMES,
    NOOP,
    OBSERVATION_SHAPE,
    SIDE,
    STACK,
    Actions,
    Bytes,
    Mask,
    Protocol,
    ball_must_be_served,
    game_seeds,
    native,
)


class BreakoutVecEnv(VecEnv):
    """Many games at once on the native vector environment, behind stable-baselines3's `VecEnv`.

    Args:
        num_envs: games side by side.
        seed: each slot draws all its games from a stream of its own, spawned from this.
        protocol: `CLASSIC` or `STICKY`.
        actions: what the learner's action indices mean; `LEARNT_ACTIONS` leaves FIRE out.
        clip_rewards: give the learner the sign of the points, as published agents have it. The score stays whole.
        life_loss_ends: report a lost life as `done` while the game goes on.
        threads: for the emulators.

    Each `info` holds `lives`; where a game ended also `episode` (`r`: the unclipped score, `l`: agent steps),
    `terminal_observation` and `TimeLimit.truncated`, as stable-baselines3 expects them. With `life_loss_ends` a
    `done` without `episode` is a lost life; the observation that follows belongs to the same game.

    Attributes:
        observation: `(num_envs, 4, 84, 84)` uint8, the current one; channels last in memory.
        seeds: `(num_envs,)` int64, ALE's seed of each slot: the first game of slot i is `Game(seeds[i], protocol)`.
        taken: `(num_envs,)` int64, the action that the last step really took (FIRE where a ball had to be served).
        served: `(num_envs,)` bool, where that was FIRE on the adapter's account.
        life_lost: `(num_envs,)` bool, where the last step cost a life.
        points: `(num_envs,)` float32, what the last step won, unclipped.
    """

    render_mode = None

    def __init__(
        self,
        num_envs: int,
        seed: int | np.random.SeedSequence,
        protocol: Protocol,
        *,
        actions: Sequence[int] = ALL_ACTIONS,
        clip_rewards: bool = False,
        life_loss_ends: bool = False,
        threads: int = 2,
    ) -> None:
        super().__init__(
            num_envs,
            gym.spaces.Box(0, 255, OBSERVATION_SHAPE, np.uint8),
            gym.spaces.Discrete(len(actions)),
        )
        self.protocol, self.clip_rewards, self.life_loss_ends = protocol, clip_rewards, life_loss_ends
        self._meaning = np.asarray(actions, np.int64)
        self.num_actions = len(actions)
        self._native = native(num_envs, protocol, threads)
        self.observation: Bytes = np.zeros((num_envs, *OBSERVATION_SHAPE), np.uint8)
        self._lives = np.full(num_envs, LIVES)
        self._score = np.zeros(num_envs, np.int64)
        self._steps = np.zeros(num_envs, np.int64)
        self._games = np.zeros(num_envs, np.int64)  # begun in each slot since it was seeded
        self.seed(seed)
        self._actions = np.zeros((MAX_FRAMES // FRAME_SKIP + 1, num_envs), np.uint8)  # taken in the games that are on
        self.taken: Actions = np.zeros(num_envs, np.int64)
        self.served: Mask = np.zeros(num_envs, np.bool_)
        self._to_serve: Mask = np.ones(num_envs, np.bool_)
        self.life_lost: Mask = np.zeros(num_envs, np.bool_)
        self.points = np.zeros(num_envs, np.float32)

    def seed(self, seed: int | np.random.SeedSequence | None = None) -> Sequence[int]:
        """Draw the seeds of all slots anew; the next `reset` begins with them. Returns `seeds`."""
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self.seeds = np.array(game_seeds(root, self.num_envs))
        self._games[:] = 0
        return [int(one) for one in self.seeds]

    def reset(self) -> Bytes:
        """Start a new game in every slot. Returns `(num_envs, 4, 84, 84)` uint8."""
        # Seeding reloads the cartridge (90 ms a slot): once, then the slots' streams run on.
        observation, info = self._native.reset(seed=None if self._games.any() else self.seeds)
        self._show(observation)
        self._games += 1
        self._lives = info["lives"].astype(np.int64)
        self._score[:] = self._steps[:] = 0
        return self.observation

    def _show(self, observation: Bytes) -> None:
        # Each pixel's four moments side by side in memory, as convolutions take them: OpenCV is ten times faster at it.
        shown = np.empty((self.num_envs, SIDE, SIDE, STACK), np.uint8)
        cv2.merge([observation[:, moment].reshape(-1, SIDE) for moment in range(STACK)], shown.reshape(-1, SIDE, STACK))
        self.observation, self._to_serve = shown.transpose(0, 3, 1, 2), ball_must_be_served(observation)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        if np.min(actions) < 0:
            raise ValueError(f"actions must be from 0 to {self.num_actions - 1}, got {np.min(actions)}")
        self.served = self._to_serve
        self.taken = np.where(self.served, FIRE, self._meaning[actions])
        self._native.send(self.taken)

    def step_wait(self) -> VecEnvStepReturn:
        observation, points, terminated, truncated, info = self._native.recv()
        self._show(observation)
        over = terminated | truncated
        lives = info["lives"].astype(np.int64)  # where a game ended: those of the next one
        self.points = points.astype(np.float32)
        self.life_lost = (lives < self._lives) | terminated
        self._lives = lives
        self._score += points.astype(np.int64)
        self._actions[self._steps, np.arange(self.num_envs)] = self.taken
        self._steps += 1
        self._games += over
        infos: list[dict[str, Any]] = [{"lives": n} for n in lives.tolist()]
        for i in np.flatnonzero(over):
            infos[i] |= {
                "episode": {"r": float(self._score[i]), "l": int(self._steps[i]), "t": time.time()},
                "terminal_observation": info["final_obs"][i].copy(),
                "TimeLimit.truncated": bool(truncated[i]),
            }
            self._score[i] = self._steps[i] = 0
        rewards = np.sign(self.points) if self.clip_rewards else self.points.copy()
        done = over | self.life_lost if self.life_loss_ends else over
        return self.observation, rewards, done, infos

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to rebuild the games as they stand: arrays and numbers."""
        return {
            "seeds": self.seeds.copy(),
            "games": self._games.copy(),
            "steps": self._steps.copy(),
            "actions": self._actions[: self._steps.max()].copy(),
            "score": self._score.copy(),
            "seen": zlib.crc32(self.observation.tobytes()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Rebuild the games of `state`, bit for bit, and all that will follow them.

        The native environment can be neither copied nor saved. But a `classic` game is its seed, how many games its
        slot began before it, and its actions: each slot is seeded, begins as many games (10 ms each), and plays the
        last one's actions again (at the environment's usual speed), all slots side by side and ending together.

        Raises:
            ValueError: `sticky` games (each draws on from where the last one ended), or other games than were kept.
        """
        if self.protocol != CLASSIC:
            raise ValueError("only classic games can be rebuilt")
        games, steps, actions = state["games"], state["steps"], state["actions"]
        self.seeds = state["seeds"]
        last_begins = steps.max() - steps
        self._native.reset(seed=self.seeds)
        for number in range(2, games.max()):
            self._native.reset(options={"reset_mask": games > number})
        for t in range(steps.max() + 1):
            if (begins := last_begins == t).any():
                seeds = np.where(games == 1, self.seeds, -1)[begins]  # -1: draw on
                observation, info = self._native.reset(seed=seeds, options={"reset_mask": begins})
                self._lives, self._score[begins] = info["lives"].astype(np.int64), 0
            if t < steps.max():
                # Until its game begins a slot waits in the one before: without FIRE that cannot end in time.
                rows = np.maximum(t - last_begins, 0)
                self.taken = np.where(t < last_begins, NOOP, actions[rows, np.arange(self.num_envs)]).astype(np.int64)
                observation, points, _, _, info = self._native.step(self.taken)
                self._lives = info["lives"].astype(np.int64)
                self._score += points.astype(np.int64)
        self._show(observation)
        self._games, self._steps = games.copy(), steps.copy()
        self._actions[: len(actions)] = actions
        if (self._score != state["score"]).any() or zlib.crc32(self.observation.tobytes()) != state["seen"]:
            raise ValueError("the games came out differently: another version of ale-py, or a file that was changed")

    def close(self) -> None:
        """Stop the emulators' threads."""
        self._native.close()

    # What else stable-baselines3 asks of a VecEnv. The games live in native code: there are no Python
    # environments behind the slots whose attributes or methods could be reached.
    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise NotImplementedError("the games run in native code; make a new BreakoutVecEnv instead")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("the games run in native code and have no Python methods")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))
