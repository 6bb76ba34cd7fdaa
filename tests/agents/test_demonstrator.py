"""The demonstrator foresees, plans and scores, and leaves the game as it was."""

from __future__ import annotations

import numpy as np
import pytest

from agents.demonstrator import Demonstrator
from agents.foresight import LANDING_Y
from agents.rollout import play
from envs.breakout import BOTH_WALLS, CLASSIC, LEARNT_ACTIONS, STICKY, Game
from envs.game_state import PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST, GameState
from evaluation.decided import Referee

NONE = np.zeros((1, 4, 84, 84), np.uint8)  # it does not look at observations


@pytest.mark.parametrize("steps", [30, 130, 230, 330])
def test_the_ball_lands_where_and_when_it_was_foreseen_whatever_the_paddle_does(steps: int) -> None:
    game = Game(3, CLASSIC)
    demonstrator, generator = Demonstrator([game]), np.random.default_rng(steps)
    while game.steps < steps or not demonstrator.labels().known[0]:
        game.step(int(demonstrator.predict(NONE)[0][0]))
    labels = demonstrator.labels()
    for _ in range(int(labels.frames[0])):
        assert GameState.from_ram(game.ram).ball_y < LANDING_Y
        game.ale.act(game.ale.getMinimalActionSet()[int(generator.choice(LEARNT_ACTIONS))])
    state = GameState.from_ram(game.ram)
    assert state.ball_y >= LANDING_Y
    assert state.ball_x + 1 == labels.landing[0]


def test_it_finishes_both_walls_and_loses_no_life() -> None:
    (record,) = play(lambda games: Referee(Demonstrator(games), games, loops=True), [978193900], CLASSIC)
    assert (record.score, record.lives_left) == (BOTH_WALLS, 5)


def test_under_sticky_actions_it_still_loses_no_life_for_a_while() -> None:
    (record,) = play(Demonstrator, [4], STICKY, max_steps=900)
    assert record.score >= 60
    assert record.lives_left >= 4


def test_a_game_that_is_watched_goes_on_as_one_that_is_not() -> None:
    watched, alone = Game(9, STICKY), Game(9, STICKY)
    demonstrator, generator = Demonstrator([watched]), np.random.default_rng(9)
    while not watched.over and watched.steps < 250:
        demonstrator.labels()
        demonstrator.predict(NONE)
        action = int(generator.choice(LEARNT_ACTIONS))
        watched.step(action)
        alone.step(action)
        np.testing.assert_array_equal(watched.observation, alone.observation)
    assert (watched.score, watched.lives, watched.over) == (alone.score, alone.lives, alone.over)
    assert watched.steps > 60


def test_what_cannot_be_foreseen_costs_nothing() -> None:
    game = Game(0, CLASSIC)
    while GameState.from_ram(game.ram).ball_in_play:
        game.step(0)  # until a life is lost
    labels = Demonstrator([game]).labels()
    assert not labels.known[0]
    assert not labels.costs.any()


def test_what_it_says_can_be_seen_but_for_a_target_behind_a_wall() -> None:
    """Equal observations in different games get equal labels, except that a paddle held by a wall hides T."""
    said, again = dict[bytes, tuple[int, list[float], list[float]]](), 0
    for seed in range(0, 16, 2):
        game = Game(seed, STICKY if seed % 4 else CLASSIC)
        demonstrator = Demonstrator([game])
        while not game.over and game.steps < 150:
            labels = demonstrator.labels()
            if labels.known[0]:
                figures = [float(row[0]) for row in (labels.landing, labels.frames, labels.ball_x, labels.ball_y)]
                costs = labels.costs.ravel().tolist()
                where = said.setdefault(game.observation.tobytes(), (seed, figures, costs))
                again += where[0] != seed
                assert where[1] == figures
                held = GameState.from_ram(game.ram).paddle_x in (PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST)
                assert where[2] == costs or held
            game.step(int(demonstrator.predict(NONE)[0][0]))
    assert again >= 40, "observations that were met in another game before"
