"""Data sets of recorded labels: they come back as they were, and whatever is wrong with one is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.demonstrations import (
    Episode,
    Facts,
    open_dataset,
    read_demonstrations,
    read_episode,
    write_episode,
)
from agents.files import UserError
from agents.recording import Recording
from envs.breakout import CLASSIC, FIRE, PROTOCOLS, RIGHT, Game

ADA = Facts("Ada", "sticky", 3)
People = Callable[..., list[Episode]]


@pytest.fixture(scope="module")
def episode(people: People) -> Episode:
    return people()[0]


@pytest.fixture
def folder(tmp_path: Path, episode: Episode) -> Path:
    """A data set of one episode."""
    assert open_dataset(tmp_path, ADA) == 0
    write_episode(tmp_path, 0, episode)
    return tmp_path


def test_an_episode_comes_back_as_it_was(folder: Path, episode: Episode) -> None:
    (again,) = read_demonstrations(folder).episodes
    for name, value in vars(episode).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
        assert getattr(getattr(again, name), "dtype", None) == getattr(value, "dtype", None), name


def test_an_episode_plays_again_from_its_seed_and_actions(episode: Episode) -> None:
    assert episode.seed is not None
    game = Game(episode.seed, PROTOCOLS[episode.protocol])
    for step, action in enumerate(episode.actions):
        np.testing.assert_array_equal(game.observation, episode.pictures[step : step + 4])
        game.step(int(action))
        assert game.action == action
    assert game.score == episode.score
    assert episode.labelled == sum(action != FIRE for action in episode.actions)


def test_a_data_set_goes_on_where_it_stopped(folder: Path, episode: Episode) -> None:
    before = read_demonstrations(folder).fingerprint
    assert open_dataset(folder, ADA) == 1
    write_episode(folder, 1, episode)
    assert read_demonstrations(folder).fingerprint != before
    for other in (Facts("Bob", "sticky", 3), Facts("Ada", "classic", 3), Facts("Ada", "sticky", 4)):
        with pytest.raises(UserError, match=r"dataset\.json: holds sticky games of 'Ada' with seed 3"):
            open_dataset(folder, other)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        open_dataset(tmp_path, ADA)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_failed_write_leaves_the_episode_before(
    folder: Path, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "episode_0000.npz").read_bytes()

    def full_disk(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_episode(folder, 0, episode)
    assert (folder / "episode_0000.npz").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


def wrong(episode: Episode, **changes: object) -> dict[str, object]:
    return vars(episode) | {"seed": episode.seed} | changes


def first(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed[0] = value
    return changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: {"pictures": e.pictures[:-1]}, r"pictures must be uint8 \(\d+, 84, 84\), got uint8"),
        (lambda e: {"pictures": e.pictures.astype(np.float32)}, "got float32"),
        (lambda e: {"actions": first(e.actions, 7)}, "action 7 is not in the set"),
        (lambda e: {"actions": e.actions.astype(np.float64)}, "actions must be int64"),
        (lambda e: {"points": first(e.points, np.nan)}, "points hold a value that is not a number"),
        (lambda e: {"points": first(e.points, 999)}, "no game of Breakout wins"),
        (lambda e: {"speed": first(e.speed, np.inf)}, "speed hold a value that is not a number"),
        (lambda e: {"life_lost": np.ones_like(e.life_lost)}, "more lives were lost"),
        (lambda e: {"protocol": "loose"}, "protocol 'loose' is unknown"),
        (lambda e: {"pictures": e.pictures[:, ::-1]}, "show no Breakout"),
        (lambda e: {"pictures": np.zeros_like(e.pictures)}, "show no Breakout"),
        (lambda e: {"actions": e.actions[:0]}, "1 to 27000 steps"),
        (lambda e: {"actions": np.array([{"a": 1}], object)}, "allow_pickle=False"),
        (lambda e: {"points": None}, "missing .* 'points'"),
        (lambda e: {"seed": np.array("third")}, "seed 'third' is no whole number"),
        (lambda e: {"seed": np.array(np.nan)}, "seed nan is no whole number"),
        (lambda e: {"over": np.array("yes")}, "over is 'yes'"),
        (lambda e: {"undone": np.array(-1)}, "undone -1"),
    ],
)
def test_what_is_wrong_with_an_episode_is_named(
    folder: Path, episode: Episode, change: Callable[[Episode], dict[str, object]], said: str
) -> None:
    path = folder / "episode_0001.npz"
    changed = change(episode)
    arrays = {key: value for key, value in {**vars(episode), **changed}.items() if value is not None}
    np.savez_compressed(path, allow_pickle=True, **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said) as error:
        read_demonstrations(folder)
    assert "episode_0001.npz" in str(error.value)


def test_files_that_are_cut_short_or_foreign(folder: Path) -> None:
    path = folder / "episode_0000.npz"
    whole = path.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        whole[:-30],
        b"",
        b"PK\x03\x04",
        whole[:2_000] + b"\0" * 50 + whole[2_050:],
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"episode_0000\.npz"):
            read_episode(path)


def test_what_no_reader_of_zip_files_can_open(folder: Path) -> None:
    path = folder / "episode_0000.npz"
    whole = path.read_bytes()
    # In the central directory, 8 bytes into each entry: its flags (1: a password), and then its compression.
    for place, value in ((8, 1), (10, 97), (10, 14)):
        content = bytearray(whole)
        entry = content.find(b"PK\x01\x02")
        while entry >= 0:
            content[entry + place] = value
            entry = content.find(b"PK\x01\x02", entry + 1)
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"episode_0000\.npz: not a whole episode"):
            read_episode(path)


def test_folders_and_copies_among_the_episodes(folder: Path) -> None:
    fingerprint = read_demonstrations(folder).fingerprint
    (folder / "episode_0000 (copy).npz").write_bytes((folder / "episode_0000.npz").read_bytes())
    assert open_dataset(folder, ADA) == 1
    assert read_demonstrations(folder).fingerprint == fingerprint, "a copy is no other game"
    (folder / "episode_0001.npz").mkdir()
    with pytest.raises(UserError, match=r"episode_0001\.npz"):
        read_demonstrations(folder)


@pytest.mark.parametrize("error", [MemoryError(), PermissionError(13, "Permission denied")])
def test_nobody_is_told_to_delete_what_may_be_whole(
    folder: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("numpy.load", fail)
    with pytest.raises(type(error)):
        read_demonstrations(folder)


def test_an_array_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "episode_0000.npz"
    np.savez_compressed(path, pictures=np.zeros((30_000, 84, 84), np.uint8))
    with pytest.raises(UserError, match="larger than the longest game"):
        read_episode(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format": 1, "game": "pong", "name": "Ada", "protocol": "classic", "seed": 0}', "labels of pong"),
        ('{"format": 9, "game": "breakout", "name": "Ada", "protocol": "classic", "seed": 0}', "another version"),
        ('{"format": 1, "game": "breakout", "name": "Ada"}', "does not describe"),
        ('{"format": 1, "game": "breakout", "name": "Ada", "protocol": "x", "seed": 0}', "does not describe"),
        ('{"format": 1, "game": "breakout", "name": "Ada", "protocol": "classic", "seed": -1}', "does not describe"),
        ("[]", "no game that it names"),
        ("{", "not valid JSON"),
    ],
)
def test_what_is_wrong_with_the_description_is_named(folder: Path, content: str, said: str) -> None:
    (folder / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=said) as error:
        read_demonstrations(folder)
    assert "dataset.json" in str(error.value)


def test_no_data_set_and_no_episodes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data set"):
        read_demonstrations(tmp_path)
    open_dataset(tmp_path, ADA)
    assert json.loads((tmp_path / "dataset.json").read_text())["name"] == "Ada"
    with pytest.raises(UserError, match="holds no episodes"):
        read_demonstrations(tmp_path)


# -- while a game is played --------------------------------------------------------------------------------------------


def lose_a_life(recording: Recording) -> None:
    while not recording.step(RIGHT):
        pass


def test_undo_goes_back_to_where_a_life_began() -> None:
    recording = Recording(24, PROTOCOLS["sticky"])
    assert not recording.undo(), "nothing to take back"
    lose_a_life(recording)
    first_life, observation = len(recording), recording.game.observation
    lose_a_life(recording)
    lives, score = recording.game.lives, recording.game.score
    assert recording.undo()  # just lost: the life before
    assert (len(recording), recording.game.lives) == (first_life, lives + 1)
    np.testing.assert_array_equal(recording.game.observation, observation)
    for _ in range(20):
        recording.step(RIGHT)
    assert recording.undo()  # well into a life: to its start
    assert len(recording) == first_life
    assert recording.undo()
    assert len(recording) == 0
    assert recording.undone == 3
    lose_a_life(recording)
    lose_a_life(recording)
    assert (recording.game.lives, recording.game.score) == (lives, score), "the same game again"
    assert recording.episode().undone == 3


def test_ctrl_c_during_undo_keeps_the_game_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(24, CLASSIC)
    lose_a_life(recording)
    for _ in range(20):
        recording.step(RIGHT)
    steps = len(recording)
    step, left = Game.step, iter(range(10))

    def interrupted(*arguments: Any) -> float:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(Game, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recording.undo()
    assert (len(recording), recording.undone) == (steps, 0)
    assert len(recording.episode().actions) == steps


def test_a_console_that_sleeps_ends_the_game(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Game, "asleep", property(lambda game: game.steps >= 20))
    recording = Recording(24, CLASSIC)
    while not recording.game.over:
        recording.step(RIGHT)
    assert recording.game.truncated
    assert len(recording) == 20
    assert recording.episode().over, "a whole game, whose score counts"


def test_undo_takes_back_the_end_of_a_game() -> None:
    recording = Recording(24, CLASSIC)
    while not recording.game.over:
        lose_a_life(recording)
    assert recording.episode().over
    assert recording.undo()
    assert not recording.game.over
    assert recording.game.lives == 1
    assert not recording.episode().over
    assert replace(recording.episode(), undone=0).labelled > 0
