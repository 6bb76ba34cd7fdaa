"""The paddle's law is the game's, and a plan keeps what it promises, in the real game."""

from __future__ import annotations

import numpy as np
import pytest

from agents.paddle import PLACES, Hand, Paddle, paddle_under
from envs.breakout import CLASSIC, FRAME_SKIP, LEARNT_ACTIONS, LEFT, NOOP, RIGHT, STICKY, Game, Protocol
from envs.game_state import PADDLE_LEFT_MOST, GameState

HELD = 12  # steps from one wall to the other


def wandering(generator: np.random.Generator, step: int) -> int:
    """At random, and now and then into a wall: right and left in turn."""
    held, journey = step % 50 < HELD, step // 50
    return (RIGHT if journey % 2 else LEFT) if held else int(generator.choice(LEARNT_ACTIONS))


def act(game: Game, action: int, frames: int = FRAME_SKIP) -> GameState:
    """Play on, ball or no ball."""
    for _ in range(frames):
        game.ale.act(game.ale.getMinimalActionSet()[action])
    return GameState.from_ram(game.ram)


def test_four_frames_lead_exactly_where_the_law_says() -> None:
    game, paddle, generator = Game(2, CLASSIC), paddle_under(0.0), np.random.default_rng(0)
    law = paddle.law
    seen = GameState.from_ram(game.ram)
    state = law.nearest(seen.paddle_x, seen.paddle_target)
    for step in range(600):
        action = wandering(generator, step)
        (course,) = np.flatnonzero(paddle.chance[0, LEARNT_ACTIONS.index(action)])
        state = paddle.path[course, -1, state]
        seen = act(game, action)
        assert (seen.paddle_x, seen.paddle_target) == (law.x[state], law.target[state])


def test_a_sticky_step_takes_each_course_as_often_as_its_chance_says() -> None:
    game, paddle = Game(2, STICKY), paddle_under(STICKY.sticky)
    noop, right = LEARNT_ACTIONS.index(NOOP), LEARNT_ACTIONS.index(RIGHT)
    np.testing.assert_allclose(paddle.chance.sum(axis=2), 1)
    found = []
    for _ in range(300):
        act(game, LEFT, 40)
        seen = act(game, NOOP, 8)
        start = paddle.law.nearest(seen.paddle_x, seen.paddle_target)
        found.append(act(game, RIGHT).paddle_target)
    courses = np.flatnonzero(paddle.chance[noop, right])
    ends = paddle.law.target[paddle.path[courses, -1, start]]
    assert len(set(ends.tolist())) == FRAME_SKIP + 1
    for end, chance in zip(ends, paddle.chance[noop, right, courses], strict=True):
        assert np.mean(np.array(found) == end) == pytest.approx(chance, abs=4 * np.sqrt(chance / len(found)))


def follow(game: Game, hand: Hand, paddle: Paddle, place: int, frames: int) -> tuple[float, bool]:
    """Plan for a window of 4 px at `place` in so many frames; return the expectation, and whether it came true."""
    goals = np.full((1, PLACES), np.nan)
    goals[0, place : place + 4] = 1.0
    plan = paddle.plan(goals, frames)
    hand.look(game, GameState.from_ram(game.ram))
    value = float(plan.value[hand.last, hand.state])
    while frames > 0:
        hand.look(game, GameState.from_ram(game.ram))
        game.action = plan.action(frames, hand.last, hand.state)
        seen = act(game, game.action, min(FRAME_SKIP, frames))
        game.steps += 1
        frames -= FRAME_SKIP
    act(game, game.action, -frames)  # the rest of the last step
    return value, place <= seen.paddle_x - PADDLE_LEFT_MOST < place + 4


def test_without_chance_a_plan_succeeds_where_it_says_so_and_nowhere_else() -> None:
    trials = planned(CLASSIC, 60)
    assert all((value > 0.5) == came_true for value, came_true in trials)
    assert {came_true for _, came_true in trials} == {True, False}


def test_under_sticky_actions_plans_succeed_as_often_as_they_say() -> None:
    values, came_true = np.array(planned(STICKY, 120)).T
    assert 0.2 < values.mean() < 0.95
    assert came_true.mean() == pytest.approx(
        values.mean(), abs=3 * np.sqrt((values * (1 - values)).sum()) / len(values)
    )


def planned(protocol: Protocol, trials: int) -> list[tuple[float, bool]]:
    game, paddle, generator = Game(2, protocol), paddle_under(protocol.sticky), np.random.default_rng(1)
    hand = Hand(paddle)
    return [
        follow(game, hand, paddle, int(generator.integers(PLACES - 3)), int(generator.integers(4, 60)))
        for _ in range(trials)
    ]
