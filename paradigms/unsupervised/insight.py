"""What experience says in hindsight: who is who, where the agent's line is, what landed where, what came back.

None of it uses a label: only the keypoints, the agent's own actions, lives lost and points won.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from agents.tracker import CODES, SELF_X, UNSEEN, WORLD_DX, WORLD_DY, WORLD_X, WORLD_Y, Floats, track_all
from envs.breakout import SIDE, Mask
from paradigms.unsupervised.explore import Experience

APPROACH = 5.0  # pixels above a line from which a fall is drawn out to it
_SLOWEST = 0.5  # pixels a step: slower is no fall
_BIN, _BINS = 2.0, 31  # pixels; of the offsets whose information is measured


@dataclass(frozen=True)
class Landings:
    """Falls towards the agent's line, drawn out to where they would have crossed it.

    Attributes, `(E,)` each:
        step, game: when the fall reached the line's neighbourhood.
        x, wait: pixel, and steps from `step` until it is there.
        self_x: where the agent was then.
        returned: the next fall came before the next lost life.
        points: won until that next fall; 0 where a life was lost.
    """

    step: npt.NDArray[np.int64]
    game: npt.NDArray[np.int64]
    x: Floats
    wait: Floats
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
    """Find every fall towards height `line` in tracked states `(T, N, 10)` whose outcome is known."""
    height, speed = states[..., WORLD_Y], states[..., WORLD_DY]
    falling = (states[..., UNSEEN] == 0) & (speed > _SLOWEST)
    start = line - APPROACH
    fall = falling & (height < start) & (height + speed >= start)
    fall[1:] &= ~fall[:-1]
    step, game = np.nonzero(fall)
    wait = (line - height[fall]) / speed[fall]
    at = np.minimum(step + wait, next_true(experience.over)[fall])
    early = np.minimum(at.astype(int), len(states) - 2)
    share, self_x = at - early, states[..., SELF_X]
    after = next_true(np.concatenate([fall[1:], np.zeros_like(fall[:1])]))[fall] + 1  # the next fall
    lost, cut = next_true(experience.life_lost)[fall], next_true(experience.over)[fall]
    returned = (after <= lost) & (after <= cut)
    known = returned | (lost <= cut)
    total = np.cumsum(experience.points, axis=0)
    won = total[np.minimum(after, len(states) - 1), game] - total[step, game]
    landings = Landings(
        step,
        game,
        np.clip(states[..., WORLD_X][fall] + wait * states[..., WORLD_DX][fall], 0, SIDE - 1),
        wait,
        self_x[early, game] * (1 - share) + self_x[early + 1, game] * share,
        returned,
        np.where(returned, won, 0),
    )
    return Landings(*(getattr(landings, name)[known] for name in Landings.__dataclass_fields__))


def next_true(mask: Mask) -> npt.NDArray[np.int64]:
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
