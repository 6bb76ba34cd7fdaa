"""Plays one game with the demonstrator's foresight: what each way to meet the ball is worth, and how to get there."""

from __future__ import annotations

import numpy as np

from agents.foresight import Flight, Foresight, Watch
from agents.paddle import PLACES, Floats, Hand, Plan, paddle_under
from envs.breakout import BOTH_WALLS, FIRE, NOOP, Game
from envs.game_state import BALL_WIDTH, PADDLE_LEFT_MOST

CAUGHT = 200.0  # points that keeping the ball in play is worth, beside those that are in sight: about a life's
FLIGHTS = 40  # flown at most, after each landing, to find the next brick
DRY_STEPS = 500  # without a point, until half the landings are drawn by lot


class Pilot:
    """Steers one game's paddle.

    Args:
        game: the game.
        watch: looks at it, and has looked whenever an action is asked.
        foresight: where futures are tried.
    """

    def __init__(self, game: Game, watch: Watch, foresight: Foresight) -> None:
        self._game, self._watch, self._foresight = game, watch, foresight
        self._paddle = paddle_under(game.protocol.sticky)
        self._hand = Hand(self._paddle)
        self._planned: tuple[Flight, Plan] | None = None
        self._score = self._scored_at = 0

    def action(self) -> int:
        """Return the best action now; FIRE where a ball has to be served."""
        if self._game.score != self._score:
            self._score, self._scored_at = self._game.score, self._game.steps
        self._hand.look(self._game, self._watch.state)
        flight = self._watch.flight
        if flight is None:
            return FIRE
        if not flight.lands:
            return NOOP
        frames = flight.end - self._game.frames
        if self._planned is None or self._planned[0] is not flight:
            self._planned = flight, self._plan(flight, frames)
        return self._planned[1].action(frames, self._hand.last, self._hand.state)

    def _plan(self, flight: Flight, frames: int) -> Plan:
        if self._game.score < BOTH_WALLS:
            self._foresight.search(flight, FLIGHTS)
        return self._paddle.plan(self._goals(flight), frames)

    def _goals(self, flight: Flight) -> Floats:
        """What each place of the paddle is worth on each frame from the landing on; see `Paddle.plan`."""
        falls = self._foresight.fall(flight)
        goals = np.full((len(falls), PLACES), np.nan)
        for goal, (ball_x, _) in zip(goals, falls, strict=True):
            first = ball_x - flight.paddle_width + 1 - PADDLE_LEFT_MOST
            goal[max(first, 0) : max(first + flight.paddle_width + BALL_WIDTH - 1, 0)] = CAUGHT
        for child in flight.children or ():
            goals[0, flight.path[-1][0] - np.array(child.offsets) - PADDLE_LEFT_MOST] += self._worth(flight, child)
        return goals

    def _worth(self, flight: Flight, child: Flight) -> float:
        if self._game.steps - self._scored_at < DRY_STEPS:
            return child.worth()
        # No end in sight: lots that are drawn anew at each landing lead out of a circle.
        lots = np.random.default_rng([self._game.seed, flight.end, child.offsets[0] + BALL_WIDTH])
        return child.worth() if lots.random() < 0.5 else float(lots.random())
