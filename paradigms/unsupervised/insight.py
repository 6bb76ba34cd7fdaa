"""What experience says in hindsight: who is who, where the agent's line is, what landed where, what came back.

None of it uses a label: only the keypoints, the agent's own actions, lives lost and points won.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans

from agents.tracker import CODES, SELF_X, UNSEEN, WORLD_DX, WORLD_DY, WORLD_X, WORLD_Y, Floats, track_all
from envs.breakout import SIDE, Mask
from paradigms.unsupervised.explore import Experience

Rows = npt.NDArray[np.int64]
APPROACH = 3  # steps: a fall that ends no further from a line is drawn out to it
_SLOWEST = 0.5  # pixels a step: slower is no fall
_BLINK = 3  # steps out of sight that do not end a fall
_EXAMPLES, _ALIKE = 20_000, 8  # falls looked at to draw others out; how many of them each follows
_ALIKE_SCALE = np.array([1, 2], np.float32)  # of x and dx
_BIN, _BINS = 2.0, 31  # pixels; of the offsets whose information is measured


@dataclass(frozen=True)
class Landings:
    """Falls towards the agent's line, drawn out to where they crossed it or would have crossed it.

    Attributes, `(E,)` each:
        time, game: when, in steps and fractions of one.
        x: where, pixels.
        velocity: of the fall, pixels a step, `(E, 2)`.
        self_x: where the agent was then.
        returned: the next fall came before the next lost life.
        points: won until that next fall; 0 where a life was lost.
    """

    time: Floats
    game: Rows
    x: Floats
    velocity: Floats
    self_x: Floats
    returned: Mask
    points: Floats

    @property
    def offset(self) -> Floats:
        """Landing minus self, pixels `(E,)`."""
        return self.x - self.self_x

    @property
    def information(self) -> float:
        """How much the offset tells about coming back: mutual information (nats) times the number of landings."""
        column = np.clip(np.round(self.offset / _BIN) + _BINS // 2, 0, _BINS - 1).astype(int)
        count = np.zeros((_BINS, 2))
        np.add.at(count, (column, self.returned.astype(int)), 1)
        expected = count.sum(axis=1, keepdims=True) * count.sum(axis=0) / max(1, len(self.x))
        seen = count > 0
        return float((count[seen] * np.log(count[seen] / expected[seen])).sum())


def thresholds(experience: Experience) -> Floats:
    """Half of what each slot's surer readings have, by 2-means on a log scale, `(K,)`: from there on it is seen."""
    parting = []
    for slot in range(experience.readings.shape[2]):
        confidence = np.log(experience.readings[..., slot, 2].reshape(-1, 1)[::7] + 1e-3)
        centres = confidence
        if np.ptp(confidence) > 0:
            centres = KMeans(2, n_init=1, random_state=0).fit(confidence).cluster_centers_
        parting.append(np.exp(centres.max()) / 2)
    return np.array(parting, np.float32)


def controllability(experience: Experience, parting: Floats) -> Floats:
    """How much of each slot's motion the last two actions explain (R2), times how often it is seen, `(K,)`.

    What one's own actions explain is oneself; cf. Choi et al. (2019), "Contingency-Aware Exploration".
    """
    action = np.eye(3)[CODES[experience.taken]]  # (T, N, 3)
    explain = np.concatenate([action[1:-1], action[:-2]], axis=-1)
    scores = []
    for slot in range(len(parting)):
        x, seen = experience.readings[..., slot, 0], experience.readings[..., slot, 2] > parting[slot]
        both = seen[2:] & seen[1:-1] & ~experience.over[1:-1] & ~experience.over[:-2]
        moved, causes = np.clip((x[2:] - x[1:-1])[both], -15, 15), explain[both]
        if len(moved) < 10 or moved.var() == 0:
            scores.append(0.0)
            continue
        weights = np.linalg.lstsq(causes, moved, rcond=None)[0]
        scores.append((1 - np.square(moved - causes @ weights).mean() / moved.var()) * both.mean())
    return np.array(scores, np.float32)


def find_landings(states: Floats, experience: Experience, line: float) -> Landings:
    """Find every fall to height `line` in tracked states `(T, N, 10)` whose outcome is known."""
    step, game = np.nonzero(_last_of_fall(states, experience.over, line))
    at = states[step, game]
    wait = (line - at[:, WORLD_Y]) / at[:, WORLD_DY]  # steps
    near = wait <= APPROACH
    step, game, at, wait = step[near], game[near], at[near], wait[near]
    marked = np.zeros(experience.over.shape, np.bool_)
    marked[step, game] = True
    after = next_true(np.concatenate([marked[1:], np.zeros_like(marked[:1])]))[step, game] + 1  # the next fall
    lost, cut = next_true(experience.life_lost)[step, game], next_true(experience.over)[step, game]
    returned = (after <= lost) & (after <= cut)
    total = np.cumsum(experience.points, axis=0)
    won = total[np.minimum(after, len(states) - 1), game] - total[step, game]
    time = np.clip(step + wait, 0, cut)
    early = np.minimum(time.astype(int), len(states) - 2)
    share, self_x = time - early, states[..., SELF_X]
    landings = Landings(
        time,
        game,
        np.clip(at[:, WORLD_X] + _drift(states, experience.over, at, wait), 0, SIDE - 1),
        at[:, [WORLD_DX, WORLD_DY]],
        self_x[early, game] * (1 - share) + self_x[early + 1, game] * share,
        returned,
        np.where(returned, won, 0),
    )
    known = returned | (lost <= cut)
    return Landings(*(getattr(landings, name)[known] for name in Landings.__dataclass_fields__))


def _drift(states: Floats, over: Mask, at: Floats, wait: Floats) -> Floats:
    """How far states `at` `(E, 10)` go sideways in `wait` steps `(E,)`: as falls from such places were seen to.

    A straight line would leave the picture where things turn back at its edges; one fall in ten ends there.
    """
    going = (states[..., UNSEEN] == 0) & (states[..., WORLD_DY] > _SLOWEST)
    steps = len(states) - APPROACH
    seen = going[:steps].copy()
    for ahead in range(1, APPROACH + 1):
        seen &= going[ahead : steps + ahead] & ~over[ahead - 1 : steps + ahead - 1]
        seen &= states[ahead : steps + ahead, :, WORLD_Y] > states[ahead - 1 : steps + ahead - 1, :, WORLD_Y]
    step, game = np.nonzero(seen)
    if len(step) < _ALIKE:
        return np.asarray(wait * at[:, WORLD_DX])
    some = np.linspace(0, len(step) - 1, min(_EXAMPLES, len(step))).astype(int)
    step, game = step[some], game[some]
    later = step + np.arange(APPROACH + 1)[:, None]  # (4, examples)
    moved = states[later, game, WORLD_X] - states[step, game, WORLD_X]
    tree = cKDTree(states[step, game][:, [WORLD_X, WORLD_DX]] * _ALIKE_SCALE)
    alike = tree.query(at[:, [WORLD_X, WORLD_DX]] * _ALIKE_SCALE, _ALIKE)[1]
    course = moved[:, alike].mean(axis=2)  # (4, E)
    whole = np.minimum(wait.astype(int), APPROACH - 1)
    share, each = wait - whole, np.arange(len(at))
    return np.asarray(course[whole, each] * (1 - share) + course[whole + 1, each] * share)


def _last_of_fall(states: Floats, over: Mask, line: float) -> Mask:
    """Mark the last state but one above `line` of every fall, `(T, N)`: the last may show a part of what ended it."""
    falling = (states[..., UNSEEN] == 0) & (states[..., WORLD_DY] > _SLOWEST)
    falling &= states[..., WORLD_Y] <= line
    falling[1:] &= states[1:, :, WORLD_Y] > states[:-1, :, WORLD_Y]  # a steadied velocity outlives the fall by a step
    goes_on = np.zeros_like(falling)
    same_game = np.ones_like(falling[1:])
    for ahead in range(1, _BLINK + 2):
        same_game = same_game[: len(falling) - ahead] & ~over[ahead - 1 : -1]
        lower = states[ahead:, :, WORLD_Y] > states[:-ahead, :, WORLD_Y]
        goes_on[:-ahead] |= same_game & falling[ahead:] & lower
    last: Mask = falling & ~goes_on
    earlier = np.zeros_like(last)
    earlier[:-1] = last[1:] & falling[:-1] & ~over[:-1]
    last[1:] &= ~earlier[:-1]
    last |= earlier
    return last


def next_true(mask: Mask) -> Rows:
    """For each step of `(T, N)` the first step from there on where `mask` holds; 2 T where none is."""
    steps = np.where(mask, np.arange(len(mask))[:, None], 2 * len(mask))
    return np.minimum.accumulate(steps[::-1])[::-1]


@dataclass(frozen=True)
class Roles:
    """Which slot is what, and where the agent's line is."""

    self_slot: int
    world_slot: int
    line: float
    thresholds: Floats
    controllability: float
    information: float
    """Of the offset about coming back, nats times landings."""


def find_roles(experience: Experience) -> Roles:
    """Self is the slot that the actions explain best; world and line are those whose offset tells most about lives."""
    parting = thresholds(experience)
    explained = controllability(experience, parting)
    self_slot = int(explained.argmax())
    candidates = []
    for slot in range(len(parting)):
        if slot == self_slot:
            continue
        states = track_all(
            experience.readings, experience.taken, experience.over, (self_slot, slot), parting[[self_slot, slot]]
        )
        for line in np.arange(SIDE / 2, SIDE):
            information = find_landings(states, experience, line).information
            candidates.append((information, slot, float(line)))
    information, slot, line = max(candidates)
    return Roles(self_slot, slot, line, parting[[self_slot, slot]], float(explained[self_slot]), information)
