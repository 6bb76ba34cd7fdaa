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
from envs.breakout import FRAME_SKIP, LEARNT_ACTIONS, STICKY
from envs.game_state import PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST

STEPS = 12  # planned; a ball further away counts as that far away
PROMPTNESS = 0.01  # px of cost for each px and frame that the paddle is away from its aim on the way there
TEMPERATURE = 0.5  # px: how much worse an action may be and still count as good
_AIM_STEP = 2  # px between the aims that have a table

Floats = npt.NDArray[np.float64]
Places = int | npt.NDArray[np.int64]


def expected_costs(last: Places, state: Places, frames: int, aim: float) -> npt.NDArray[np.float16]:
    """What each action costs, `(..., 3)` px, by the law of the `sticky` protocol; under `classic` it is a careful plan.

    Args:
        last: what the console did last, a place among the learnt actions, or `(...)` several.
        state: the paddle's, as its law counts them (see `paddle.Hand`), or `(...)` as many.
        frames: until the ball lands, at least 1.
        aim: px, where the paddle's left edge should then be; to the nearest even number within its range.
    """
    reachable = min(max(aim, PADDLE_LEFT_MOST), PADDLE_RIGHT_MOST)
    before, within = divmod(frames - 1, FRAME_SKIP)
    table = _table(_AIM_STEP * round(reachable / _AIM_STEP), within)
    return np.asarray(table[min(before, STEPS), last, state])


@cache  # 276 of 0.6 MB each
def _table(aim: int, within: int) -> npt.NDArray[np.float16]:
    """Costs `(STEPS + 1, 3, S, 3)`: by whole steps before the one in whose frame number `within` the ball lands."""
    paddle = paddle_under(STICKY.sticky)
    away = np.abs(paddle.law.x - aim).astype(np.float64)[paddle.path]  # (C, 4, S)
    landing = away[:, within] + PROMPTNESS * away[:, :within].sum(axis=1)  # (C, S); what comes later counts nothing
    tables = [_by_action(paddle, landing)]
    for _ in range(STEPS):
        value = tables[-1].min(axis=2)  # (3, S)
        tables.append(_by_action(paddle, PROMPTNESS * away.sum(axis=1) + value.take(paddle.ends)))
    return np.stack(tables).astype(np.float16)


def _by_action(paddle: Paddle, courses: Floats) -> Floats:
    """Average the costs `(C, S)` of courses over what the console may do: `(3, S, 3)` by last action and action."""
    costs = paddle.chance.reshape(-1, len(courses)) @ courses  # (9, S)
    return costs.reshape(len(LEARNT_ACTIONS), len(LEARNT_ACTIONS), -1).transpose(0, 2, 1)
