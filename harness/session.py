"""A person's session at the keyboard, without the window: the games, the speed, pause, undo, and what is kept on disk.

The game under way is written at every lost life, at undo and at the end, so whoever leaves loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from agents.demonstrations import Episode, Facts, episode_path, open_dataset, write_episode
from agents.files import locked
from agents.recording import Recording
from envs.breakout import PROTOCOLS, game_seeds

SPEEDS = {"full": 1.0, "half": 0.5, "quarter": 0.25, "step": 0.0}  # of 60 frames a second; step waits for a key


class Session:
    """Games of one person, one after the other, recorded into a data set.

    Args:
        folder: of the data set, new or to go on with.
        facts: who plays, under which protocol, and the seed that the games' seeds come from.
        speed: one of `SPEEDS`.

    Raises:
        UserError: the folder is not this data set's, or another session is using it.

    Attributes:
        recording: the game under way.
        number: of its episode.
        speed: of `SPEEDS`; may change at any step.
        paused: time stands still.
        scores: of the games played to their end in this session.
    """

    def __init__(self, folder: Path, facts: Facts, speed: float = 1.0) -> None:
        self.folder, self.facts, self.speed, self.paused = folder, facts, speed, False
        open_dataset(folder, facts)
        self._lock = locked(folder, "another session")
        self.number = open_dataset(folder, facts)  # only now: another session may have ended a game meanwhile
        self.scores: list[int] = []
        self._begin()

    def _begin(self) -> None:
        seed = game_seeds(np.random.SeedSequence(self.facts.seed), self.number + 1)[-1]
        self.recording = Recording(seed, PROTOCOLS[self.facts.protocol])
        self._saved = (0, 0)  # steps and undone lives of it that are on disk

    @property
    def over(self) -> bool:
        """The game under way has ended; `next_game` begins another."""
        return self.recording.game.over

    @property
    def path(self) -> Path:
        """Where the game under way is kept."""
        return episode_path(self.folder, self.number)

    def step(self, action: int, on_frame: Callable[[], None] | None = None) -> None:
        """Take one step; what was played is written when it costs a life."""
        if self.recording.step(action, self.speed, on_frame):
            self.save()

    def undo(self) -> bool:
        """Take back this life, or the one before if this one has only begun; see `Recording.undo`."""
        undone = self.recording.undo()
        if undone:
            self.save()
        return undone

    def next_game(self) -> None:
        """Keep the game that is over and begin another."""
        self.save()
        score = self.recording.game.score
        self.number += 1
        self._begin()
        self.scores.append(score)  # not before: who leaves meanwhile leaves a game that is over

    def save(self) -> None:
        """Write the game under way as far as it was played."""
        if not len(self.recording):
            self.path.unlink(missing_ok=True)  # all of it was taken back
        elif self._now != self._saved:
            write_episode(self.folder, self.number, self.recording.episode())
        self._saved = self._now

    @property
    def _now(self) -> tuple[int, int]:
        return len(self.recording), self.recording.undone

    def close(self) -> Episode | None:
        """Keep everything; return the game that was left in the middle, if there is one."""
        self.save()
        if not any(self.folder.glob("episode_*.npz")):  # nothing was played: another protocol may be chosen
            (self.folder / "dataset.json").unlink(missing_ok=True)
        self._lock.close()
        if self.over:
            self.scores.append(self.recording.game.score)
        return self.recording.episode() if len(self.recording) and not self.over else None
