"""Recorded labels: what somebody pressed at every step of a game, kept on disk as a data set.

A data set is a folder with `dataset.json` (who played, how) and one `episode_<n>.npz` for each game. Every file is
written whole or not at all, so whoever quits in the middle keeps all that was written before. Nothing is unpickled,
and every file is checked when it is read: shapes, types, actions, points, and whether the pictures are of Breakout.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.files import UserError, read_json, write_atomically, write_json
from envs.breakout import (
    ALL_ACTIONS,
    BOTH_WALLS,
    CLASSIC,
    FIRE,
    FRAME_SKIP,
    LIVES,
    MAX_FRAMES,
    PROTOCOLS,
    SIDE,
    STACK,
    Actions,
    Bytes,
    Game,
    Mask,
)

FORMAT = 1  # of the data set; raise it when older folders can no longer be read
GAME = "breakout"
UNKNOWN = "unknown"  # protocol of demonstrations whose maker did not say
MAX_STEPS = MAX_FRAMES // FRAME_SKIP
# Of an 84 x 84 picture, what never shows anything but wall: both sides and the ceiling.
_WALL = np.zeros((SIDE, SIDE), np.bool_)
_WALL[13:73, [0, 1, 2, 81, 82, 83]] = _WALL[9:12] = True
_LARGEST_SEED = 2**63 - 1  # that is kept as int64
_LARGEST_BYTES = (MAX_STEPS + STACK) * SIDE * SIDE + 4_096  # of an array of the longest game, with its header


def is_seed(value: object) -> bool:
    """Whether `value` is a seed as data sets have it: a whole number from 0, or None."""
    return value is None or (isinstance(value, int) and 0 <= value <= _LARGEST_SEED)


@dataclass(frozen=True)
class Episode:
    """One game, or as much of it as was played.

    Attributes:
        pictures: `(T + 4, 84, 84)` uint8, each once. The observation at step t stacks pictures t to t + 3.
        actions: `(T,)` int64, as the game took them: FIRE where a ball had to be served.
        points: `(T,)` float32 won, unclipped.
        life_lost: `(T,)` bool.
        speed: `(T,)` float32, how fast the game ran: 1 is 60 frames a second, 0 waited for a key at each step.
        seed: the game's, with which its actions play it again; None if nobody recorded it.
        protocol: `classic`, `sticky` or `unknown`.
        over: the game was played to its end.
        undone: lives that were taken back while it was played.
    """

    pictures: Bytes
    actions: Actions
    points: npt.NDArray[np.float32]
    life_lost: Mask
    speed: npt.NDArray[np.float32]
    seed: int | None
    protocol: str
    over: bool
    undone: int = 0

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if not 0 < steps <= MAX_STEPS:
            raise ValueError(f"a game has 1 to {MAX_STEPS} steps, this one {steps}")
        _check_shape("pictures", self.pictures, (steps + STACK, SIDE, SIDE), np.uint8)
        _check_shape("actions", self.actions, (steps,), np.int64)
        _check_shape("points", self.points, (steps,), np.float32)
        _check_shape("life_lost", self.life_lost, (steps,), np.bool_)
        _check_shape("speed", self.speed, (steps,), np.float32)
        if not np.isin(self.actions, ALL_ACTIONS).all():
            wrong = int(self.actions[~np.isin(self.actions, ALL_ACTIONS)][0])
            raise ValueError(f"action {wrong} is not in the set {ALL_ACTIONS}")
        for name in ("points", "speed"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} hold a value that is not a number")
        if self.points.min() < 0 or self.score > BOTH_WALLS or self.points.sum() % 1:
            raise ValueError(f"no game of Breakout wins {self.points.sum():g} points")
        if self.speed.min() < 0 or self.speed.max() > 1 or self.life_lost.sum() > LIVES:
            raise ValueError("speed lies outside 0 to 1, or more lives were lost than there are")
        if self.protocol not in (*PROTOCOLS, UNKNOWN):
            raise ValueError(f"protocol {self.protocol!r} is unknown")
        if not is_seed(self.seed):
            raise ValueError(f"seed {self.seed!r} is no whole number from 0 to {_LARGEST_SEED}")
        if not isinstance(self.over, bool) or not isinstance(self.undone, int) or self.undone < 0:
            raise ValueError(f"over is {self.over!r} and undone {self.undone!r}, not a bool and a number from 0")
        black = np.asarray(~self.pictures.any(axis=(1, 2)))  # before the first picture of a game
        if black[STACK - 1 :].any() or not (self.pictures[~black][:, _WALL] == _wall()).all():
            raise ValueError("its pictures show no Breakout as this project sees it")

    @property
    def score(self) -> int:
        """Points, unclipped."""
        return int(self.points.sum())

    @property
    def labelled(self) -> int:
        """Steps at which an action was chosen: all but those at which FIRE is pressed for everyone."""
        return int((self.actions != FIRE).sum())


@dataclass(frozen=True)
class Facts:
    """What `dataset.json` says about all of a data set's episodes.

    Attributes:
        name: who played.
        protocol: of its games.
        seed: the games' seeds come from it; None if they came from elsewhere.
    """

    name: str
    protocol: str
    seed: int | None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.protocol not in (*PROTOCOLS, UNKNOWN) or not is_seed(self.seed):
            raise ValueError(f"name {self.name!r}, protocol {self.protocol!r}, seed {self.seed!r}")


@dataclass(frozen=True)
class Demonstrations:
    """A data set, read and checked. `fingerprint`: sha256 over its episodes' files."""

    folder: Path
    facts: Facts
    episodes: tuple[Episode, ...]
    fingerprint: str


def _check_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    if array.shape != shape or array.dtype != dtype:
        found = f"{array.dtype} {array.shape}"
        raise ValueError(f"{name} must be {np.dtype(dtype).name} {shape}, got {found}")


@lru_cache(maxsize=1)
def _wall() -> Bytes:
    picture: Bytes = Game(0, CLASSIC).observation[-1]
    return np.asarray(picture[_WALL])


# -- writing -----------------------------------------------------------------------------------------------------------


def open_dataset(folder: Path, facts: Facts) -> int:
    """Make a data set, or go on with it; return the number of its next episode.

    Raises:
        UserError: the folder holds somebody else's, or games of another protocol or seed, or something else.
    """
    path = folder / "dataset.json"
    if path.exists():
        found = _read_facts(path)
        if found != facts:
            raise UserError(f"{path}: holds {_said(found)}, not {_said(facts)}; choose another --out folder")
    elif folder.exists() and any(other.name != ".lock" for other in folder.iterdir()):
        raise UserError(f"{folder}: holds other files, and no data set; choose another folder")
    else:
        write_json(path, {"format": FORMAT, "game": GAME, **asdict(facts)})
    numbers = [int(episode.stem.removeprefix("episode_")) for episode in _episode_paths(folder)]
    return max(numbers, default=-1) + 1


def write_episode(folder: Path, number: int, episode: Episode) -> Path:
    """Write an episode, whole or not at all; one of the same number is replaced."""
    path = episode_path(folder, number)
    buffer = BytesIO()
    plain = vars(episode) | {"seed": -1 if episode.seed is None else episode.seed}
    np.savez_compressed(buffer, allow_pickle=False, **plain)
    write_atomically(path, buffer.getvalue())
    return path


def episode_path(folder: Path, number: int) -> Path:
    """Where a data set keeps an episode."""
    return folder / f"episode_{number:04d}.npz"


def _said(facts: Facts) -> str:
    return f"{facts.protocol} games of {facts.name!r} with seed {facts.seed}"


# -- reading -----------------------------------------------------------------------------------------------------------


def read_demonstrations(folder: Path) -> Demonstrations:
    """Read a data set.

    Raises:
        UserError: it is missing, empty, of another game or format, or an episode is damaged; the sentence names it.
    """
    path = folder / "dataset.json"
    if not path.exists():
        raise UserError(
            f"{folder}: no data set (dataset.json) there; `breakout record` and `breakout import` write one"
        )
    facts, paths = _read_facts(path), _episode_paths(folder)
    if not paths:
        raise UserError(f"{folder}: holds no episodes; record some with `breakout record --name NAME --out {folder}`")
    episodes = tuple(read_episode(p) for p in paths)
    digest = hashlib.sha256()
    for episode in paths:
        digest.update(episode.read_bytes())
    return Demonstrations(folder, facts, episodes, digest.hexdigest())


def read_episode(path: Path) -> Episode:
    """Read and check one episode.

    Raises:
        UserError: it is cut short, or not what `write_episode` writes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.file_size > _LARGEST_BYTES for member in archive.infolist()):
                raise ValueError("an array is larger than the longest game")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        scalars = {name: found.pop(name).item() for name in ("seed", "protocol", "over", "undone")}
        scalars["seed"] = None if scalars["seed"] == -1 else scalars["seed"]
        return Episode(**found, **scalars)
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]} is missing; delete it or copy it again") from error
    except (MemoryError, PermissionError, FileNotFoundError):
        raise  # the episode may be whole, or taken back a moment ago
    except Exception as error:  # zipfile, its decompressors, numpy and our own checks each raise their own
        raise UserError(f"{path}: not a whole episode ({error}); delete it or copy it again") from error


def _episode_paths(folder: Path) -> list[Path]:
    """Its episodes and nothing else: a file manager's `episode_0000 (copy).npz` is no other game."""
    return sorted(p for p in folder.glob("episode_*.npz") if p.stem.removeprefix("episode_").isdecimal())


def _read_facts(path: Path) -> Facts:
    content = read_json(path, "mend it or copy it again: the games are in the other files")
    if not isinstance(content, dict) or content.get("game") != GAME:
        game = content.get("game") if isinstance(content, dict) else None
        raise UserError(
            f"{path}: holds labels of {game or 'no game that it names'}, not of {GAME}; pass another folder"
        )
    if content.pop("format", None) != FORMAT:
        raise UserError(f"{path}: another version's format; this version reads format {FORMAT}")
    del content["game"]
    try:
        return Facts(**content)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: does not describe a data set ({error}); copy it again") from error
