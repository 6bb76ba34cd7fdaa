"""A game while it is played and recorded: what becomes an `Episode`, life by life, with a way back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agents.demonstrations import Episode
from envs.breakout import Bytes, Game, Protocol

REGRET_STEPS = 15  # agent steps, 1 s: within so many of a life's start, undo means the life before


class Recording:
    """One game, recorded. `undo` plays it again up to where a life began: a game is its seed and its actions.

    Args:
        seed, protocol: of the game.

    Attributes:
        game: being played.
        undone: lives that were taken back.
    """

    def __init__(self, seed: int, protocol: Protocol) -> None:
        self.seed, self.protocol, self.undone = seed, protocol, 0
        self.game = Game(seed, protocol)
        self._pictures: list[Bytes] = list(self.game.observation)  # the first 3 black; then one for each step
        self._steps: list[tuple[int, float, bool, float]] = []  # action, points, life lost, speed

    def step(self, action: int, speed: float = 1.0, on_frame: Callable[[], None] | None = None) -> bool:
        """Take one step and keep it; see `Game.step`. Tell whether it cost a life. A console asleep ends the game."""
        lives = self.game.lives
        points = self.game.step(action, on_frame)
        if self.game.asleep:
            self.game.over = self.game.truncated = True
        lost = self.game.lives < lives
        self._pictures.append(self.game.observation[-1])
        self._steps.append((self.game.action, points, lost, speed))
        return lost

    def undo(self) -> bool:
        """Go back to the start of this life, or of the life before if this one has only begun.

        Returns:
            whether there was anything to take back.
        """
        if not self._steps:
            return False
        now = len(self._steps)
        starts = [0] + [number + 1 for number, step in enumerate(self._steps) if step[2]]
        past = [start for start in starts if start == 0 or now - start > REGRET_STEPS]
        again = Recording(self.seed, self.protocol)
        for action, _, _, speed in self._steps[: past[-1]]:
            again.step(action, speed)
        again.undone = self.undone + 1
        vars(self).update(vars(again))  # all at once: Ctrl-C while it was played again takes nothing back
        return True

    def __len__(self) -> int:
        return len(self._steps)

    def episode(self) -> Episode:
        """Return what was played so far.

        Raises:
            ValueError: nothing was.
        """
        actions, points, lost, speed = zip(*self._steps, strict=True) if self._steps else ((), (), (), ())
        return Episode(
            pictures=np.stack(self._pictures),
            actions=np.array(actions, np.int64),
            points=np.array(points, np.float32),
            life_lost=np.array(lost, np.bool_),
            speed=np.array(speed, np.float32),
            seed=self.seed,
            protocol=self.protocol.name,
            over=self.game.over,
            undone=self.undone,
        )
