"""Minari data sets: ours come back exactly, Minari itself reads them, and what is wrong with anybody's is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.demonstrations import (
    Demonstrations,
    Episode,
    Facts,
    open_dataset,
    read_demonstrations,
    write_episode,
)
from agents.files import UserError
from agents.minari_io import read_minari, write_minari
from agents.recording import Recording
from envs.breakout import LEFT, NOOP, RIGHT, STICKY
from harness.cli import main

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")

STACKED = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    """A life, and a stretch at half speed."""
    short = []
    for seed, speed in ((4, 1.0), (6, 0.5)):
        recording = Recording(seed, STICKY)
        while len(recording) < 60:
            recording.step((NOOP, RIGHT, LEFT)[len(recording) // 7 % 3], speed)
        short.append(recording.episode())
    return short


@pytest.fixture(scope="module")
def exported(episodes: list[Episode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minari") / "ada-v0"
    write_minari(Demonstrations(folder, Facts("Ada", "sticky", 3), tuple(episodes), ""), folder)
    return folder


def theirs(
    folder: Path,
    episode: Episode,
    observations: np.ndarray,
    space: gym.Space[Any] = STACKED,
    actions: np.ndarray | None = None,
    count: int = 4,
    *,
    jpeg: bool = False,
    **metadata: object,
) -> Path:
    """Write a data set as somebody else would, with no word of ours in it."""
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    (folder / "data").mkdir(parents=True)
    storage = MinariStorage.new(folder / "data", space, gym.spaces.Discrete(count), jpeg_encoding=jpeg)
    storage.update_metadata({"dataset_id": "theirs-v0", **metadata})
    steps = len(episode.actions)
    storage.update_episodes(
        [
            EpisodeBuffer(
                observations=observations,  # type: ignore[arg-type]
                actions=episode.actions if actions is None else actions,  # type: ignore[arg-type]
                rewards=episode.points,  # type: ignore[arg-type]
                terminations=np.zeros(steps, bool),  # type: ignore[arg-type]
                truncations=np.arange(steps) == steps - 1,  # type: ignore[arg-type]
            )
        ]
    )
    return folder


def stacks(episode: Episode) -> np.ndarray:
    return np.stack([episode.pictures[t : t + 4] for t in range(len(episode.actions) + 1)])


def test_what_went_out_comes_in_again(exported: Path, episodes: list[Episode]) -> None:
    facts, again = read_minari(exported)
    assert facts == Facts("Ada", "sticky", 3)
    for one, other in zip(again, episodes, strict=True):
        for name, value in vars(other).items():
            np.testing.assert_array_equal(getattr(one, name), value, err_msg=name)


def test_minari_itself_reads_it(exported: Path, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(exported.parent))
    dataset = minari.load_dataset("ada-v0")
    assert dataset.total_steps == sum(len(episode.actions) for episode in episodes)
    assert dataset.action_space == gym.spaces.Discrete(4)
    assert not dataset.storage.jpeg_encoding
    first = dataset[0]
    np.testing.assert_array_equal(first.observations, stacks(episodes[0]))
    np.testing.assert_array_equal(first.actions, episodes[0].actions)
    assert first.rewards.sum() == episodes[0].score
    assert all(dataset.observation_space.contains(observation) for observation in first.observations[:3])


@pytest.mark.parametrize("shape", ["(4, 84, 84)", "(84, 84, 4)", "(84, 84)"])
def test_other_peoples_layouts_give_the_same_pictures(tmp_path: Path, episodes: list[Episode], shape: str) -> None:
    episode = episodes[0]
    pictures = {"(4, 84, 84)": stacks(episode), "(84, 84, 4)": np.moveaxis(stacks(episode), 1, -1),
                "(84, 84)": episode.pictures[3:]}[shape]  # fmt: skip
    space = gym.spaces.Box(0, 255, pictures.shape[1:], np.uint8)
    facts, (again,) = read_minari(theirs(tmp_path / "d", episode, pictures, space))
    np.testing.assert_array_equal(again.pictures, episode.pictures)
    np.testing.assert_array_equal(again.actions, episode.actions)
    assert (facts.name, facts.protocol, again.seed, again.over) == ("theirs-v0", "unknown", None, False)


def test_the_full_action_set_is_mapped_where_breakout_knows_it(tmp_path: Path, episodes: list[Episode]) -> None:
    episode = episodes[0]
    full = np.array([0, 1, 3, 4])[episode.actions]
    _, (again,) = read_minari(theirs(tmp_path / "d", episode, stacks(episode), actions=full, count=18))
    np.testing.assert_array_equal(again.actions, episode.actions)
    full[5] = 2
    folder = theirs(tmp_path / "up", episode, stacks(episode), actions=full, count=18)
    with pytest.raises(UserError, match="episode 0: action 2 is not in the set"):
        read_minari(folder)


def spoilt(path: Path, name: str, value: object, where: object = 7) -> None:
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        array = file[f"episode_1/{name}"][()]
        if isinstance(value, np.ndarray):
            array = value
        else:
            array[where] = value
        del file[f"episode_1/{name}"]
        file[f"episode_1/{name}"] = array


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: spoilt(p, "actions", 9), "action 9 is not in the set"),
        (lambda p: spoilt(p, "actions", np.full(60, np.nan)), "actions must be whole numbers"),
        (lambda p: spoilt(p, "actions", np.zeros(59, np.int64)), "59 actions need 60 observations, got 61"),
        (lambda p: spoilt(p, "rewards", np.nan), "not a number"),
        (lambda p: spoilt(p, "observations", np.zeros((61, 4, 84, 84), np.float32)), "must be uint8, got float32"),
        (lambda p: spoilt(p, "observations", np.zeros((61, 4, 84, 80), np.uint8)), r"shape \(4, 84, 80\)"),
        (lambda p: spoilt(p, "observations", 0), "stacks do not overlap"),
        (lambda p: spoilt(p, "observations", np.full((61, 4, 84, 84), 9, np.uint8)), "no Breakout"),
        (lambda p: spoilt(p, "infos/speed", np.inf), "speed"),
        (lambda p: spoilt(p, "infos/lives", -3), "lives"),
        (lambda p: spoilt(p, "infos/lives", np.full(61, np.nan)), "lives"),
        (lambda p: spoilt(p, "terminations", True), "terminations"),
    ],
)
def test_what_is_wrong_with_which_episode(
    exported: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(exported, folder)
    spoil(folder)
    with pytest.raises(UserError, match=f"episode 1: .*{said}") as error:
        read_minari(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"env_spec": json.dumps({"id": "ALE/Pong-v5"})}, "labels of ALE/Pong-v5"),
        ({"total_episodes": 0}, "holds no episodes"),
        ({"total_episodes": True}, "holds no episodes"),
        ({"data_format": "arrow"}, "only hdf5 is read"),
        ({"observation_space": None}, "does not say what its observations"),
        ({"breakout_three_ways": {"protocol": "loose"}}, "names no protocol"),
        ({"breakout_three_ways": {"protocol": "sticky", "seed": "x"}}, "seed 'x'"),
        ({"total_episodes": 3}, "episode 2: "),
    ],
)
def test_what_is_wrong_with_the_description(
    exported: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(exported, folder)
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in metadata.items() if value is not None}))
    with pytest.raises(UserError, match=said) as error:
        read_minari(folder)
    assert str(folder) in str(error.value)


def test_colour_jpeg_and_foreign_actions_are_refused(tmp_path: Path, episodes: list[Episode]) -> None:
    episode = episodes[0]
    colour = np.zeros((len(episode.actions) + 1, 210, 160, 3), np.uint8)
    folder = theirs(tmp_path / "colour", episode, colour, gym.spaces.Box(0, 255, (210, 160, 3), np.uint8))
    with pytest.raises(UserError, match="colour frames cannot be turned into ours exactly"):
        read_minari(folder)
    grey = gym.spaces.Box(0, 255, (84, 84), np.uint8)
    folder = theirs(tmp_path / "jpeg", episode, episode.pictures[3:], grey, jpeg=True)
    with pytest.raises(UserError, match="stored as JPEG"):
        read_minari(folder)
    folder = theirs(tmp_path / "six", episode, stacks(episode), count=6)
    with pytest.raises(UserError, match=r"actions are Discrete\(6\)"):
        read_minari(folder)


def test_a_file_that_is_cut_short_or_missing(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(exported, folder)
    path = folder / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(UserError, match="episode 0"):
        read_minari(folder)
    path.unlink()
    with pytest.raises(UserError, match="Minari cannot read it"):
        read_minari(folder)
    with pytest.raises(UserError, match="no Minari data set"):
        read_minari(tmp_path / "nowhere")


def test_the_command_line_goes_out_and_in(
    tmp_path: Path, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # paths are as people type them
    source, between, back = "source", "out-v0", "back"
    open_dataset(Path(source), Facts("Ada", "sticky", 3))
    for number, episode in enumerate(episodes):
        write_episode(Path(source), number, episode)
    main(["export", source, between])
    main(["import", between, back])
    one, other = read_demonstrations(Path(source)), read_demonstrations(Path(back))
    assert one.facts == other.facts
    assert one.fingerprint == other.fingerprint
    with pytest.raises(SystemExit) as stop:
        main(["import", between, back])
    assert stop.value.code == 2


def test_an_import_that_is_cut_short_leaves_nothing(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_the_second(folder: Path, number: int, episode: Episode) -> None:
        if number == 1:
            raise KeyboardInterrupt
        write_episode(folder, number, episode)

    monkeypatch.setattr("harness.commands.write_episode", stop_at_the_second)
    with pytest.raises(SystemExit) as stop:
        main(["import", str(exported), str(tmp_path / "back")])
    assert stop.value.code == 130
    assert not list(tmp_path.iterdir()), "half a data set would pass for a whole one"
