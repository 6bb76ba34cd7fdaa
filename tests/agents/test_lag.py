"""The lag of labels: found where it was put, in the person or in the file, and taken back out exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agents.demonstrations import Episode
from agents.lag import TYPICAL_STEPS, measure_lag, shifted
from envs.breakout import FIRE, NOOP

People = Callable[..., list[Episode]]


def delayed(episode: Episode, steps: int) -> Episode:
    late = np.concatenate([np.full(steps, NOOP), episode.actions[:-steps]])
    return replace(episode, actions=late)


def test_the_lag_of_a_person_is_found(people: People) -> None:
    found = measure_lag(people(lag=4))
    assert found.measured
    assert found.steps == 4
    assert found.accuracy[found.steps] > found.accuracy[0] + 0.05


def test_labels_that_were_delayed_by_250_ms_are_brought_back(people: People) -> None:
    prompt = measure_lag(people())
    assert prompt.steps == 0
    found = measure_lag([delayed(episode, 4) for episode in people()])
    assert found.steps == 4
    assert found.accuracy[0] < prompt.accuracy[prompt.steps] - 0.05, "the delay costs accuracy"
    assert found.accuracy[found.steps] > prompt.accuracy[prompt.steps] - 0.02, "and the shift brings it back"


def test_a_shift_pairs_each_picture_with_the_later_key(people: People) -> None:
    episode = people()[0]
    steps, labels = shifted(episode, 3)
    np.testing.assert_array_equal(labels, episode.actions[steps + 3])
    assert FIRE not in labels
    for step in steps:
        assert not episode.life_lost[step : step + 3].any(), "never across a lost life"
    exact, taken = shifted(episode, 0)
    assert len(exact) == episode.labelled
    np.testing.assert_array_equal(taken, episode.actions[exact])


def test_slow_play_lags_by_fewer_steps(people: People) -> None:
    episode = people()[0]
    half = replace(episode, speed=np.full_like(episode.speed, 0.5))
    for one, other in zip(shifted(half, 4), shifted(episode, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    stepped = replace(episode, speed=np.zeros_like(episode.speed))
    for one, other in zip(shifted(stepped, 4), shifted(episode, 0), strict=True):
        np.testing.assert_array_equal(one, other)


def part(episode: Episode, first: int, steps: int) -> Episode:
    cut = slice(first, first + steps)
    return replace(
        episode,
        pictures=episode.pictures[first : first + steps + 4], actions=episode.actions[cut], points=episode.points[cut],
        life_lost=episode.life_lost[cut], speed=episode.speed[cut],
    )  # fmt: skip


def test_too_few_labels_say_so(people: People) -> None:
    found = measure_lag([part(people()[0], 0, 50)])
    assert not found.measured
    assert found.steps == TYPICAL_STEPS
    assert "too few labels" in str(found)


@pytest.mark.filterwarnings("error")
def test_a_shift_that_leaves_no_labels_is_not_the_lag(people: People) -> None:
    pieces = [part(episode, first, 7) for episode in people() for first in range(0, len(episode.actions) - 7, 7)]
    found = measure_lag(pieces)
    assert found.measured
    assert found.steps < 7
    assert np.isfinite(found.accuracy).all()


def test_steps_without_a_ball_or_with_fire_alone_tell_nothing(people: People) -> None:
    episodes = people()
    lost = []
    for episode in episodes:
        pictures = episode.pictures.copy()
        pictures[:, 38:75, 5:79] = 0
        lost.append(replace(episode, pictures=pictures))
    assert not measure_lag(lost).measured
    fired = [replace(episode, actions=np.full_like(episode.actions, FIRE)) for episode in episodes]
    assert not measure_lag(fired).measured
