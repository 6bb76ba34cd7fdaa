"""From readings of keypoints, one picture at a time, to the state that the planner plans on.

`self` is the thing that the agent's actions move, `world` the one that decides about its lives. Which slot is which is
found elsewhere; here only what can be seen counts: the world out of sight stays where it was last, and how long ago
that was is part of the state; self out of sight is taken to be at the edge that it was near (a paddle half inside a
wall is hard to see). What stands perfectly still is not taken for the world: a hole in a wall, say, looks like a ball
to a slot. A faint reading counts where the thing was heading anyway, as in the gates of Kalman trackers (Bar-Shalom and
Fortmann 1988, "Tracking and Data Association").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from envs.breakout import LEFT, NOOP, RIGHT, SIDE, Actions, Mask

Floats = npt.NDArray[np.floating[Any]]

# Columns of a state: pixels, pixels a step, steps.
SELF_X, SELF_DX, WORLD_X, WORLD_Y, WORLD_DX, WORLD_DY, UNSEEN, LAST, DRY, TURNS = range(10)
COLUMNS = 10
LONG = 10.0  # steps: out of sight for this long or longer is the same
_GAP = 3  # steps: a thing out of sight for no longer still has a velocity when it is back
_NO_VELOCITY = 0.5  # stands for: seen again just now, and only its place is known
_STILL = 0.5  # pixels a step
_MARGIN = 4.0  # pixels: self, when it slips out of sight at the edge of the picture, is still in it
_NEAR = 16.0  # pixels: from so near it can have slipped there
_LEAP = 12.0  # pixels a step: nothing moves so fast; another thing is being read
_COURSE = 4.0  # pixels: so near to where the world's thing was heading, little confidence is enough:
_ENOUGH = 0.25  # of the threshold
_STEADY = 2.0  # pixels a step: a velocity that changes by less is the same one, read with an error,
_GAIN = 0.4  # of which so much is taken over
# The place in LEARNT_ACTIONS of each of ALE's actions; FIRE moves nothing.
CODES = np.zeros(4, np.int64)
CODES[[NOOP, RIGHT, LEFT]] = 0, 1, 2


def unknown(count: int) -> Floats:
    """Return the states `(count, 10)` of games of which nothing was seen yet."""
    state = np.zeros((count, COLUMNS), np.float32)
    state[:, [SELF_X, WORLD_X, WORLD_Y]] = SIDE / 2
    state[:, UNSEEN] = LONG
    return state


def track(state: Floats, self_reading: Floats, world_reading: Floats, thresholds: Floats, start: Mask) -> Floats:
    """Take in one picture's readings.

    Args:
        state: `(N, 10)`; `LAST` already holds the action that led to this picture.
        self_reading, world_reading: `(N, 3)` x, y, confidence.
        thresholds: `(2,)` the confidences from which self and world count as seen.
        start: `(N,)` where a new game begins and the state is forgotten.

    Returns:
        the new state `(N, 10)`.
    """
    before = np.where(start[:, None], unknown(len(state)), state)
    after = before.copy()
    edge = np.where(before[:, SELF_X] > SIDE / 2, SIDE - _MARGIN, _MARGIN)
    hidden = np.where(np.abs(before[:, SELF_X] - edge) < _NEAR, edge, before[:, SELF_X])
    after[:, SELF_X] = np.where(self_reading[:, 2] > thresholds[0], self_reading[:, 0], hidden)
    after[:, SELF_DX] = np.where(start, 0, after[:, SELF_X] - before[:, SELF_X])
    gap = np.floor(before[:, UNSEEN]) + 1
    moved = world_reading[:, :2] - before[:, [WORLD_X, WORLD_Y]]
    seen = _seen(before, world_reading[:, None], thresholds[1])[0][:, 0]
    fresh = seen & (gap <= _GAP)
    velocity = np.where(fresh[:, None], moved / gap[:, None], 0)
    change = velocity - before[:, [WORLD_DX, WORLD_DY]]
    steady = fresh & (before[:, UNSEEN] == 0) & (np.abs(change).max(axis=1) < _STEADY)
    velocity -= np.where(steady[:, None], (1 - _GAIN) * change, 0)
    after[:, [WORLD_X, WORLD_Y]] = np.where(seen[:, None], world_reading[:, :2], before[:, [WORLD_X, WORLD_Y]])
    after[:, [WORLD_DX, WORLD_DY]] = np.where(seen[:, None], velocity, before[:, [WORLD_DX, WORLD_DY]])
    after[:, UNSEEN] = np.where(fresh, 0, np.where(seen, _NO_VELOCITY, np.minimum(gap, LONG)))
    return after


def attend(state: Floats, readings: Floats, roles: tuple[int, int], thresholds: Floats, start: Mask) -> Floats:
    """Choose which slot to read the world's thing from: `(N, K, 3)` -> `(N, 3)`.

    Its own slot, unless that one does not see it and another one (never self's) does where the thing was heading: a
    thing may be split over two slots. What its own slot sees counts more than any course: as the thing turns, something
    else may well go on.
    """
    seen, on_course = _seen(state, readings, thresholds[1])  # (N, K)
    others = seen & on_course & ~start[:, None]
    others[:, roles[0]] = False
    surest = np.where(others, readings[..., 2], -1).argmax(axis=1)
    other = others.any(axis=1) & ~seen[:, roles[1]]
    chosen: Floats = readings[np.arange(len(readings)), np.where(other, surest, roles[1])]
    return chosen


def _seen(state: Floats, readings: Floats, threshold: float) -> tuple[Mask, Mask]:
    """Whether readings `(N, K, 3)` can be the world's thing; and are where it was heading when last seen, not long ago.

    Still things and leaps cannot; a faint reading can where it was heading.
    """
    gap = np.floor(state[:, UNSEEN, None]) + 1  # (N, 1)
    moved = readings[..., :2] - state[:, None, [WORLD_X, WORLD_Y]]  # (N, K, 2)
    moves = np.abs(moved).sum(axis=2)
    off_course = np.abs(moved - state[:, None, [WORLD_DX, WORLD_DY]] * gap[..., None]).sum(axis=2)
    on_course: Mask = (gap <= _GAP) & (off_course < _COURSE)
    sure = readings[..., 2] > threshold * np.where(on_course, _ENOUGH, 1)
    seen: Mask = sure & (moves > _STILL) & ((gap > _GAP) | (moves < _LEAP * gap))
    return seen, on_course


def track_all(readings: Floats, taken: Actions, over: Mask, roles: tuple[int, int], thresholds: Floats) -> Floats:
    """Track T steps of N games: readings `(T, N, K, 3)` -> states `(T, N, 10)`, `LAST` as it really was."""
    steps, games = taken.shape
    states = np.empty((steps, games, COLUMNS), np.float32)
    state, start = unknown(games), np.ones(games, np.bool_)
    for t in range(steps):
        world = attend(state, readings[t], roles, thresholds, start)
        state = track(state, readings[t, :, roles[0]], world, thresholds, start)
        states[t] = state
        state[:, LAST] = CODES[taken[t]]
        start = over[t]
    return states
