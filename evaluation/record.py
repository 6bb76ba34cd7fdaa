"""What the judge found, and how it is kept: `evaluation.json`, and the games themselves in `evaluation.npz` beside it.

The second file holds every action of every judged game. A game is its seed and its actions, so whatever was judged
can be watched or checked again, exactly and without the agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from agents.files import UserError, filled, read_json, write_atomically, write_json
from agents.rollout import GameRecord
from envs.breakout import AWAKE_FRAMES, BOTH_WALLS, FRAME_SKIP, LEFT, LIVES, PROTOCOLS, STICKY
from evaluation.statistics import Summary, count_distinct, summarise


@dataclass(frozen=True)
class JudgedGame:
    """One full game. `score` in points, unclipped; `steps` in agent steps; `truncated`: it was cut while it went on."""

    seed: int
    score: int
    steps: int
    lives_left: int
    truncated: bool

    def __post_init__(self) -> None:
        if not (0 <= self.score <= BOTH_WALLS and self.steps > 0 and 0 <= self.lives_left <= LIVES):
            raise ValueError(f"not a game of Breakout: {self}")


def looped(game: JudgedGame | GameRecord) -> bool:
    """Tell whether it was stopped because it repeated itself, and not because its time was up; see `decided`."""
    return game.truncated and game.score < BOTH_WALLS and game.steps * FRAME_SKIP < AWAKE_FRAMES


@dataclass(frozen=True)
class Evaluation:
    """One agent judged under one protocol.

    Attributes:
        agent: the file as it was given, or `random` or `demonstrator`.
        training_seed: None where nothing was trained.
        deterministic: the best action each step (greedy), or draws from the policy (sampled).
        judge_seed: decides the games' seeds.
        fingerprint: sha256 of what played (the agent file, or the source of the scripted policy).
        steps, wall_seconds: what judging cost.
    """

    agent: str
    paradigm: str
    protocol: str
    training_seed: int | None
    games: tuple[JudgedGame, ...]
    summary: Summary
    deterministic: bool
    judge_seed: int
    fingerprint: str
    steps: int
    wall_seconds: float

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS or not self.games or self.steps < 1:
            raise ValueError(f"unknown protocol {self.protocol!r}, no games or no steps")
        if abs(self.summary.mean - float(np.mean(self.scores))) > 0.01:
            raise ValueError(f"the mean of these games is {np.mean(self.scores):.2f}, not {self.summary.mean:.2f}")

    @property
    def mode(self) -> str:
        """`greedy` or `sampled`."""
        return "greedy" if self.deterministic else "sampled"

    @property
    def key(self) -> str:
        """What an agent can be judged by at most once: protocol and mode."""
        return f"{self.protocol}-{self.mode}"

    @property
    def scores(self) -> list[int]:
        """Points of each game, `(games,)`."""
        return [game.score for game in self.games]

    @property
    def independent(self) -> bool:
        """Whether the games are several draws of their own, so that an interval over them says something."""
        return len(self.games) > 1 and (self.protocol == STICKY.name or not self.deterministic)

    @property
    def spread(self) -> tuple[float, float]:
        """The 95% interval of the mean; where games repeat, the lowest and the highest score."""
        return self.summary.ci95 if self.independent else (min(self.scores), max(self.scores))


def judged(records: Sequence[GameRecord]) -> tuple[JudgedGame, ...]:
    """Return games without their actions."""
    return tuple(JudgedGame(r.seed, r.score, r.steps, r.lives_left, r.truncated) for r in records)


def summary_of(records: Sequence[GameRecord], seed: int) -> Summary:
    """Sum games up; `seed` decides the bootstrap's resamples."""
    scores = np.array([record.score for record in records], np.float64)
    distinct = count_distinct([(record.score, record.actions) for record in records])
    return summarise(scores, distinct, np.random.default_rng(seed))


def read_evaluations(path: Path) -> list[Evaluation]:
    """Read `evaluation.json`.

    Raises:
        UserError: the file is not what the judge writes.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path}: should hold a list of evaluations; delete it and run `breakout evaluate` again")
    try:
        return [filled(Evaluation, entry) for entry in content]
    except ValueError as error:
        raise UserError(f"{path}: not an evaluation ({error}); delete it and run `breakout evaluate` again") from error


def write_evaluation(path: Path, evaluation: Evaluation, records: Sequence[GameRecord]) -> None:
    """Put `evaluation` into `path` and its games into `evaluation.npz` beside it, each atomically.

    Other protocols and modes of the very same agent stay; what an older agent left there goes.
    """
    kept: list[Evaluation] = []
    if path.exists():
        kept = [
            e for e in read_evaluations(path) if e.fingerprint == evaluation.fingerprint and e.key != evaluation.key
        ]
    known = _read_actions(path)
    actions = {e.key: known[e.key] for e in kept if e.key in known}
    actions[evaluation.key] = np.frombuffer(b"".join(record.actions for record in records), np.uint8)
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **actions)
    write_atomically(_games_path(path), buffer.getvalue())
    write_json(path, [asdict(e) for e in sorted([*kept, evaluation], key=lambda e: e.key)])


def read_games(path: Path, evaluation: Evaluation) -> list[GameRecord] | None:
    """Return the judged games with their actions, or None if `evaluation.npz` does not hold them."""
    actions = _read_actions(path).get(evaluation.key)
    lengths = [game.steps for game in evaluation.games]
    if (
        not isinstance(actions, np.ndarray)
        or actions.shape != (sum(lengths),)
        or actions.dtype != np.uint8
        or actions.max() > LEFT
    ):
        return None
    pieces = np.split(actions, np.cumsum(lengths)[:-1])
    return [
        GameRecord(**asdict(game), actions=piece.tobytes())
        for game, piece in zip(evaluation.games, pieces, strict=True)
    ]


def _games_path(path: Path) -> Path:
    return path.with_suffix(".npz")


def _read_actions(path: Path) -> dict[str, Any]:
    try:
        with np.load(_games_path(path), allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except MemoryError:
        raise
    except Exception:  # zipfile, its decompressors and numpy each raise their own
        return {}  # missing or damaged: the games can be played again
