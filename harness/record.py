"""A person plays, and every key becomes a label (`window.py`, `session.py`); what is said and kept at the end."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from agents.demonstrations import Demonstrations, Episode, Facts, read_demonstrations
from agents.files import UserError
from agents.lag import measure_lag
from agents.rollout import GameRecord
from agents.run import Interrupted
from envs.breakout import FRAME_SKIP, LIVES
from evaluation.record import Evaluation, judged, read_evaluations, summary_of, write_evaluation
from evaluation.runs import PERSON
from harness.flags import valid_seed
from harness.profiles import profile_named
from harness.session import SPEEDS, Session
from harness.window import FRAMES_PER_SECOND, Window


@dataclass(frozen=True)
class Config:
    """Play with the keyboard; every step's key is a label to learn from."""

    name: str
    """Who plays."""
    protocol: Literal["classic", "sticky"] = "classic"
    """classic (no sticky actions) or sticky (each frame repeats the last action with probability 0.25)."""
    seed: int = 0
    """Decides the games."""
    speed: Literal["full", "half", "quarter", "step"] = "full"
    """full (60 frames a second), half, quarter, or step (waits for a key at each step)."""
    games: int | None = None
    """End after so many games (games)."""
    out: Path | None = None
    """Folder of the data set, new or to go on with; demonstrations/NAME unless given."""
    profile: str = "quick"
    """The games stand in the report of this profile."""
    runs: Path = Path("runs")
    """Folder that holds the run folders."""

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.replace(" ", "").replace("-", "").replace("_", "").isalnum():
            raise UserError(f"--name {self.name!r}: give a name of letters, digits, spaces, - and _")
        valid_seed(self.seed)
        if self.games is not None and self.games < 1:
            raise UserError(f"--games must be 1 or more, got {self.games}")
        profile_named(self.profile)  # says which there are

    @property
    def folder(self) -> Path:
        """Of the data set."""
        return self.out or Path("demonstrations") / self.file_name

    @property
    def file_name(self) -> str:
        """The person's name as folders have it."""
        return self.name.strip().replace(" ", "-").lower()


def record(config: Config) -> None:
    """Open the window, record until the person leaves, sum up.

    Raises:
        Interrupted: Ctrl-C was pressed; what was played until then is kept and summed up.
        UserError: there is no display or no pygame, the data set is not theirs, or a game was left in the middle.
    """
    who = PERSON + Path(os.path.realpath(config.folder)).name  # as the data set is called: two of one person stay apart
    report = config.runs / config.profile / who / f"seed_{config.seed}" / "evaluation.json"
    if report.exists() and any(e.fingerprint != _fingerprint(config.folder) for e in read_evaluations(report)):
        raise UserError(f"{report}: holds the games of another data set; move it away or choose another --runs folder")
    window, interrupted = Window(), False
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # whoever closes the terminal leaves, too
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        session = Session(config.folder, Facts(config.name, config.protocol, config.seed), SPEEDS[config.speed])
        try:
            window.play(session, config.games)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            left = session.close()
    finally:
        window.close()
    if not any(config.folder.glob("episode_*.npz")):
        raise UserError(f"{config.folder}: nothing was played, so nothing is recorded")
    data = read_demonstrations(config.folder)
    write_games(data, report)
    print(summary(data, session.scores, report))
    if interrupted:
        raise Interrupted
    if left is not None:
        raise UserError(
            f"{session.path}: episode {session.number} was left in the middle, after {len(left.actions)} steps and "
            f"{left.score} points; everything recorded is kept, but it is no whole game for the report"
        )


# -- what is said and kept ---------------------------------------------------------------------------------------------


def summary(data: Demonstrations, scores: Sequence[int], report: Path) -> str:
    """Say what was recorded, its lag, and how to train on it."""
    played = ", ".join(map(str, scores)) or "none"
    labelled = sum(episode.labelled for episode in data.episodes)
    lines = [
        f"{data.facts.name}, {data.facts.protocol}, seed {data.facts.seed}",
        f"games played to their end: {len(scores)} (points: {played})",
        f"data set: {data.folder}, {len(data.episodes)} episodes, {labelled} labelled states",
        f"lag of the keys behind the picture: {measure_lag(data.episodes)}",
    ]
    if report.exists():
        lines.append(f"for the report: {report}")
    return "\n".join([*lines, f"train on it: breakout train supervised --labels {shlex.quote(str(data.folder))}"])


def whole(episode: Episode) -> bool:
    """A game that counts: played to its end, and nothing taken back."""
    return episode.over and not episode.undone


def write_games(data: Demonstrations, path: Path) -> None:
    """Let the person's whole games stand in a report, under their name and how fast the games ran."""
    games = [episode for episode in data.episodes if whole(episode)]
    if not games:
        return
    records = [_game_record(episode) for episode in games]
    slowest = min(float(episode.speed.min()) for episode in games)
    pace = "" if slowest == 1 else ", step by step" if slowest == 0 else ", slowed down"
    steps = sum(record.steps for record in records)
    seconds = sum(float((FRAME_SKIP / FRAMES_PER_SECOND / e.speed[e.speed > 0]).sum()) for e in games)
    seed = data.facts.seed or 0
    evaluation = Evaluation(
        agent=data.facts.name + pace,
        paradigm="person",
        protocol=data.facts.protocol,
        training_seed=None,
        games=judged(records),
        summary=summary_of(records, seed),
        deterministic=False,
        judge_seed=seed,
        fingerprint=_fingerprint(data.folder),
        steps=steps,
        wall_seconds=round(seconds, 2),
    )
    write_evaluation(path, evaluation, records)


def _fingerprint(folder: Path) -> str:
    return hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()


def _game_record(episode: Episode) -> GameRecord:
    lives, actions = LIVES - int(episode.life_lost.sum()), episode.actions.astype(np.uint8).tobytes()
    return GameRecord(episode.seed or 0, episode.score, len(episode.actions), lives, lives > 0, actions)
