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
Tables = npt.NDArray[np.float16]
Places = int | npt.NDArray[np.int64]


def expected_costs(last: Places, state: Places, frames: int, aim: float) -> Tables:
    """What each action costs, `(..., 3)` px, by the law of the `sticky` protocol; under `classic` it is a careful plan.

    Args:
        last: what the console did last, a place among the learnt actions, or `(...)` several.
        state: the paddle's, as its law counts them (see `paddle.Hand`), or `(...)` as many.
        frames: until the ball lands, at least 1.
        aim: px, where the paddle's left edge should then be; to the nearest even number within its range.
    """
    reachable = min(max(aim, PADDLE_LEFT_MOST), PADDLE_RIGHT_MOST)
    before, within = divmod(frames - 1, FRAME_SKIP)
    return np.asarray(_table(_AIM_STEP * round(reachable / _AIM_STEP), within)[min(before, STEPS), last, state])


@cache  # 276 of 0.6 MB each: labels are asked for so often that these pay
def _table(aim: int, within: int) -> Tables:
    paddle = paddle_under(STICKY.sticky)
    away = np.abs(paddle.law.x - aim).astype(np.float64)
    return tables(paddle, away, PROMPTNESS * away, within)


def tables(paddle: Paddle, landing: Floats, underway: Floats, within: int) -> Tables:
    """What each action costs with the best ones after it, from what the paddle's states cost.

    Args:
        paddle: its law, and what the console may repeat.
        landing: `(S,)` px, what a state costs in the frame in which the ball lands.
        underway: `(S,)` px, what it costs in each frame before.
        within: 0 to 3, the landing's frame within its step; what comes later counts nothing.

    Returns:
        `(STEPS + 1, 3, S, 3)`, by whole steps before the landing's own, by what the console did last, by state and by
        action.
    """
    way = underway[paddle.path]  # (C, 4, S)
    courses, found = landing[paddle.path[:, within]] + way[:, :within].sum(axis=1), list[Floats]()  # (C, S)
    whole = way.sum(axis=1)
    for _ in range(STEPS + 1):
        costs = (paddle.chance.reshape(-1, len(courses)) @ courses).reshape(*paddle.chance.shape[:2], -1)
        found.append(costs.transpose(0, 2, 1))
        courses = whole + costs.min(axis=1).take(paddle.ends)
    return np.stack(found).astype(np.float16)


class Way:
    """The same, of a third the size: a table of what states cost; what actions cost is worked out where it is asked."""

    def __init__(self, paddle: Paddle, landing: Floats, underway: Floats, within: int) -> None:
        self._paddle, self._landing, self._underway, self._within = paddle, landing, underway, within
        self._values = tables(paddle, landing, underway, within).min(axis=3)  # (STEPS + 1, 3, S)

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
