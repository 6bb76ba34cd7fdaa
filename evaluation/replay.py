"""Films of games: what the agent did, with what it did written beside the picture, never over it.

A game is its seed and its actions, so a film shows the very game that was judged, and that its score comes out again is
checked first. Which game is shown follows a rule, not taste: the one in the middle of the scores. Pictures are streamed
to the encoder that imageio-ffmpeg ships, one per agent step at 15 a second, which is the pace of the console.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import imageio_ffmpeg
from PIL import Image

from agents.files import UserError, write_json
from agents.rollout import GameRecord
from envs.breakout import FRAME_SKIP, PROTOCOLS, Bytes, Game
from evaluation.panel import Panel, new_canvas, put
from evaluation.record import read_evaluations, read_games

FRAMES_PER_SECOND = 60 // FRAME_SKIP  # one picture per agent step: real time
MAX_SECONDS = 180
STILL_SECONDS = 2  # the last picture stays
# Keeps three minutes under 5 MB whatever happens on the screen (kbit/s); a quiet film stays far below.
RATE_LIMIT = 190


@dataclass(frozen=True)
class Take:
    """What to film: one game of one agent, and why this one."""

    name: str
    protocol: str
    record: GameRecord
    rule: str


@dataclass(frozen=True)
class Film:
    """What a film shows; kept beside it as JSON.

    Attributes:
        scores: of the whole games, in points, even where the film stops earlier.
        steps, total_steps: agent steps filmed, and of the longest game.
        complete: every game is shown to its end.
    """

    names: tuple[str, ...]
    protocol: str
    rule: str
    seeds: tuple[int, ...]
    scores: tuple[int, ...]
    steps: int
    total_steps: int
    frames_per_second: int
    complete: bool

    def __post_init__(self) -> None:
        if not (len(self.names) == len(self.seeds) == len(self.scores) > 0 and self.frames_per_second > 0):
            raise ValueError("a film needs names, and as many seeds and scores")


def take_from(path: Path, name: str, protocol: str, deterministic: bool = True) -> Take:
    """Choose the judged game in the middle of the scores.

    Args:
        path: an `evaluation.json`.
        name: how the film calls the agent.
        protocol, deterministic: which of its evaluations. The random policy's only mode stands for either.

    Raises:
        UserError: there is no such evaluation, or its games were not kept.
    """
    for evaluation in read_evaluations(path):
        if evaluation.protocol == protocol and evaluation.deterministic == (
            deterministic and evaluation.agent != "random"
        ):
            games = read_games(path, evaluation)
            if games is None:
                raise UserError(
                    f"{path.with_suffix('.npz')}: does not hold the judged games; run `breakout evaluate` again"
                )
            rule = f"the median of {len(games)} judged games ({protocol}, {evaluation.mode})"
            return Take(name, protocol, games[median_game(evaluation.scores)], rule)
    raise UserError(f"{path}: holds no such {protocol} games; run `breakout evaluate --protocol {protocol}` first")


def median_game(scores: Sequence[int]) -> int:
    """Return the place of the score in the middle: of two the lower one, of equals the first."""
    order = sorted(range(len(scores)), key=lambda place: (scores[place], place))
    return scores.index(scores[order[(len(scores) - 1) // 2]])


def film(takes: Sequence[Take], path: Path, max_seconds: float = MAX_SECONDS) -> Film:
    """Film one game, or several side by side, from their first steps on.

    Writes `path` (H.264, yuv420p), a poster (`.jpg`) and what the film shows (`.json`) beside it.

    Args:
        takes: at least one.
        path: ends in `.mp4`.
        max_seconds: where the film of a longer game stops, saying so in its last pictures.

    Raises:
        UserError: a game does not come to the score it was judged with, or the folder cannot be written.
    """
    for take in takes:
        check(take)
    last = max(take.record.steps for take in takes)
    steps = round(min(last, max_seconds * FRAMES_PER_SECOND))
    shown = Film(
        names=tuple(take.name for take in takes),
        protocol=takes[0].protocol,
        rule=takes[0].rule,
        seeds=tuple(take.record.seed for take in takes),
        scores=tuple(take.record.score for take in takes),
        steps=steps,
        total_steps=last,
        frames_per_second=FRAMES_PER_SECOND,
        complete=steps == last,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path.with_suffix(".json"), asdict(shown))
        _encode(path, pictures(takes, steps), f"{', '.join(shown.names)}: {shown.rule}", poster_at=steps // 2)
    except OSError as error:
        raise UserError(f"{path}: the film cannot be written ({error}); free space or choose another folder") from error
    return shown


def check(take: Take) -> None:
    """Play the game again without a camera and compare.

    Raises:
        UserError: it comes to another score than it was judged with.
    """
    game = Game(take.record.seed, PROTOCOLS[take.protocol])
    for action in take.record.actions:
        if not game.over:
            game.step(action)
    if (game.score, game.steps) != (take.record.score, take.record.steps):
        raise UserError(
            f"{take.name}: the game with seed {take.record.seed} was judged with {take.record.score} points and "
            f"replays with {game.score}; judge the agent again with this version of the emulator"
        )


def pictures(takes: Sequence[Take], steps: int) -> Iterator[Bytes]:
    """Yield `(height, width, 3)` uint8: the start, one picture per step, and the last one for a while.

    The array is the same one each time and is overwritten by the next picture.
    """
    panels = [Panel(take.name, take.protocol, take.record, scale=3 if len(takes) == 1 else 2) for take in takes]
    columns = math.ceil(math.sqrt(len(takes)))
    canvas = new_canvas(panels[0], len(panels), columns)
    for step in range(steps + 1):
        for place, panel in enumerate(panels):
            if step > 0:
                panel.step()
            put(canvas, panel.picture(film_stops=step == steps), place, columns)
        yield canvas
    for _ in range(STILL_SECONDS * FRAMES_PER_SECOND):
        yield canvas


def _encode(path: Path, frames: Iterable[Bytes], comment: str, poster_at: int) -> None:
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    options = ["-preset", "fast", "-crf", "24", "-maxrate", f"{RATE_LIMIT}k", "-bufsize", f"{RATE_LIMIT * 4}k"]
    options += ["-g", str(10 * FRAMES_PER_SECOND), "-threads", "1", "-movflags", "+faststart"]
    options += ["-metadata", f"comment={comment}"]
    writer = None
    try:
        for number, frame in enumerate(frames):
            if writer is None:
                writer = imageio_ffmpeg.write_frames(
                    str(temporary.absolute()), frame.shape[1::-1], fps=FRAMES_PER_SECOND, codec="libx264", quality=None,
                    macro_block_size=2, output_params=options,
                )  # fmt: skip
                writer.send(None)
            writer.send(frame)
            if number == poster_at:
                Image.fromarray(frame).save(path.with_suffix(".jpg"), quality=80)
        if writer is not None:
            writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
