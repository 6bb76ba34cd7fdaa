"""Cloning recorded play: a tiny run learns, breaks off and goes on; what is held out and mirrored is right."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.demonstrations import Episode, Facts, open_dataset, read_demonstrations, write_episode
from agents.encoder import mirror
from agents.files import UserError, read_json, write_json
from agents.lag import shifted
from agents.run import Interrupted, Run
from envs.breakout import LEARNT_ACTIONS
from harness.cli import main
from paradigms.supervised import Config, train
from paradigms.supervised.cloned import Cloner, Lessons, _Cloning

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
LAG = 4
TINY = Config(
    rounds=2, samples=4_000, batch=32, average=0.9, validated_rounds=2, validation_games=1, validation_steps=60
)


@pytest.fixture(scope="module")
def episodes(people: Callable[..., list[Episode]]) -> list[Episode]:
    return people(lag=LAG)


@pytest.fixture
def labels(tmp_path: Path, episodes: list[Episode]) -> Path:
    return data_set(tmp_path / "ada", episodes)


@pytest.fixture
def few(tmp_path: Path, episodes: list[Episode]) -> Path:
    """Too few labels to measure their lag, which saves the time."""
    return data_set(tmp_path / "ada", episodes[:2])


def data_set(folder: Path, episodes: list[Episode]) -> Path:
    open_dataset(folder, Facts("Ada", "sticky", 8))
    for number, episode in enumerate(episodes):
        write_episode(folder, number, episode)
    return folder


def clone(folder: Path, config: Config) -> tuple[Agent, Run]:
    with Run(folder, "supervised", config, 0, CPU) as run:
        return train(config, run), run


def test_a_tiny_run_learns_to_press_what_the_person_pressed(
    tmp_path: Path, labels: Path, episodes: list[Episode]
) -> None:
    config = replace(TINY, labels=str(labels))
    agent, run = clone(tmp_path / "run", config)
    noted = read_json(tmp_path / "run" / "provenance.json")["demonstrations"]
    assert noted["name"] == "Ada"
    assert abs(noted["lag"]["steps"] - LAG) <= 1
    lessons = Lessons(episodes, noted["lag"]["steps"], CPU)
    observation, pressed = lessons.take(lessons.held_out)
    said, _ = agent.predict(observation.numpy())
    accuracy = (said == np.asarray(LEARNT_ACTIONS)[pressed]).mean()
    assert accuracy > lessons.usual_share() + 0.1, "better than always the same key, in games never trained on"
    assert run.ledger.labels == len(lessons)
    assert run.ledger.samples == 2 * 4_000
    assert 0 < run.ledger.rewards_read == run.ledger.agent_steps <= 2 * 60, "validation games are played, and counted"
    rows = (tmp_path / "run" / "metrics.csv").read_text()
    for column in ("heldout_accuracy", "training_accuracy", "score"):
        assert column in rows


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paradigms.supervised.averaged.fastest_precision", lambda *_: torch.float32)
    config = replace(TINY, labels=str(few), samples=800)
    whole, _ = clone(tmp_path / "whole", config)
    with Run(tmp_path / "broken", "supervised", config, 0, CPU) as run:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            train(config, run)
    resumed, run = clone(tmp_path / "broken", config)
    assert run.ledger.samples == 1_600
    for (name, one), other in zip(
        whole.encoder.state_dict().items(), resumed.encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_another_data_set_under_a_run_is_refused(tmp_path: Path, few: Path, episodes: list[Episode]) -> None:
    config = replace(TINY, labels=str(few), rounds=1, samples=800)
    with Run(tmp_path / "run", "supervised", config, 0, CPU) as run:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            train(config, run)
    write_episode(few, 2, episodes[0])
    with pytest.raises(UserError, match="has changed since the run"):
        clone(tmp_path / "run", config)


def test_games_recorded_after_the_end_are_not_passed_over(
    tmp_path: Path, few: Path, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = []
    monkeypatch.setattr("harness.commands.train", lambda arm, folder, seed, device: asked.append(arm.config.labels))
    folder = tmp_path / "smoke" / "supervised_labels_ada" / "seed_0"
    write_json(folder / "provenance.json", {"demonstrations": {"sha256": read_demonstrations(few).fingerprint}})
    (folder / "agent.safetensors").touch()
    words = ["train", "supervised", "--profile", "smoke", "--runs", str(tmp_path), "--labels", f"{few}/"]
    main(words)
    assert asked == [str(few)], "a slash makes no other data set"
    write_episode(few, 2, episodes[0])
    with pytest.raises(SystemExit):
        main(words)
    assert "has changed since the run" in capsys.readouterr().err


def test_no_data_set_and_too_few_labels(tmp_path: Path, few: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no data set"):
        clone(tmp_path / "run", replace(TINY, labels=str(tmp_path / "nowhere")))
    (few / "episode_0001.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"episode_0001\.npz: not a whole episode"):
        clone(tmp_path / "other", replace(TINY, labels=str(few)))
    assert sorted(tmp_path.iterdir()) == [few], "what could not begin leaves nothing behind"


def test_whole_games_are_held_out_or_the_last_fifth_of_one(episodes: list[Episode]) -> None:
    lessons = Lessons(episodes, LAG, CPU)
    first = [len(shifted(episode, LAG)[0]) for episode in episodes]
    second = range(first[0], first[0] + first[1])
    assert set(second) <= set(lessons.held_out.tolist())
    assert not set(lessons.held_out) & set(lessons.trained)
    assert len(lessons.held_out) + len(lessons.trained) == len(lessons)
    alone = Lessons(episodes[:1], LAG, CPU)
    assert alone.trained.max() < alone.held_out.min()
    assert len(alone.held_out) == pytest.approx(len(alone) / 5, abs=0.1 * len(alone))


def test_a_game_that_is_nearly_all_is_not_held_out(episodes: list[Episode]) -> None:
    aborted = replace(
        episodes[1],
        **{name: getattr(episodes[1], name)[:20] for name in ("actions", "points", "life_lost", "speed")},
        pictures=episodes[1].pictures[:24],
    )
    for two in ([aborted, episodes[0]], [episodes[0], aborted]):
        lessons = Lessons(two, LAG, CPU)
        assert len(lessons.held_out) == pytest.approx(len(lessons) / 5, abs=0.1 * len(lessons))


def test_lessons_are_the_pictures_and_the_later_keys(episodes: list[Episode]) -> None:
    lessons = Lessons(episodes, LAG, CPU)
    steps, labels = shifted(episodes[1], LAG)
    place = len(shifted(episodes[0], LAG)[0])
    observation, said = lessons.take(np.arange(place, place + len(steps)))
    np.testing.assert_array_equal(np.asarray(LEARNT_ACTIONS)[said], labels)
    for row in (0, len(steps) // 2, -1):
        np.testing.assert_array_equal(observation[row], episodes[1].pictures[steps[row] : steps[row] + 4])


def test_every_second_batch_is_seen_in_a_mirror(
    tmp_path: Path, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paradigms.supervised.averaged.fastest_precision", lambda *_: torch.float32)
    observation, labels = Lessons(episodes, LAG, CPU).take(np.arange(40))
    swapped = torch.tensor([0, 2, 1])[labels]
    one, other = (Cloner(TINY, Run(tmp_path, "supervised", TINY, 0, CPU)) for _ in range(2))
    other.steps = 1  # its turn to look into the mirror
    assert one.step(observation, labels) == pytest.approx(other.step(mirror(observation), swapped), rel=1e-6)


def test_the_best_clone_in_validation_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    games = iter([SimpleNamespace(score=score, steps=5)] for score in (3, 9, 4))
    monkeypatch.setattr("paradigms.supervised.cloned.play", lambda *_, **__: next(games))
    with Run(tmp_path, "supervised", TINY, 0, CPU) as run:
        cloning = _Cloning(TINY, run, cast(Lessons, []))
        for number in range(3):
            torch.nn.init.constant_(cloning.cloner.averaged["head"].linear.bias, number)
            cloning._validate()
    assert (cloning.best["head.linear.bias"] == 1).all()
