"""What a planner makes of what it counted: search trees, and tables of what each action is worth.

The plan is backward induction (Bellman 1957) over the counts: the value of being in a cell with so many steps to go to
a landing. Where that will be is a guess, and a step later another one: a plan that needs it to be right to a pixel is
worth less than one with room on both sides (of 2,359 falls in the first 1,600 steps of sticky games 1.1% cost a life,
of 1,802 without this 2.1%). Within the last two steps time is told in quarters: something lands between two pictures,
with self on its way (a table of whole steps promised 2% more at the last choice but one than came of it, in quarters
0.8%). A landing further ahead than the last of `TIMES` counts as that near, for until then it is a guess where it will
be. A cell from which an action was never tried promises nothing for it: that is all the caution there is, after
Shrestha et al. (2020), "DeepAveragers". The values depend on nothing but the counts, so they are tables, worked out
once; a step of play looks them up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from agents import tracker
from agents.tracker import Floats
from envs.breakout import LEARNT_ACTIONS, SIDE, Actions

# Steps before a landing for which values are kept: parts of steps, where they matter. The last one is the horizon:
# fast falls are first seen so late.
TIMES = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3, 4, 5, 6, 7])
PLACES = np.arange(0, SIDE, 0.5)  # pixels, of self as something lands
OFFSETS = np.arange(-SIDE, SIDE + 0.25, 0.5)  # pixels between landing and self, at which returns are kept
MISJUDGED = 1.0  # pixels: how wrong the guess of a landing still is as it lands,
REVISED = 1.0  # and how far it moves in each step before that
KINDS = 4  # kinds of falls
AIMS = 6  # offsets to choose among when nothing is won any more
ELSEWHERE = 0.9  # what coming back from there is worth then, beside coming back from the aim
PATIENCE = 150  # steps without a change of the score until it takes aim
SCORE_WEIGHT = 0.01  # of the points that followed an offset, beside coming back at all
VOTERS, VOTE_SOFTNESS = 3, 0.2  # nearest memories; pixels squared
NEIGHBOURS, CELL_SOFTNESS = 3, 0.05  # nearest cells between which values are interpolated; pixels squared
MEMORY_SCALE = np.array([1, 1, 2, 2, 3], np.float32)  # of x, y, dx, dy, steps unseen
CELL_SCALE = np.array([1, 0.7], np.float32)  # of self's x and dx


class Plans:
    """Search trees and value tables.

    Args:
        buffers: of a `PlannerHead`, by name; see there.
    """

    def __init__(self, buffers: dict[str, Any]) -> None:
        self.roles = (int(buffers["roles"][0]), int(buffers["roles"][1]))
        self.thresholds: Floats = buffers["thresholds"]
        self.landings: Floats = buffers["landings"].astype(np.float32)
        self.kinds = buffers["kinds"].astype(np.int64)
        if self.kinds.max(initial=0) >= KINDS:
            raise ValueError(f"a memory's kind of fall is {self.kinds.max()}, and there are {KINDS}")
        self.memory = cKDTree(buffers["memories"].astype(np.float32)) if len(buffers["memories"]) else None
        self.cells = buffers["cells"]
        self.trees = [cKDTree(centres) for centres in self.cells]
        self.aims = buffers["aims"]
        points = buffers["points"] / max(float(buffers["points"].max(initial=0)), 1e-6)
        worth = buffers["returns"] * (1 + SCORE_WEIGHT * points)  # by kind and offset
        self.worth: Floats = gaussian_filter1d(worth, MISJUDGED / (OFFSETS[1] - OFFSETS[0]), axis=-1)
        self.count = count = self.cells.shape[0] * self.cells.shape[1]
        action, cell, next_cell = buffers["transitions"].T
        self.follow = [
            sparse.csr_matrix(
                (buffers["probabilities"][action == a], (cell[action == a], next_cell[action == a])), (count, count)
            )
            for a in range(len(LEARNT_ACTIONS))
        ]
        self._tables: dict[int, Any] = {}

    def table(self, aim: int) -> Any:
        """Values `(TIMES, 3, cells, KINDS, 84 landings)`, aiming at offset `aim`; -1: at any.

        A landing within a step finds self on the way to where that step takes it.
        """
        if aim not in self._tables:
            worth = self.worth
            if aim >= 0:
                near = np.exp(-((OFFSETS - self.aims[aim]) ** 2) / 2)
                worth = worth * (ELSEWHERE + (1 - ELSEWHERE) * near)
            offset = np.arange(SIDE) - PLACES[:, None]
            at = np.stack([np.interp(offset, OFFSETS, each) for each in worth], axis=1).astype(np.float32)
            at = at.reshape(len(PLACES), -1)  # worth at each place of self, of kinds and landings
            table = np.empty((len(TIMES), len(self.follow), self.count, at.shape[1]), np.float16)
            best: dict[float, Floats] = {}  # by time
            for row, time in enumerate(TIMES.tolist()):
                if time == 0:
                    ahead = (self._on_the_way(sparse.identity(self.count, format="coo"), 0.0) @ at)[None]  # no choice
                elif time <= 1:
                    ahead = np.stack([self._on_the_way(follow.tocoo(), time) @ at for follow in self.follow])
                else:
                    ahead = np.stack([follow @ best[time - 1] for follow in self.follow])
                table[row] = ahead
                best[time] = ahead.max(axis=0)
                if time >= 1:
                    guesses = best[time].reshape(self.count, len(worth), SIDE)
                    best[time] = gaussian_filter1d(guesses, REVISED, mode="nearest").reshape(best[time].shape)
            self._tables[aim] = table.reshape(*table.shape[:3], len(worth), SIDE)
        return self._tables[aim]

    def _on_the_way(self, follow: Any, part: float) -> Any:
        """How likely self is at each of `PLACES` after a part of a step: `(cells, places)`, sparse."""
        self_x = self.cells.reshape(-1, 2)[:, 0]
        x = np.clip(self_x[follow.row] * (1 - part) + self_x[follow.col] * part, 0, SIDE - 1) / PLACES[1]
        place = np.minimum(x.astype(int), len(PLACES) - 2)
        share = np.append(follow.data * (place + 1 - x), follow.data * (x - place))
        where = np.append(follow.row, follow.row), np.append(place, place + 1)
        return sparse.csr_matrix((share.astype(np.float32), where), (self.count, len(PLACES)))

    def values(self, state: Floats) -> Floats:
        """States `(N, 10)` -> what each of the three actions is worth `(N, 3)`."""
        values: Floats = np.zeros((len(state), len(self.follow)))
        if self.memory is None:  # nothing ever landed: no action is known to be better
            return values
        distance, voter = self.memory.query(memory_features(state), min(VOTERS, self.memory.n))
        distance, voter = distance.reshape(len(state), -1), voter.reshape(len(state), -1)
        vote = 1 / (distance**2 + VOTE_SOFTNESS)
        vote /= vote.sum(axis=1, keepdims=True)
        cell, weight = self._locate(state)
        aim = np.where(state[:, tracker.DRY] < PATIENCE, -1, aim_after(state[:, tracker.TURNS].astype(int)))
        for each in np.unique(aim):
            n = np.flatnonzero(aim == each)
            looked_up = self._look_up(
                self.table(each), self.landings[voter[n]], self.kinds[voter[n]], cell[n]
            )  # (n, 3, voters, cells)
            values[n] = np.einsum("navc,nv,nc->na", looked_up, vote[n], weight[n])
        return values

    def _locate(self, state: Floats) -> tuple[Actions, Floats]:
        cell, weight = np.empty((len(state), NEIGHBOURS), np.int64), np.empty((len(state), NEIGHBOURS))
        for last, tree in enumerate(self.trees):
            here = state[:, tracker.LAST] == last
            if here.any():
                nearest, weight[here] = nearest_cells(tree, state[here][:, [0, 1]] * CELL_SCALE)
                cell[here] = nearest + last * self.cells.shape[1]
        return cell, weight

    @staticmethod
    def _look_up(table: Any, landing: Floats, kind: Actions, cell: Actions) -> Any:
        """Interpolate the table between times and whole pixels of each vote."""
        x = np.clip(landing[..., 0], 0, SIDE - 1.001)[:, None, :, None]  # (n, 1, voters, 1)
        to_go = np.interp(landing[..., 1], TIMES, np.arange(len(TIMES)))[:, None, :, None].clip(0, len(TIMES) - 1.001)
        column, row = x.astype(int), to_go.astype(int)
        right, later = x - column, to_go - row
        action, cell, kind = np.arange(3)[None, :, None, None], cell[:, None, None, :], kind[:, None, :, None]
        now = table[row, action, cell, kind, column] * (1 - right) + table[row, action, cell, kind, column + 1] * right
        row = row + 1
        then = table[row, action, cell, kind, column] * (1 - right) + table[row, action, cell, kind, column + 1] * right
        return now * (1 - later) + then * later


def memory_features(state: Floats) -> Floats:
    """What makes two states alike for the vote: `(..., 10)` -> `(..., 5)`, scaled."""
    columns = [tracker.WORLD_X, tracker.WORLD_Y, tracker.WORLD_DX, tracker.WORLD_DY, tracker.UNSEEN]
    features: Floats = state[..., columns] * MEMORY_SCALE
    return features


def nearest_cells(tree: cKDTree, points: Floats) -> tuple[Actions, Floats]:
    """Return the nearest cells of `(B, 2)` scaled points and their weights, `(B, 3)` each; weights sum to one."""
    distance, cell = tree.query(points, NEIGHBOURS)
    weight = 1 / (distance**2 + CELL_SOFTNESS)
    return cell, weight / weight.sum(axis=1, keepdims=True)


def aim_after(turns: Actions) -> Actions:
    """Which of the aims to take after so many turns of the world's thing, `(N,)` each, in an order that never repeats.

    It is the sum of the digits in base `AIMS` (the Thue-Morse sequence, of more than two letters): one aim after the
    other would let a game repeat itself for ever.
    """
    aim = np.zeros_like(turns)
    while turns.any():
        aim, turns = aim + turns % AIMS, turns // AIMS
    return np.asarray(aim % AIMS)
