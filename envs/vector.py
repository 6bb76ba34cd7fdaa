"""Many games of Breakout side by side, for exploration and training at full speed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from itertools import groupby
from typing import Any, TypeVar

import cv2
import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from envs.breakout import (
    ALL_ACTIONS,
    FIRE,
    LIVES,
    OBSERVATION_SHAPE,
    SIDE,
    STACK,
    Actions,
    Bytes,
    Mask,
    Protocol,
    ball_must_be_served,
    game_seeds,
)
from envs.slots import Slots, Standing, Step

Part = TypeVar("Part", Standing, Step)


class BreakoutVecEnv(VecEnv):
    """Many games at once on the native vector environment, behind stable-baselines3's `VecEnv`.

    Args:
        num_envs: games side by side.
        seed: each slot draws all its games from a stream of its own, spawned from this.
        protocol: `CLASSIC` or `STICKY`, or one for each slot, like ones side by side.
        actions: what the learner's action indices mean; `LEARNT_ACTIONS` leaves FIRE out.
        clip_rewards: give the learner the sign of the points, as published agents have it. The score stays whole.
        life_loss_ends: report a lost life as `done` while the game goes on.
        threads: for the emulators.

    Each `info` holds `lives`; where a game ended also `episode` (`r`: the unclipped score, `l`: agent steps),
    `terminal_observation` and `TimeLimit.truncated`, as stable-baselines3 expects them. With `life_loss_ends` a
    `done` without `episode` is a lost life; the observation that follows belongs to the same game.

    Attributes:
        observation: `(num_envs, 4, 84, 84)` uint8, the current one; channels last in memory.
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
        protocol: Protocol | Sequence[Protocol],
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
        self.clip_rewards, self.life_loss_ends = clip_rewards, life_loss_ends
        self._meaning = np.asarray(actions, np.int64)
        self.num_actions = len(actions)
        each = [protocol] * num_envs if isinstance(protocol, Protocol) else protocol
        if len(each) != num_envs:
            raise ValueError(f"{num_envs} slots need as many protocols, got {len(each)}")
        counts = [(one, len(list(slots))) for one, slots in groupby(each)]
        self._slots = [Slots(count, one, max(1, threads * count // num_envs)) for one, count in counts]
        self._ends = np.cumsum([count for _, count in counts])[:-1]
        self.observation: Bytes = np.zeros((num_envs, *OBSERVATION_SHAPE), np.uint8)
        self._lives = np.full(num_envs, LIVES)
        self._score = np.zeros(num_envs, np.int64)
        self._steps = np.zeros(num_envs, np.int64)
        self.seed(seed)
        self.taken: Actions = np.zeros(num_envs, np.int64)
        self.served: Mask = np.zeros(num_envs, np.bool_)
        self._to_serve: Mask = np.ones(num_envs, np.bool_)
        self.life_lost: Mask = np.zeros(num_envs, np.bool_)
        self.points = np.zeros(num_envs, np.float32)

    @property
    def seeds(self) -> npt.NDArray[np.int64]:
        """`(num_envs,)`, ALE's seed of each slot: its first game from there is `Game(seeds[i], protocol)`."""
        return np.concatenate([slots.seeds for slots in self._slots])

    def seed(self, seed: int | np.random.SeedSequence | None = None) -> Sequence[int]:
        """Draw the seeds of all slots anew; the next `reset` begins with them. Returns `seeds`."""
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        seeds = game_seeds(root, self.num_envs)
        for slots, part in zip(self._slots, np.split(np.array(seeds), self._ends), strict=True):
            slots.seed(part)
        return seeds

    def reset(self) -> Bytes:
        """Start a new game in every slot. Returns `(num_envs, 4, 84, 84)` uint8."""
        self._stand([slots.reset() for slots in self._slots])
        return self.observation

    def _stand(self, parts: list[Standing]) -> None:
        standing = joined(parts)
        self._show(standing.observation)
        self._lives, self._score, self._steps = standing.lives.astype(np.int64), standing.score, standing.steps

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
        for slots, taken in zip(self._slots, np.split(self.taken, self._ends), strict=True):
            slots.send(taken)

    def step_wait(self) -> VecEnvStepReturn:
        step = joined([slots.receive() for slots in self._slots])
        self._show(step.observation)
        over = step.terminated | step.truncated
        lives = step.lives.astype(np.int64)
        self.points = step.points.astype(np.float32)
        self.life_lost = (lives < self._lives) | step.terminated
        self._lives = lives
        self._score += step.points.astype(np.int64)
        self._steps += 1
        infos: list[dict[str, Any]] = [{"lives": n} for n in lives.tolist()]
        for i, final in zip(np.flatnonzero(over), step.final, strict=True):
            infos[i] |= {
                "episode": {"r": float(self._score[i]), "l": int(self._steps[i]), "t": time.time()},
                "terminal_observation": final,
                "TimeLimit.truncated": bool(step.truncated[i]),
            }
            self._score[i] = self._steps[i] = 0
        rewards = np.sign(self.points) if self.clip_rewards else self.points.copy()
        done = over | self.life_lost if self.life_loss_ends else over
        return self.observation, rewards, done, infos

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to rebuild the games as they stand: arrays and numbers."""
        return {
            "slots": [slots.state() for slots in self._slots],
            "score": self._score.copy(),
            "seen": zlib.crc32(self.observation.tobytes()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Rebuild the games of `state`, bit for bit, and all that will follow them.

        Raises:
            ValueError: other games than were kept.
        """
        self._stand([slots.restore(kept) for slots, kept in zip(self._slots, state["slots"], strict=True)])
        if (self._score != state["score"]).any() or zlib.crc32(self.observation.tobytes()) != state["seen"]:
            raise ValueError("the games came out differently: another version of ale-py, or a file that was changed")

    def close(self) -> None:
        """Stop the emulators' threads."""
        for slots in self._slots:
            slots.close()

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


def joined(parts: list[Part]) -> Part:
    """Lay what slots of several protocols brought side by side; a part that is the only one is not copied."""
    return parts[0] if len(parts) == 1 else type(parts[0])(*map(np.concatenate, zip(*parts, strict=True)))
