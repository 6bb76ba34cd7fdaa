"""Slots of one protocol on the native vector environment, and how to rebuild their games where they stood."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.breakout import FRAME_SKIP, MAX_FRAMES, NOOP, Actions, Bytes, Mask, Protocol, game_seeds, native

RENEWAL = 10_000  # steps: what a sticky slot may have to repeat before its last game; seeding costs what 200 steps cost


class Step(NamedTuple):
    """What a step brought, for each of N slots."""

    observation: Bytes  # (N, 4, 84, 84); where a game ended, the first of the next one
    points: npt.NDArray[Any]  # (N,)
    terminated: Mask
    truncated: Mask
    lives: npt.NDArray[Any]  # (N,); where a game ended, those of the next one
    final: Bytes  # (E, 4, 84, 84), the last ones of the E games that ended


class Standing(NamedTuple):
    """How N games stand."""

    observation: Bytes  # (N, 4, 84, 84)
    lives: npt.NDArray[Any]  # (N,)
    score: npt.NDArray[np.int64]  # (N,)
    steps: npt.NDArray[np.int64]  # (N,), agent steps of the games that are on


class Slots:
    """Games of one protocol side by side, each slot with a seed of its own.

    The native environment can be neither copied nor saved, but what a slot does is decided by its seed and all actions
    since. Two ways make that short enough to be repeated. A `classic` game draws nothing while it is on, so all but the
    last one need only begin (10 ms each). A `sticky` game draws on from where the one before it ended: after the game
    with which it has made `RENEWAL` steps, a slot takes the seed that follows from its last.

    Args:
        count: slots.
        protocol: of all of them.
        threads: for the emulators.

    Attributes:
        seeds: `(N,)` int64, ALE's seeds; `seed` sets them.
    """

    def __init__(self, count: int, protocol: Protocol, threads: int) -> None:
        self._repeatable = protocol.sticky == 0
        self._native = native(count, protocol, threads)
        self.seeds = np.zeros(count, np.int64)
        self._begun = np.zeros(count, np.int64)  # games since the slot was seeded, the first to be repeated included
        self._steps = np.zeros(count, np.int64)  # to be repeated
        self._actions = np.zeros((MAX_FRAMES // FRAME_SKIP + 1 + RENEWAL, count), np.uint8)  # taken in them

    def seed(self, seeds: npt.NDArray[np.int64]) -> None:
        """Take other seeds `(N,)`; the next `reset` begins with them."""
        self.seeds = seeds.copy()
        self._begun[:] = 0

    def reset(self) -> Standing:
        """Start a new game in every slot."""
        if self._repeatable and self._begun.any():
            observation, info = self._native.reset()  # seeding loads the cartridge anew (over 100 ms a slot)
            self._begun += 1
        else:
            self.seeds = following(self.seeds) if self._begun.any() else self.seeds
            observation, info = self._native.reset(seed=self.seeds)
            self._begun[:] = 1
        self._steps[:] = 0
        nothing = np.zeros(len(self.seeds), np.int64)
        return Standing(observation, info["lives"], nothing, nothing.copy())

    def send(self, actions: Actions) -> None:
        """Start a step with these actions `(N,)` of the console."""
        self._actions[self._steps, np.arange(len(actions))] = actions
        self._steps += 1
        self._native.send(actions)

    def receive(self) -> Step:
        """Wait for the end of the step."""
        observation, points, terminated, truncated, info = self._native.recv()
        lives, over = info["lives"], terminated | truncated
        final = (info["final_obs"] if over.any() else observation)[over]
        if self._repeatable:
            self._begun += over
            self._steps[over] = 0
        elif (due := over & (self._steps >= RENEWAL)).any():
            self.seeds = np.where(due, following(self.seeds), self.seeds)
            observation, renewed = self._native.reset(seed=self.seeds[due], options={"reset_mask": due})
            lives = renewed["lives"]
            self._steps[due] = 0
        return Step(observation, points, terminated, truncated, lives, final)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs: arrays."""
        return {
            "seeds": self.seeds.copy(),
            "begun": self._begun.copy(),
            "steps": self._steps.copy(),
            "actions": self._actions[: self._steps.max()].copy(),
        }

    def restore(self, state: dict[str, Any]) -> Standing:
        """Rebuild the games of `state`, bit for bit, and all that will follow them; see the class.

        Each slot is seeded, begins the games that need not be repeated, and plays the rest again at the environment's
        usual speed, all slots side by side and ending together.
        """
        begun, steps, actions = state["begun"], state["steps"], state["actions"]
        self.seeds = state["seeds"].copy()
        begins = steps.max() - steps
        score, length = np.zeros(len(steps), np.int64), np.zeros(len(steps), np.int64)
        self._native.reset(seed=self.seeds)
        for number in range(2, begun.max()):
            self._native.reset(options={"reset_mask": begun > number})
        for t in range(steps.max() + 1):
            if (now := begins == t).any():
                seeds = np.where(begun == 1, self.seeds, -1)[now]  # -1: draw on
                observation, info = self._native.reset(seed=seeds, options={"reset_mask": now})
                score[now] = length[now] = 0
            if t < steps.max():
                # Until its time comes a slot waits in another game: without FIRE that cannot end in time.
                rows = np.maximum(t - begins, 0)
                taken = np.where(t < begins, NOOP, actions[rows, np.arange(len(steps))]).astype(np.int64)
                observation, points, terminated, truncated, info = self._native.step(taken)
                over = terminated | truncated
                score, length = np.where(over, 0, score + points.astype(np.int64)), np.where(over, 0, length + 1)
        self._begun, self._steps = begun.copy(), steps.copy()
        self._actions[: len(actions)] = actions
        return Standing(observation, info["lives"], score, length)

    def close(self) -> None:
        """Stop the emulators' threads."""
        self._native.close()


def following(seeds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the seed that comes after each of these, `(N,)`."""
    return np.array([game_seeds(np.random.SeedSequence(int(seed)), 1)[0] for seed in seeds])
