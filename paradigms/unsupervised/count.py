"""From experience to the planner's tables: landings remembered, cells of self counted, returns by offset."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans, MiniBatchKMeans

from agents.files import UserError
from agents.planner import Eyes, PlannerHead
from agents.plans import AIMS, CELL_SCALE, KINDS, OFFSETS, memory_features, nearest_cells
from agents.tracker import CODES, LAST, SELF_DX, SELF_X, Floats, track_all
from paradigms.unsupervised.explore import Experience
from paradigms.unsupervised.insight import Landings, Roles, Rows, find_landings, next_true

MOST = 150_000  # memories kept, the newest: the agent file stays below 8 MB
LONGEST = 40.0  # steps: landings further ahead are not remembered
KERNEL = 0.7  # pixels: how alike two offsets must be to share their fate
_PRIOR = 2.0  # landings: what all kinds of falls together say weighs as much as so many of one kind
_JUMP = 20.0  # pixels: self cannot move so far in a step; a false reading
_SPREAD = 8  # cells at which a transition votes
_RARE = 0.002  # probability: followers rarer than that are left out
_DOUBT = 0.001  # transitions: added to each cell's count, so that what was never tried promises nothing


def remember(states: Floats, experience: Experience, landings: Landings) -> tuple[Floats, Floats, Rows]:
    """Label every tracked state in hindsight.

    Returns alike-features `(M, 5)`, x and steps of the landing `(M, 2)`, and which landing that is `(M,)`.
    """
    steps, games = experience.taken.shape
    number = np.full((steps + 1, games), -1)
    number[np.floor(landings.time).astype(int), landings.game] = np.arange(len(landings.x))  # at its last state
    at = next_true(number >= 0)[:-1]
    number, column = number[np.minimum(at, steps), np.arange(games)], np.arange(steps)[:, None]
    known = (at <= next_true(experience.over)) & (number >= 0)
    wait = landings.time[number] - column if len(landings.x) else np.zeros(known.shape)
    known &= wait <= LONGEST
    label = np.stack([landings.x[number[known]], wait[known]], axis=1)
    return memory_features(states[known])[-MOST:], label[-MOST:], number[known][-MOST:]


def count_cells(states: Floats, experience: Experience, cells: int, seed: int) -> tuple[Floats, Any, Any]:
    """Cluster self's states by k-means, and count which cell followed which under which action.

    A transition votes at its nearest cells, each with its own displacement: "from about here, this action moved
    me so far". Returns centres `(3, cells, 2)`, transitions `(E, 3)` (action, cell, next cell), probabilities `(E,)`.
    """
    same_game = ~experience.over[:-1]
    now, after = states[:-1][same_game], states[1:][same_game]
    here, there = now[:, [SELF_X, SELF_DX]] * CELL_SCALE, after[:, [SELF_X, SELF_DX]] * CELL_SCALE
    action, last = CODES[experience.taken[:-1][same_game]], now[:, LAST].astype(int)
    sane = np.abs(there - here)[:, 0] < _JUMP
    here, there, action, last = here[sane], there[sane], action[sane], last[sane]
    centres = []
    for context in range(3):
        points = here[last == context]
        if len(points) < cells:
            raise UserError(
                f"--self-cells {cells}: only {len(points)} states followed one of the actions; "
                f"explore longer (--round-steps) or give at most {len(points)}"
            )
        means = MiniBatchKMeans(cells, init="random", n_init=1, batch_size=4096, max_iter=20, random_state=seed)
        centres.append(means.fit(points).cluster_centers_)
    trees = [cKDTree(centre) for centre in centres]
    keys, votes = [], []
    for context in range(3):
        for chosen in range(3):
            rows = (last == context) & (action == chosen)
            distance, near = trees[context].query(here[rows], min(_SPREAD, cells))
            weight = np.exp(-(distance**2) / 2) + 1e-9
            weight /= weight.sum(axis=1, keepdims=True)
            for j in range(near.shape[1]):
                target = centres[context][near[:, j]] + there[rows] - here[rows]
                landed, share = nearest_cells(trees[chosen], target)
                cell = near[:, j, None] + context * cells
                keys.append(((chosen * 3 * cells + cell) * 3 * cells + landed + chosen * cells).ravel())
                votes.append((weight[:, j, None] * share).ravel())
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    count = np.bincount(place, np.concatenate(votes))
    start = key // (3 * cells)  # action and cell together
    total = np.bincount(start, count, minlength=9 * cells)
    transitions = np.stack([start // (3 * cells), start % (3 * cells), key % (3 * cells)], axis=1)
    often = count > _RARE * total[start]
    start, count = start[often], count[often]
    kept = np.bincount(start, count, minlength=9 * cells)
    tried = total / (total + _DOUBT)  # the rare followers' share goes to the others: else waiting would cost something
    return np.stack(centres), transitions[often], count * tried[start] / kept[start]


def kinds_of_fall(landings: Landings, seed: int) -> Rows:
    """Cluster the falls by their velocity, `(E,)`: slow or fast, from the left or from the right."""
    if len(np.unique(landings.velocity, axis=0)) < KINDS:
        return np.zeros(len(landings.x), np.int64)
    means = KMeans(KINDS, n_init=4, random_state=seed).fit(landings.velocity)
    kinds: Rows = means.labels_.astype(np.int64)
    return kinds


def count_returns(landings: Landings, kinds: Rows) -> tuple[Floats, Floats, Floats]:
    """For each kind of fall, chance of coming back and points that followed at each of `OFFSETS`, `(KINDS, 337)` each.

    Also returns offsets to aim at, `(AIMS,)`.
    """
    alike = np.exp(-np.square(OFFSETS[:, None] - landings.offset) / (2 * KERNEL**2))  # (337, E)
    support = alike.sum(axis=1)
    chance = alike @ landings.returned / (support + 1)  # one virtual miss
    points = alike @ landings.points / (support + 1)
    safe = OFFSETS[(chance > 0.95 * chance.max()) & (support > 1)] if len(landings.x) else OFFSETS[:1]
    safe = safe if len(safe) else OFFSETS[[int(chance.argmax())]]
    of_kind = np.arange(KINDS)[:, None] == kinds  # (KINDS, E)
    supports = of_kind @ alike.T + _PRIOR  # (KINDS, 337)
    chances = ((of_kind * landings.returned) @ alike.T + _PRIOR * chance) / supports
    won = ((of_kind * landings.points) @ alike.T + _PRIOR * points) / supports
    return chances, won, np.quantile(safe, np.linspace(0, 1, AIMS))


def build(
    experience: Experience, roles: Roles, eyes: Eyes, cells: int, seed: int
) -> tuple[PlannerHead, dict[str, float]]:
    """Put everything counted into a head that plays; returns it with figures for the log."""
    pair = (roles.self_slot, roles.world_slot)
    states = track_all(experience.readings, experience.taken, experience.over, pair, roles.thresholds)
    landings = find_landings(states, experience, roles.line)
    memories, labels, which = remember(states, experience, landings)
    kinds = kinds_of_fall(landings, seed)
    centres, transitions, probabilities = count_cells(states, experience, cells, seed)
    chance, points, aims = count_returns(landings, kinds)
    head = PlannerHead(eyes.width, eyes.slots, len(memories), cells, len(transitions), eyes.kind)
    head.eyes.load_state_dict(eyes.state_dict())
    contents = {
        "roles": pair, "thresholds": roles.thresholds, "memories": memories, "landings": labels, "kinds": kinds[which],
        "cells": centres, "transitions": transitions, "probabilities": probabilities,
        "returns": chance, "points": points, "aims": aims,
    }  # fmt: skip
    for name, content in contents.items():
        buffer = head.get_buffer(name)
        buffer.copy_(torch.as_tensor(np.asarray(content), dtype=buffer.dtype))
    figures = {
        "landings": float(len(landings.x)),
        "landings_returned": float(landings.returned.mean()) if len(landings.x) else 0.0,
        "memories": float(len(memories)),
        "transitions": float(len(transitions)),
        "best_chance_of_return": float(chance.max()),
    }
    return head, figures
