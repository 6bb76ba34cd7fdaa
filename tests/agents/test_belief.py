"""Beliefs about paddle and landing: held against a real game's RAM, with readings made wrong on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from agents import belief
from agents.paddle import paddle_under
from envs.breakout import CLASSIC, FIRE, LEARNT_ACTIONS, RIGHT, STICKY, Game, Protocol
from envs.game_state import GameState

LAW = paddle_under(STICKY.sticky).law


def expected(beliefs: belief.Beliefs, what: np.ndarray) -> np.ndarray:
    return np.asarray(beliefs.sum(axis=(1, 2)) @ np.tile(what, len(LEARNT_ACTIONS)))


def test_the_law_and_what_was_done_tell_more_than_a_picture_does() -> None:
    games, generator = [Game(seed, STICKY) for seed in range(6)], np.random.default_rng(0)
    beliefs, _ = belief.unknown(len(games))
    done, error = np.zeros(len(games), np.int64), []
    for step in range(100):
        truth = [GameState.from_ram(game.ram) for game in games]
        x, target = (np.array([getattr(state, name) for state in truth]) for name in ("paddle_x", "paddle_target"))
        half = np.array([state.paddle_width / 2 for state in truth])
        read_x, read_target = x + generator.laplace(0, 0.6, len(x)), target + generator.laplace(0, 1.5, len(x))
        beliefs = belief.of_paddle(beliefs, done, read_x + half, read_target + half)
        np.testing.assert_allclose(beliefs.sum(axis=(1, 2, 3)), 1, rtol=1e-4)
        if step > 5:
            read = np.abs([read_x - x, read_target - target])
            error.append([read, np.abs([expected(beliefs, LAW.x) - x, expected(beliefs, LAW.target) - target])])
        if step % 3 == 0:
            done = generator.integers(len(LEARNT_ACTIONS), size=len(games))
        for game, action in zip(games, done, strict=True):
            game.step(LEARNT_ACTIONS[action])
        done = np.where([game.action == FIRE for game in games], 0, done)
    (read_x, read_target), (x, target) = np.mean(error, axis=(0, 3))
    assert x < 0.4 * read_x
    assert target < 0.4 * read_target


@pytest.mark.parametrize(("width", "half"), list(enumerate(belief.HALVES)))
def test_the_paddles_width_shows_in_where_it_can_rest(width: int, half: int) -> None:
    state, (beliefs, _) = int(LAW.frame[0, LAW.nearest(80, 80)]), belief.unknown(1)
    for step in range(40):
        action = (1, 2, 0, 2, 0, 1)[step % 6]
        for _ in range(4):
            state = int(LAW.frame[action, state])
        beliefs = belief.of_paddle(beliefs, np.array([action]), LAW.x[[state]] + half, LAW.target[[state]] + half)
    assert beliefs[0, :, width].sum() > 0.95


def test_what_cannot_be_is_believed_once_it_is_seen_for_long() -> None:
    beliefs, _ = belief.unknown(1)
    for place in [40.0] * 10 + [130.0] * 10:
        beliefs = belief.of_paddle(beliefs, np.array([0]), np.array([place]), np.array([place]))
    assert abs(expected(beliefs, LAW.x)[0] - (130 - 8)) < 4


def test_a_fall_lands_in_one_place_and_the_next_one_elsewhere() -> None:
    generator = np.random.default_rng(1)
    landing, frames = np.full(500, 90.0), np.full(500, 24.0)
    _, falls = belief.unknown(500)
    for _ in range(6):
        read, soon = landing + generator.laplace(0, 1, 500), frames + generator.laplace(0, 0.4, 500)
        falls = belief.of_fall(falls, read, soon)
        frames -= 4
    assert np.abs(falls[:, 0] - landing).mean() < 0.7 * np.abs(read - landing).mean()
    assert np.abs(falls[:, 2] - (frames + 4)).mean() < 0.7 * np.abs(soon - (frames + 4)).mean()
    falls = belief.of_fall(falls, landing - 30, frames + 40)
    np.testing.assert_allclose(falls[:, [0, 2]], np.stack([landing - 30, frames + 40], axis=1))


@pytest.mark.parametrize("protocol", [CLASSIC, STICKY])
def test_whether_the_console_repeats_actions_shows_in_the_paddle(protocol: Protocol) -> None:
    games, generator = [Game(seed, protocol) for seed in range(4)], np.random.default_rng(2)
    beliefs, _ = belief.unknown(len(games))
    done = np.zeros(len(games), np.int64)
    np.testing.assert_allclose(belief.repeats(beliefs), 0.5, rtol=1e-4)
    for _ in range(60):
        truth = [GameState.from_ram(game.ram) for game in games]
        read = [np.array([getattr(s, name) + 8 for s in truth]) for name in ("paddle_x", "paddle_target")]
        beliefs = belief.of_paddle(beliefs, done, *(r + generator.laplace(0, 0.6, len(r)) for r in read))
        done = generator.integers(len(LEARNT_ACTIONS), size=len(games))
        for game, action in zip(games, done, strict=True):
            game.step(LEARNT_ACTIONS[action])
        done = np.where([game.action == FIRE for game in games], 0, done)
    assert (np.abs(belief.repeats(beliefs) - (protocol is STICKY)) < 0.05).all()


def known(state: int, sticky: int = 0) -> belief.Beliefs:
    """Return beliefs of one game that leave no doubt."""
    beliefs, _ = belief.unknown(1)
    beliefs[:] = 0
    beliefs[0, sticky, 0, state] = 1
    return beliefs


def under(landing: float, frames: float) -> belief.Floats:
    return belief.of_fall(belief.unknown(1)[1], np.array([landing]), np.array([frames]))


def test_a_ball_that_is_caught_off_the_centre_costs_little_and_one_that_is_lost_much() -> None:
    middle = 8 + LAW.x[LAW.nearest(60, 60)]
    cheap, dear = (
        belief.costs(known(LAW.nearest(60, 60)), under(middle + off, 1.0), np.zeros(1, np.int64))[0] for off in (4, 14)
    )
    assert cheap.max() < 1
    assert dear.min() > 0.9 * belief.LOST


def test_a_paddle_that_is_known_goes_under_the_ball_and_to_the_side_that_is_asked_for() -> None:
    costs = belief.costs(known(LAW.nearest(60, 60)), under(90.0, 9.0), np.zeros(1, np.int64))[0]
    assert costs.argmin() == LEARNT_ACTIONS.index(RIGHT)


def test_the_ball_is_met_on_the_side_that_is_asked_for() -> None:
    past = {-1: list[int](), 1: list[int]()}
    for side, found in past.items():
        for landing in range(40, 124, 6):
            state, frames = LAW.nearest(60, 60), 48
            while frames > 0:
                said = belief.costs(known(state, sticky=1), under(landing, frames), np.array([side]))[0]
                for _ in range(4):
                    state = int(LAW.frame[said.argmin(), state])
                frames -= 4
            found.append(LAW.x[state] + 8 - landing)
    assert np.abs(list(past.values())).max() < 8, "and caught"
    assert np.mean(np.array(past[1]) > 0) > 0.7
    assert np.mean(np.array(past[-1]) < 0) > 0.7
