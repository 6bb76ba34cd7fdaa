"""What each action costs: how far from its aim the paddle is expected to be when the ball lands.

The demonstrator's labels. Under the paddle's exact law (`paddle.py`) and with sticky actions, the cost of an action is
the distance between paddle and aim at the landing, in px, averaged over all that the console may repeat and with the
best actions afterwards: backward induction over the paddle's states (Bellman 1957), one table for each aim. A paddle
that is on its aim early is better than one that arrives in time, for what is put off is easily missed: the distance on
the way costs a little, too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from agents.paddle import Paddle, paddle_under
from envs.breakout import FRAME_SKIP, STICKY
from envs.game_state import PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST

STEPS = 12  # planned; a ball further away counts as that far away
PROMPTNESS = 0.01  # px of cost for each px and frame that the paddle is away from its aim on the way there
TEMPERATURE = 0.5  # px: how much worse an action may be and still count as good
_AIM_STEP = 2  # px between the aims that have a table

Floats = npt.NDArray[np.float64]
Places = int | npt.NDArray[np.int64]


def expected_costs(last: Places, state: Places, frames: int, aim: float) -> Floats:
    """What each action costs, `(..., 3)` px, by the law of the `sticky` protocol; under `classic` it is a careful plan.

    Args:
        last: what the console did last, a place among the learnt actions, or `(...)` several.
        state: the paddle's, as its law counts them (see `paddle.Hand`), or `(...)` as many.
        frames: until the ball lands, at least 1.
        aim: px, where the paddle's left edge should then be; to the nearest even number within its range.
    """
    reachable = min(max(aim, PADDLE_LEFT_MOST), PADDLE_RIGHT_MOST)
    before, within = divmod(frames - 1, FRAME_SKIP)
    return _way_to(_AIM_STEP * round(reachable / _AIM_STEP), within).costs(before, last, state)


@cache  # 276 of 0.2 MB each
def _way_to(aim: int, within: int) -> Way:
    paddle = paddle_under(STICKY.sticky)
    away = np.abs(paddle.law.x - aim).astype(np.float64)
    return Way(paddle, away, PROMPTNESS * away, within)


class Way:
    """The steps up to a landing, and what each action costs in them if the best ones follow.

    Args:
        paddle: its law, and what the console may repeat.
        landing: `(S,)` px, what a state costs in the frame in which the ball lands.
        underway: `(S,)` px, what it costs in each frame before.
        within: 0 to 3, the landing's frame within its step; what comes later counts nothing.
    """

    def __init__(self, paddle: Paddle, landing: Floats, underway: Floats, within: int) -> None:
        self._paddle, self._landing, self._underway, self._within = paddle, landing, underway, within
        everywhere, values = np.arange(len(landing)), list[Floats]()
        for before in range(STEPS):
            self._values = np.array(values, np.float16)  # (before, 3, S), by what the console did last
            courses = self._courses(before, everywhere)
            by_action = paddle.chance.reshape(-1, len(courses)) @ courses  # (9, S)
            values.append(by_action.reshape(*paddle.chance.shape[:2], -1).min(axis=1))
        self._values = np.array(values, np.float16)

    def costs(self, before: int, last: Places, state: Places) -> Floats:
        """What each action costs, `(..., 3)` px, so many whole steps before the landing's own; else as above."""
        courses = self._courses(min(before, STEPS), state)
        return np.asarray((self._paddle.chance[last] * np.moveaxis(courses, 0, -1)[..., None, :]).sum(axis=-1))

    def _courses(self, before: int, state: Places) -> Floats:
        """What each course of the console costs from these states, `(C, ...)` px."""
        path = self._paddle.path[:, :, state]  # (C, 4, ...)
        if before == 0:
            way = self._underway[path[:, : self._within]].sum(axis=1)
            return np.asarray(way + self._landing[path[:, self._within]])
        return np.asarray(self._underway[path].sum(axis=1) + self._values[before - 1].take(self._paddle.ends[:, state]))
