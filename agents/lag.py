"""How long after the picture a person presses the key: measured on their labels, and taken back out of them.

A person's label lags the picture that caused it by 250 to 300 ms, about four steps. So the action pressed at step t
belongs to the picture of some steps before, and learning it from the picture at t is learning noise. The lag is the
shift that makes the labels most predictable from where ball and paddle were, on parts of the games held out.

How the paddle *moved* is kept from the predictor: it shows the actions before, and a key that is held down makes
those a good guess at any shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from agents.demonstrations import Episode
from envs.breakout import FIRE, FRAME_SKIP, STACK, Actions, Bytes

MOST_STEPS = 8  # the longest lag that is looked for: 533 ms at full speed
STEP_MS = 1_000 * FRAME_SKIP / 60  # at full speed
TYPICAL_STEPS = 4  # of a person at full speed, where too few labels are there to measure it
ENOUGH_LABELS = 400  # with the ball in sight
_FOLDS, _BLOCK = 4, 100  # held-out parts, of blocks of so many steps: neighbouring steps are much alike
# Of an 84 x 84 picture: between the bricks and the paddle, where nothing but the ball is bright; the paddle; and what
# lies within the side walls, whose last trace is a dim column on either side.
_OPEN_ROWS, _PADDLE_ROWS, _COLUMNS = slice(38, 75), slice(75, 77), slice(5, 79)
_DARK = 20  # grey levels


@dataclass(frozen=True)
class Lag:
    """What was measured.

    Attributes:
        steps: the lag at full speed; at half speed it is half as many steps.
        measured: False where there were too few labels, and `steps` is what people typically need.
        accuracy: `(9,)` share of held-out labels that were predicted, for lags of 0 to 8 steps; empty if not measured.
    """

    steps: int
    measured: bool
    accuracy: tuple[float, ...] = ()

    def __str__(self) -> str:
        if not self.measured:
            return f"{self.steps} steps assumed (too few labels to measure it)"
        gained = f"labels predicted {self.accuracy[self.steps]:.0%}, without the shift {self.accuracy[0]:.0%}"
        return f"{self.steps} steps, {self.steps * STEP_MS:.0f} ms ({gained})"


def shifted(episode: Episode, lag: int) -> tuple[npt.NDArray[np.int64], Actions]:
    """Give every observation the action that was pressed `lag` steps after it, in the same life.

    Args:
        lag: steps at full speed; where the game ran slower it shrinks in proportion, and to 0 step by step.

    Returns:
        `(L,)` the steps that have a label (FIRE, which is pressed for everyone, is none), and `(L,)` their labels.
    """
    steps = np.arange(len(episode.actions))
    later = steps + np.rint(lag * episode.speed).astype(np.int64)
    life = np.cumsum(episode.life_lost, dtype=np.int64) - episode.life_lost
    kept = later < len(steps)
    kept[kept] = (life[later[kept]] == life[kept]) & (episode.actions[later[kept]] != FIRE)
    return steps[kept], episode.actions[later[kept]]


def measure_lag(episodes: Sequence[Episode]) -> Lag:
    """Find the lag, from 0 to `MOST_STEPS`, whose labels are most likely on held-out blocks of steps."""
    sights = [_sight(episode.pictures) for episode in episodes]
    told = [np.isfinite(sight).all(axis=1) & (e.actions != FIRE) for sight, e in zip(sights, episodes, strict=True)]
    if sum(int(labels.sum()) for labels in told) < ENOUGH_LABELS:
        return Lag(TYPICAL_STEPS, measured=False)
    scores = [_predictability(episodes, sights, lag) for lag in range(MOST_STEPS + 1)]
    best = int(np.argmax([likelihood for likelihood, _ in scores]))
    return Lag(best, measured=True, accuracy=tuple(round(accuracy, 4) for _, accuracy in scores))


def _predictability(
    episodes: Sequence[Episode], sights: Sequence[npt.NDArray[np.float64]], lag: int
) -> tuple[float, float]:
    """Mean log-likelihood and accuracy of the labels on held-out blocks."""
    rows: list[tuple[npt.NDArray[np.float64], Actions, npt.NDArray[np.int64]]] = []
    blocks = 0
    for episode, sight in zip(episodes, sights, strict=True):
        steps, labels = shifted(episode, lag)
        seen = np.isfinite(sight[steps]).all(axis=1)
        rows.append((sight[steps[seen]], labels[seen], blocks + steps[seen] // _BLOCK))
        blocks += len(episode.actions) // _BLOCK + 1
    x, y, block = (np.concatenate(column) for column in zip(*rows, strict=True))
    if len(y) < ENOUGH_LABELS // 2:  # the games are so short that this shift leaves next to nothing
        return -math.inf, 0.0
    likelihood, right = np.zeros(len(y)), np.zeros(len(y), np.bool_)
    fold = np.unique(block, return_inverse=True)[1] % _FOLDS
    for number in np.unique(fold):
        out = fold == number
        predictor = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=0)
        with threadpool_limits(1):  # so small a fit is slower on more
            predictor.fit(x[~out], y[~out])
            probability = predictor.predict_proba(x[out])
        place = np.searchsorted(predictor.classes_, y[out]).clip(max=len(predictor.classes_) - 1)
        known = predictor.classes_[place] == y[out]
        likelihood[out] = np.log(np.where(known, probability[np.arange(len(place)), place], 0).clip(1e-3))
        right[out] = predictor.classes_[probability.argmax(axis=1)] == y[out]
    return float(likelihood.mean()), float(right.mean())


def _sight(pictures: Bytes) -> npt.NDArray[np.float64]:
    """Where ball and paddle are at each step, `(T, 6)` in pixels of the picture; NaN where the ball is not in sight.

    Ball minus paddle, height, speed across and down, paddle, and where the ball will land minus paddle.
    """
    now = pictures[STACK - 1 : -1]
    open_space = now[:, _OPEN_ROWS, _COLUMNS] * (now[:, _OPEN_ROWS, _COLUMNS] > _DARK)
    ball = _centre(open_space.sum(axis=1, dtype=np.float64)) + _COLUMNS.start
    height = _centre(open_space.sum(axis=2, dtype=np.float64)) + _OPEN_ROWS.start
    paddle = _centre(now[:, _PADDLE_ROWS, _COLUMNS].sum(axis=1, dtype=np.float64)) + _COLUMNS.start
    across, down = np.diff(ball, prepend=np.nan), np.diff(height, prepend=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps_left = np.where(down > 0, (_OPEN_ROWS.stop - height) / down, 0.0)
    width = _COLUMNS.stop - _COLUMNS.start  # the ball bounces off the walls
    folded = np.mod(ball + across * steps_left - _COLUMNS.start, 2 * width)
    landing = _COLUMNS.start + np.minimum(folded, 2 * width - folded)
    return np.stack([ball - paddle, height, across, down, paddle, landing - paddle], axis=1)


def _centre(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`(T, W)` -> `(T,)`, NaN where there is no weight."""
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(weights @ np.arange(weights.shape[1]) / np.where(total > 0, total, np.nan))
