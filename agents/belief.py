"""What several pictures say together: beliefs about the paddle and the ball's landing, carried from step to step.

What is read from one picture is a little wrong, and how far the console's resistor is turned (T) hardly shows in it.
But the paddle obeys a law (`paddle.py`), and whoever plays knows what they did: so the law's states are held to be more
or less likely, by the forward algorithm of hidden Markov models (Rabiner 1989). And a ball that falls lands in one
place, one step sooner each step: what is read of it on the way is averaged. Whether the console repeats actions
(`sticky`) or never does (`classic`) shows in what the paddle does, so that is believed, too.

An action costs what it is expected to cost under these beliefs, as if the next picture would tell all (QMDP; Littman et
al. 1995): above all the chance that the ball is lost, for a ball that is caught off the centre is caught as well.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from agents.costs import PROMPTNESS, Way
from agents.paddle import paddle_under
from envs.breakout import CLASSIC, FRAME_SKIP, LEARNT_ACTIONS, STICKY, Actions

STICKINESS = (STICKY.sticky, CLASSIC.sticky)  # with what probability the console repeats the last action
HALVES = (8, 6)  # px, half the paddle's width: at first, and once the ball has touched the ceiling
PADDLE_ERROR, TARGET_ERROR = 0.6, 1.5  # px, mean of a reading's
SURPRISE = 1e-3  # chance, each step, of whatever the law does not foresee, such as a paddle of the other width
KNOWN = 1e-3  # probability: states less likely than that do not weigh in a choice
SAME_LANDING, SAME_FRAMES = 6.0, 3.0  # px, frames: what differs by more is another fall
FORGETTING = 0.8  # what a reading still counts a step later, beside the next one

LANDING_ERROR = 1.0  # px, mean of what is believed of a landing
LOST, WRONG_SIDE = 10.0, 3.0  # px, what it costs to miss the ball, or to send it off to the other side
SIDES_MEET = 0.75  # px, how far the paddle's centre is past the ball where the ball goes neither left nor right
OFF_AIM = 0.1  # px, what it costs to be a pixel off the aim

Beliefs = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def unknown(count: int) -> tuple[Beliefs, Floats]:
    """Return beliefs `(N, 2, 2, 3 S)` and falls.

    Beliefs are by what the console repeats, the paddle's width, and what the console did last with the law's state.
    Falls are `(N, 4)`: where the ball lands (px), in how many frames, and the weight of either.
    """
    shape = count, len(STICKINESS), len(HALVES), len(LEARNT_ACTIONS) * len(paddle_under(STICKY.sticky).law.x)
    return np.full(shape, 1 / np.prod(shape[1:]), np.float32), np.zeros((count, 4))


def of_paddle(before: Beliefs, done: Actions, paddle: Floats, target: Floats) -> Beliefs:
    """Take in a step.

    Args:
        before: `(N, 2, 2, 3 S)`.
        done: `(N,)` since then, places among the learnt actions.
        paddle, target: `(N,)` px, as read: centres of paddle and T.

    Returns:
        `(N, 2, 2, 3 S)`, which sum to 1 in each game.
    """
    after = np.empty_like(before)
    for number, sticky in enumerate(STICKINESS):
        for action, leads in enumerate(_leads(sticky)):
            n = done == action
            likely = leads @ before[n, number].reshape(-1, before.shape[-1]).T
            after[n, number] = likely.T.reshape(-1, *before.shape[2:])
    after += SURPRISE * ((after[:, :, ::-1] + 1 / after[0].size) / 2 - after)
    after *= np.tile(_likelihood(paddle, target), len(LEARNT_ACTIONS))[:, None]
    return np.asarray(after / after.sum(axis=(1, 2, 3), keepdims=True))


def repeats(beliefs: Beliefs) -> Floats:
    """How likely it is that the console repeats actions, `(N,)`."""
    return np.asarray(beliefs[:, 0].sum(axis=(1, 2)), np.float64)


def _likelihood(paddle: Floats, target: Floats) -> Beliefs:
    """How likely such readings are `(N, 2, S)`, up to a factor for each game: errors are Laplace's."""
    law = paddle_under(STICKY.sticky).law
    wrong = np.zeros((len(paddle), len(HALVES), len(law.x)))
    for read, error, true in ((paddle, PADDLE_ERROR, law.x), (target, TARGET_ERROR, law.target)):
        centre = np.arange(true.max() + 1) + np.array(HALVES)[:, None]  # (2, px)
        wrong += (np.abs(read[:, None, None] - centre) / error)[..., true]
    return np.asarray(np.exp(wrong.min(axis=(1, 2), keepdims=True) - wrong), np.float32)


@cache
def _leads(sticky: float) -> list[Any]:
    """For each action how likely it leads to what the console does last, and a state, from others: `(3 S, 3 S)`."""
    paddle = paddle_under(sticky)
    states = np.arange(len(paddle.law.x))
    count = len(LEARNT_ACTIONS) * len(states)
    found = []
    for action in range(len(LEARNT_ACTIONS)):
        chance = paddle.chance[:, action]  # (3, C)
        last, course = np.nonzero(chance)
        begin = (last[:, None] * len(states) + states).ravel()
        likely = np.repeat(chance[last, course], len(states)).astype(np.float32)
        found.append(sparse.csr_matrix((likely, (paddle.ends[course].ravel(), begin)), (count, count)))
    return found


def of_fall(before: Floats, landing: Floats, frames: Floats) -> Floats:
    """Take in where the ball is read to land, `(N,)` px, and in how many frames, `(N,)`."""
    soon = before[:, 2] - FRAME_SKIP
    same = (np.abs(landing - before[:, 0]) < SAME_LANDING) & (np.abs(frames - soon) < SAME_FRAMES)
    known = np.where(same[:, None], FORGETTING * before[:, [1, 3]], 0)  # (N, 2)
    weight = np.stack([(1 + (frames / 20) ** 2) ** -2.0, np.ones_like(frames)], axis=1)  # near ones are read best
    said, expected = np.stack([landing, frames], axis=1), np.stack([before[:, 0], soon], axis=1)
    mean = (known * expected + weight * said) / (known + weight)
    return np.stack([mean[:, 0], known[:, 0] + weight[:, 0], mean[:, 1], known[:, 1] + weight[:, 1]], axis=1)


def costs(beliefs: Beliefs, falls: Floats, side: Actions) -> Floats:
    """What each action is expected to cost, `(N, 3)` px.

    Args:
        beliefs, falls: as above.
        side: `(N,)` of the ball on which the paddle's centre should meet it: -1 left, 1 right, 0 neither.
    """
    found, states = np.zeros((len(beliefs), len(LEARNT_ACTIONS))), len(paddle_under(STICKY.sticky).law.x)
    for n, (belief, (landing, _, frames, _)) in enumerate(zip(beliefs, falls, strict=True)):
        before, within = divmod(max(round(frames), 1) - 1, FRAME_SKIP)
        centre = 2 * round(min(max(landing, 8.0), 152.0) / 2)
        kinds = product(STICKINESS, HALVES)
        for (sticky, half), likely in zip(kinds, belief.reshape(-1, belief.shape[-1]), strict=True):
            place = np.flatnonzero(likely > KNOWN)
            if len(place):
                way = _way_under(centre, within, half, int(side[n]), sticky)
                found[n] += likely[place] @ way.costs(before, *divmod(place, states))
    return found


@cache  # of 0.2 MB each: 73 places, 4 frames, 2 widths and 3 sides are 1,752 for either kind of console
def _way_under(centre: int, within: int, half: int, side: int, sticky: float) -> Way:
    """The way to a ball whose centre lands at `centre` px, for a paddle of that width."""
    paddle = paddle_under(sticky)
    past = paddle.law.x + half - centre  # (S,) px, the paddle's centre from the ball's
    off_aim = np.abs(past - side * half / 2)
    landing = OFF_AIM * off_aim + LOST * (_error_above(half - past) + _error_above(half + past))
    if side:
        landing += WRONG_SIDE * _error_above(side * (past - SIDES_MEET))
    return Way(paddle, landing, PROMPTNESS * off_aim, within)


def _error_above(limit: Floats) -> Floats:
    """How likely a landing's error is above `limit` px."""
    tail = np.exp(-np.abs(limit) / LANDING_ERROR) / 2
    return np.where(limit > 0, tail, 1 - tail)
