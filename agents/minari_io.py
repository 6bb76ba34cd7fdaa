"""Data sets of the Minari format, out and in, so that anybody's Breakout demonstrations can be learnt from.

Younis et al. (2024), "Minari": a folder whose `data/` holds `metadata.json` and an HDF5 file with a group for each
episode. Pictures go out as they are (`jpeg_encoding=False`), stacked as the agents see them. What comes in must be
pictures as this project makes them: whatever cannot be turned into those exactly is refused, and nothing is downloaded.
"""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from agents.demonstrations import GAME, UNKNOWN, Demonstrations, Episode, Facts
from agents.files import UserError, new_folder, read_json
from envs.breakout import ALL_ACTIONS, FIRE, LEFT, LIVES, NOOP, OBSERVATION_SHAPE, PROTOCOLS, RIGHT, SIDE, STACK, Bytes

FULL_SET = {0: NOOP, 1: FIRE, 3: RIGHT, 4: LEFT}  # of ALE's 18 actions, those that Breakout knows
_OURS = "breakout_three_ways"  # our own key in the metadata


def _storage() -> Any:
    """Import Minari only where it is needed: it is an extra."""
    try:
        import_module("h5py")  # what Minari keeps its files with
        from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise UserError(
            "this needs minari and h5py; install them: pip install 'breakout-three-ways[minari]'"
        ) from error
    return MinariStorage


# -- out ---------------------------------------------------------------------------------------------------------------


def write_minari(data: Demonstrations, target: Path) -> None:
    """Write a data set in Minari's format, whole or not at all.

    Args:
        target: a new folder. In Minari's own folder of data sets, `minari.load_dataset(<name of target>)` finds it.

    Raises:
        UserError: the folder exists, the disk is too full, or Minari is not installed.
    """
    storage_type = _storage()
    with new_folder(target) as temporary:
        (temporary / "data").mkdir(parents=True)
        needed = sum(e.pictures.nbytes for e in data.episodes) * STACK * 11 // 10 + 2**22
        if shutil.disk_usage(temporary).free < needed:  # where a disk fills up HDF5 brings the interpreter down
            raise UserError(
                f"{target}: needs {needed >> 20} MiB, more than the disk has left; make room or choose another folder"
            )
        space = gym.spaces.Box(0, 255, OBSERVATION_SHAPE, np.uint8)
        actions = gym.spaces.Discrete(len(ALL_ACTIONS))
        storage = storage_type.new(temporary / "data", space, actions, data_format="hdf5", jpeg_encoding=False)
        storage.update_metadata(_metadata(data, target.name))
        for number, episode in enumerate(data.episodes):
            storage.update_episodes([_buffer(number, episode)])
            storage.update_episode_metadata([{"protocol": episode.protocol, "undone": episode.undone}], [number])


def _metadata(data: Demonstrations, name: str) -> dict[str, Any]:
    from minari import __version__

    dataset_id = name if re.search(r"-v\d+$", name) else f"{name}-v0"
    return {
        "dataset_id": dataset_id,
        "minari_version": __version__,
        "author": {data.facts.name},
        "algorithm_name": data.facts.name,
        "description": f"Breakout, {data.facts.protocol}: 4 frames a step, 4 grey pictures of 84 x 84, FIRE pressed "
        "for everyone where a ball has to be served",
        _OURS: {"game": GAME, "protocol": data.facts.protocol, "seed": data.facts.seed},
    }


def _buffer(number: int, episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    steps = len(episode.actions)
    ends = np.arange(steps) == steps - 1
    stacks = np.lib.stride_tricks.sliding_window_view(episode.pictures, STACK, axis=0)  # (T + 1, 84, 84, 4)
    return EpisodeBuffer(
        id=number,
        seed=episode.seed,
        observations=np.moveaxis(stacks, -1, 1),
        actions=episode.actions,
        rewards=episode.points,
        terminations=ends & episode.over,
        truncations=ends & (not episode.over),
        infos={
            "lives": LIVES - np.append(0, np.cumsum(episode.life_lost)),
            "speed": np.append(episode.speed, episode.speed[-1]),
        },
    )


# -- in ----------------------------------------------------------------------------------------------------------------


def read_minari(path: Path) -> tuple[Facts, list[Episode]]:
    """Read a Minari data set of Breakout.

    Args:
        path: its folder, with `data/metadata.json` in it.

    Raises:
        UserError: it is missing, damaged, of another game, or not exactly of our kind; the sentence names the episode.
    """
    storage_type = _storage()
    data_path = path if (path / "metadata.json").exists() else path / "data"
    described = data_path / "metadata.json"
    if not described.exists():
        raise UserError(f"{path}: no Minari data set (data/metadata.json) there; nothing is downloaded")
    metadata = read_json(described, "copy it again")
    _check(described, metadata)
    try:
        storage = storage_type.read(data_path)
    except Exception as error:  # whatever Minari stumbles over
        raise UserError(f"{described}: Minari cannot read it ({_first_line(error)}); copy it again") from error
    _check_spaces(described, storage.observation_space, storage.action_space)
    meanings = FULL_SET if storage.action_space.n == 18 else {action: action for action in ALL_ACTIONS}
    ours = metadata.get(_OURS) or {}
    try:
        facts = Facts(_name(metadata, path), ours.get("protocol", UNKNOWN), ours.get("seed"))
    except ValueError as error:
        raise UserError(f"{described}: its {_OURS} cannot be used ({error}); export it again") from error
    episodes = []
    for number in range(metadata["total_episodes"]):
        try:
            (content,) = storage.get_episodes([number])
            (attributes,) = storage.get_episode_metadata([number])
            episodes.append(_episode(content, attributes, meanings, facts.protocol))
        except MemoryError:
            raise
        except Exception as error:  # Minari, h5py and our own checks each raise their own
            raise UserError(f"{data_path}: episode {number}: {_first_line(error)}; leave it out or mend it") from error
    return facts, episodes


def _name(metadata: dict[str, Any], path: Path) -> str:
    author = metadata.get("author") or [metadata.get("dataset_id", path.name)]
    return str(author[0] if isinstance(author, list) else author)


def _check(path: Path, metadata: Any) -> None:
    """Refuse before anything is opened: a description without spaces would have Minari make an environment."""
    if not isinstance(metadata, dict) or not {"observation_space", "action_space"} <= metadata.keys():
        raise UserError(f"{path}: does not say what its observations and actions are; write it again with both spaces")
    ours = metadata.get(_OURS)
    if ours is not None and (not isinstance(ours, dict) or ours.get("protocol") not in (*PROTOCOLS, UNKNOWN)):
        raise UserError(f"{path}: its {_OURS} names no protocol of ours; export it again")
    game = _environment(metadata.get("env_spec"))
    if game is not None and GAME not in game.lower():
        raise UserError(f"{path}: holds labels of {game}, not of Breakout; pass a data set of Breakout")
    if metadata.get("data_format") != "hdf5":
        raise UserError(f"{path}: its format is {metadata.get('data_format')!r}; only hdf5 is read: convert it")
    count = metadata.get("total_episodes")
    if type(count) is not int or count < 1:
        raise UserError(f"{path}: holds no episodes (total_episodes {count!r}); pass a data set that has some")


def _environment(spec: Any) -> str | None:
    try:
        return str(json.loads(spec)["id"]) if spec else None
    except (ValueError, TypeError, KeyError):
        return "an environment that it does not name"


def _check_spaces(path: Path, observations: Any, actions: Any) -> None:
    if not isinstance(actions, gym.spaces.Discrete) or actions.n not in (len(ALL_ACTIONS), 18) or actions.start != 0:
        raise UserError(f"{path}: its actions are {actions}, not Discrete(4) or Discrete(18) of ALE; convert them")
    shapes = (OBSERVATION_SHAPE, (SIDE, SIDE, STACK), (SIDE, SIDE))
    if (
        not isinstance(observations, gym.spaces.Box)
        or observations.shape not in shapes
        or observations.dtype != np.uint8
    ):
        shape, dtype = getattr(observations, "shape", "?"), getattr(observations, "dtype", "?")
        hint = "; colour frames cannot be turned into ours exactly" if shape == (210, 160, 3) else ""
        raise UserError(
            f"{path}: its observations are {dtype} {shape}, not uint8 of one of {shapes}{hint}; convert them"
        )
    if read_json(path).get("jpeg_encoding", True) and observations.shape != OBSERVATION_SHAPE:
        raise UserError(
            f"{path}: its pictures are stored as JPEG, which changes them; write them with jpeg_encoding=False"
        )


def _episode(content: dict[str, Any], attributes: dict[str, Any], meanings: dict[int, int], protocol: str) -> Episode:
    actions = np.asarray(content["actions"])
    if actions.ndim != 1 or actions.dtype.kind not in "iu":
        raise ValueError(f"actions must be whole numbers (T,), got {actions.dtype} {actions.shape}")
    strange = [int(action) for action in np.unique(actions) if int(action) not in meanings]
    if strange:
        raise ValueError(f"action {strange[0]} is not in the set {sorted(meanings)}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is refused
        rewards = np.asarray(content["rewards"], np.float32)
    infos, steps, seed = content.get("infos") or {}, len(actions), attributes.get("seed")
    pictures = _pictures(np.asarray(content["observations"]), steps)
    lives = np.asarray(infos.get("lives", np.full(steps + 1, LIVES)))
    if lives.dtype.kind not in "iu" or lives.min() < 0 or lives.max() > LIVES:
        raise ValueError(f"lives must be whole numbers from 0 to {LIVES}")
    ends = np.asarray(content["terminations"])
    if ends.shape != (steps,) or ends[:-1].any():
        raise ValueError("terminations must be one for each action, and true at the last alone")
    speed = np.asarray(infos.get("speed", np.ones(steps + 1)), np.float32)
    return Episode(
        pictures=pictures,
        actions=np.array([meanings[int(action)] for action in actions], np.int64),
        points=rewards,
        life_lost=np.diff(lives.astype(np.int64)) < 0,
        speed=speed[:-1],
        seed=None if seed is None else int(seed),
        protocol=str(attributes.get("protocol", protocol)),
        over=bool(ends[-1:].any()),
        undone=int(attributes.get("undone", 0)),
    )


def _pictures(observations: npt.NDArray[Any], steps: int) -> Bytes:
    """Take the stacks of `steps` + 1 observations apart: `(T + 4, 84, 84)`, each picture once."""
    if observations.dtype != np.uint8:
        raise ValueError(f"observations must be uint8, got {observations.dtype}")
    if len(observations) != steps + 1:
        raise ValueError(f"{steps} actions need {steps + 1} observations, got {len(observations)}")
    if observations.shape[1:] == (SIDE, SIDE):
        return np.concatenate([np.zeros((STACK - 1, SIDE, SIDE), np.uint8), observations])
    if observations.shape[1:] == (SIDE, SIDE, STACK):
        observations = np.moveaxis(observations, -1, 1)
    if observations.shape[1:] != OBSERVATION_SHAPE:
        raise ValueError(f"observations have shape {observations.shape[1:]}, not {OBSERVATION_SHAPE}")
    if not np.array_equal(observations[1:, :-1], observations[:-1, 1:]):
        raise ValueError("its stacks do not overlap as those of consecutive steps do")
    return np.concatenate([observations[0], observations[1:, -1]])


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
