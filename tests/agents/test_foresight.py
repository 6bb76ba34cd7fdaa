"""The tree of flights tells what the real ball does after each way of meeting it."""

from __future__ import annotations

import numpy as np

from agents.demonstrator import Demonstrator
from agents.foresight import Flight, Foresight, Watch
from envs.breakout import CLASSIC, STICKY, Game

NONE = np.zeros((1, 4, 84, 84), np.uint8)


def test_what_follows_a_landing_was_foreseen() -> None:
    game = Game(4, STICKY)
    demonstrator = Demonstrator([game])
    (watch,) = demonstrator._watches
    landings = foreseen = 0
    flight: Flight | None = None
    while game.steps < 700:
        game.step(int(demonstrator.predict(NONE)[0][0]))
        watch.look()
        if flight and watch.flight and watch.flight is not flight and game.frames > flight.end:
            landings += 1
            foreseen += watch.flight in (flight.children or ())
        flight = watch.flight
    assert landings > 20
    assert foreseen >= landings - 1  # a ball that is caught late leaves in a way of its own


def test_every_way_of_meeting_the_ball_is_told_apart_and_none_loses_it() -> None:
    game, foresight = Game(4, CLASSIC), Foresight()
    demonstrator, watch = Demonstrator([game]), Watch(game, foresight)
    while watch.landing is None or not 40 < watch.landing[0] < 120:  # far from the walls
        game.step(int(demonstrator.predict(NONE)[0][0]))
        watch.look()
    assert watch.flight is not None
    children = foresight.branch(watch.flight)
    offsets = [offset for child in children for offset in child.offsets]
    assert sorted(offsets) == list(range(-1, watch.state.paddle_width)), "the ball is 2 px wide"
    assert len(children) >= 2
    assert len({tuple(child.path) for child in children}) == len(children)
    assert all(child.lands for child in children)
    falls = foresight.fall(watch.flight)
    assert falls[0] == watch.flight.path[-1]
    assert all(186 <= y < 193 for _, y in falls)


def test_search_finds_a_brick_that_no_next_flight_touches() -> None:
    leaf = Flight(300, [(0, 100)], 7, 16, None)
    branch = Flight(200, [(0, 100)], 0, 16, None, children=[leaf])
    dead_end = Flight(200, [(0, 100)], 0, 16, None, children=[])
    root = Flight(100, [(0, 100)], 0, 16, None, children=[dead_end, branch])
    Foresight().search(root, 10)
    assert branch.worth() > dead_end.worth() == 0
    assert leaf.children is None, "it stops where the points are"
