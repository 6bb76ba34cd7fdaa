"""Games are stopped only where nothing is left to win."""

from dataclasses import replace
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest

from agents.demonstrator import AIMS, Demonstrator
from agents.rollout import play
from envs.breakout import AWAKE_FRAMES, CLASSIC, FIRE, FRAME_SKIP, LEARNT_ACTIONS, NOOP, Game
from envs.game_state import FRAME_COUNTER, GameState
from evaluation.decided import Referee
from evaluation.record import looped

PATIENCE = 500  # steps


class Still:
    """Does nothing, and remembers what it is told to."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.full(len(observation), NOOP), state


def steps_until_stopped(score=0, period=7, loops=True, memory=None, most=2 * PATIENCE):
    """Let a made-up game go round every `period` steps, while its frame counter runs on."""
    game = SimpleNamespace(
        score=score, over=False, truncated=False, asleep=False, ram=np.zeros(128, np.uint8), observation=None
    )
    referee = Referee(Still(), [game], loops, PATIENCE)
    for step in range(most):
        game.observation = np.full((4, 84, 84), step % period, np.uint8)
        game.ram[FRAME_COUNTER] = step % 256, step // 256
        referee.predict(game.observation[None], None if memory is None else (np.array([memory(step)]),))
        assert game.over == game.truncated
        if game.over:
            return step
    return None


def test_a_loop_is_stopped_once_it_is_sure():
    assert steps_until_stopped(period=7) == 7 + PATIENCE - 1
    assert steps_until_stopped(period=1) == PATIENCE


def test_what_never_repeats_goes_on():
    assert steps_until_stopped(memory=lambda step: step) is None


def test_a_memory_that_repeats_makes_a_longer_round():
    assert steps_until_stopped(period=7, memory=lambda step: step % 3) == 21 + PATIENCE - 1


def test_with_chance_in_play_nothing_counts_as_a_loop():
    assert steps_until_stopped(loops=False) is None


@pytest.mark.parametrize("loops", [True, False])
def test_with_both_walls_gone_the_game_is_decided(loops):
    assert steps_until_stopped(score=864, loops=loops) == 0
    assert steps_until_stopped(score=860, loops=False) is None


class Centred:
    """Always the paddle's centre under the ball: that goes round in circles."""

    def __init__(self, games):
        self._demonstrator = Demonstrator(games)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        costs = self._demonstrator.labels().costs[:, AIMS.index(0.0)]
        return np.array(LEARNT_ACTIONS)[costs.argmin(axis=1)], state


def test_in_the_real_game_a_stopped_loop_wins_nothing_more_until_the_console_sleeps():
    (record,) = play(lambda games: Referee(Centred(games), games, True, PATIENCE), [11], CLASSIC, max_steps=6000)
    assert record.truncated
    assert record.steps < 6000
    actions = record.actions
    period = next(p for p in range(1, 200) if actions[-300:] == actions[-300 - p : -p])
    game = Game(11, CLASSIC)
    for action in actions:
        game.step(action)
    around = cycle(actions[-period:])
    while not game.asleep:
        game.step(next(around))
    assert AWAKE_FRAMES <= game.frames < AWAKE_FRAMES + 30 + FRAME_SKIP
    for _ in range(100):
        game.step(FIRE)
        assert game.asleep
        assert not GameState.from_ram(game.ram).ball_in_play
    assert (game.score, game.lives, game.over) == (record.score, record.lives_left, False)
    Referee(Still(), [game], loops=False).predict(game.observation[None])
    assert game.over
    assert game.truncated
    assert looped(record)
    assert not looped(replace(record, steps=game.steps)), "its time was up"
