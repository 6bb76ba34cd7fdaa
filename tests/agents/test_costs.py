"""What an action costs: by hand, by the game itself, and by good sense."""

from __future__ import annotations

import numpy as np
import pytest

from agents.costs import PROMPTNESS, expected_costs
from agents.paddle import paddle_under
from envs.breakout import FRAME_SKIP, LEARNT_ACTIONS, LEFT, NOOP, RIGHT, STICKY, Game
from envs.game_state import GameState

NOOP_BEFORE = LEARNT_ACTIONS.index(NOOP)


def costs(x: int, target: int, frames: int, aim: float, last: int = NOOP_BEFORE) -> list[float]:
    state = paddle_under(STICKY.sticky).law.nearest(x, target)
    return expected_costs(last, state, frames, aim).astype(float).tolist()


def test_nothing_that_is_done_now_shows_in_one_frame() -> None:
    law = paddle_under(STICKY.sticky).law
    state = law.nearest(100, 100)
    on_the_next_frame = law.x[law.frame[0, state]]
    assert costs(100, 100, 1, 120) == pytest.approx([120 - on_the_next_frame] * 3, abs=0.02)


def test_the_cost_of_the_last_step_is_what_the_game_does_on_average() -> None:
    game, found = Game(2, STICKY), []
    for _ in range(400):  # from the same rest, one step of RIGHT; the ball would land with its last frame
        for action, frames in ((LEFT, 40), (NOOP, 12)):
            for _ in range(frames):
                game.ale.act(game.ale.getMinimalActionSet()[action])
        rest = GameState.from_ram(game.ram)
        way = []
        for _ in range(FRAME_SKIP):
            game.ale.act(game.ale.getMinimalActionSet()[RIGHT])
            way.append(abs(GameState.from_ram(game.ram).paddle_x - 60))
        found.append(way[-1] + PROMPTNESS * sum(way[:-1]))
    said = costs(rest.paddle_x, rest.paddle_target, FRAME_SKIP, 60)[LEARNT_ACTIONS.index(RIGHT)]
    assert np.mean(found) == pytest.approx(said, abs=4 * np.std(found) / np.sqrt(len(found)) + 0.05)


def test_a_far_aim_is_approached_at_once_and_a_near_one_is_kept() -> None:
    noop, right, left = costs(20, 20, 30, 120)
    assert right < noop < left
    noop, right, left = costs(100, 100, 30, 100)
    assert noop < min(right, left)


def test_a_ball_further_away_than_planned_counts_as_that_far_away() -> None:
    assert costs(20, 20, 400, 120) == costs(20, 20, 800, 120)
    assert max(costs(20, 20, 400, 120)) > 0


def test_a_console_that_may_repeat_the_action_makes_it_dearer() -> None:
    after_right = costs(100, 100, 8, 100, last=LEARNT_ACTIONS.index(RIGHT))
    assert min(after_right) > min(costs(100, 100, 8, 100))
