"""An atlas of the states that a planner meets: its cells, what they are worth, and where they lead.

The agent plays games that nobody judges. Every few steps its own view is kept: where its two keypoints are, how the
world's thing moves, what its three actions are worth to it. k-means makes cells of those views; each is shown by its
medoid, the state nearest to its middle. A film's moments are then looked up: their cell, and the five states most
alike. Nothing here reads RAM.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.decomposition import PCA

from agents import tracker
from agents.agent import Agent, load_agent
from agents.files import UserError, filled, read_json, write_json
from agents.planner import PlannerHead
from agents.policy import State
from agents.rollout import GameRecord, play
from agents.tracker import Floats
from envs.breakout import ACTION_NAMES, CLASSIC, STICKY, Actions, Bytes, Game, Mask, game_seeds
from evaluation.clusters import assign, choose, measure

GAMES, LONGEST, EVERY = 5, 500, 2  # games of the atlas; agent steps of one at most; steps between two kept views
CELLS = (16, 24, 32, 48)  # numbers of cells to choose among
COLUMNS = [tracker.SELF_X, tracker.WORLD_X, tracker.WORLD_Y, tracker.WORLD_DX, tracker.WORLD_DY]
SCALE = np.array([1, 1, 1, 2, 2], np.float32)  # of a view's columns, pixels and pixels a step
FILMED, MOMENTS, ALIKE = 1_000, 6, 5  # steps of the film; its moments; states most like each


@dataclass(frozen=True)
class Views:
    """B kept views, in the order of each game's play.

    Attributes:
        pictures: `(B, 84, 84)` uint8; states: `(B, 10)` as the tracker has them; values: `(B, 3)`.
        actions: `(B,)` in ALE's order; game: `(B,)`.
    """

    pictures: Bytes
    states: Floats
    values: Floats
    actions: Actions
    game: Actions

    @property
    def features(self) -> Floats:
        """What is clustered: `(B, 5)`."""
        return np.asarray(self.states[:, COLUMNS] * SCALE)


@dataclass(frozen=True)
class Cell:
    """One cell. `picture`: PNG as base64; `value`: mean of the best action's; `leads_to`: the next cell, or -1."""

    picture: str
    members: int
    visits: int
    value: float
    action: str
    action_share: float
    leads_to: int
    leads_share: float


@dataclass(frozen=True)
class Moment:
    """One moment of the film: its picture, its cell, and the pictures of the states most alike with their values."""

    picture: str
    step: int
    cell: int
    alike: tuple[str, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.alike):
            raise ValueError("a moment needs as many values as states that are alike")


@dataclass(frozen=True)
class Atlas:
    """What `atlas.json` holds. `points`: x, y on the map, value, height of the ball in pixels, cell; one a state."""

    agent: str
    points: tuple[tuple[float, float, float, float, int], ...]
    cells: tuple[Cell, ...]
    moments: tuple[Moment, ...]
    why: str

    def __post_init__(self) -> None:
        named = [point[4] for point in self.points] + [moment.cell for moment in self.moments]
        if not named or not all(0 <= cell < len(self.cells) for cell in named):
            raise ValueError("an atlas needs states, each in one of its cells")
        if not all(-1 <= cell.leads_to < len(self.cells) for cell in self.cells):
            raise ValueError("a cell leads to one that is not there")

    @property
    def by_visits(self) -> list[int]:
        """Numbers of the cells, the most visited first."""
        return sorted(range(len(self.cells)), key=lambda number: -self.cells[number].visits)


class _Watched:
    """A planner at play whose views are kept."""

    def __init__(self, agent: Agent, head: PlannerHead, script: bytes | None = None) -> None:
        self.agent, self.head, self.script = agent, head, script
        self.kept: list[tuple[Bytes, Floats, Floats, Actions]] = []
        self.step = 0

    def predict(
        self, observation: Bytes, state: State = None, episode_start: Mask | None = None, deterministic: bool = True
    ) -> tuple[Actions, State]:
        actions, state = self.agent.predict(observation, state, episode_start, deterministic)
        assert state is not None
        if self.script is not None:  # a game that was played before is watched again
            actions = np.full(len(actions), self.script[min(self.step, len(self.script) - 1)], np.int64)
        self.kept.append((observation[:, -1], state[0].copy(), self.head.last_values, actions))
        self.step += 1
        return actions, state


def watch(agent: Agent, record: GameRecord | None = None) -> Views:
    """Let a planner play the atlas's games, or look on at a classic game that was judged, and keep its views.

    Raises:
        UserError: the agent does not plan.
    """
    head = agent.head
    if not isinstance(head, PlannerHead):
        raise UserError(f"an atlas shows a planner's states, and this agent's head is {head.kind!r}; give an agent of "
                        "the unsupervised arm")  # fmt: skip
    watched = _Watched(agent, head, None if record is None else record.actions)
    over: list[Mask] = []

    def on_step(games: list[Game], _: Actions) -> None:
        over.append(np.array([game.over for game in games]))

    seeds = game_seeds(np.random.SeedSequence(91), GAMES) if record is None else [record.seed]
    steps = LONGEST if record is None else min(len(record.actions), FILMED)
    protocol = STICKY if record is None else CLASSIC
    play(lambda games: watched, seeds, protocol, on_step=on_step, max_steps=steps)
    every = EVERY if record is None else 1
    t, game = np.nonzero(~np.stack(over)[::every].T)[::-1]  # one game after the other
    pictures, states, values, actions = (
        np.stack(column)[::every][t, game] for column in zip(*watched.kept, strict=True)
    )
    return Views(pictures, states, values, actions, game)


def draw(agent: Agent, name: str, record: GameRecord | None) -> Atlas:
    """Make the atlas of a planner, with the moments of a judged game if there is one.

    Raises:
        UserError: the agent does not plan, or met too few states.
    """
    views = watch(agent)
    features, least = views.features, CELLS[-1] * 2
    if len(features) < least:
        raise UserError(f"{name}: its games hold {len(features)} states and an atlas needs {least}; train it longer")
    truth = views.states[:, [tracker.WORLD_X, tracker.WORLD_Y, tracker.SELF_X, tracker.UNSEEN]]
    tried = [measure(features, truth, cells, seed=0)[0] for cells in CELLS]
    best = choose(tried)
    _, cell = np.unique(assign(features, best.cells, seed=0), return_inverse=True)  # empty cells are left out
    middles = np.stack([features[cell == c].mean(axis=0) for c in range(cell.max() + 1)])
    flat = PCA(2).fit_transform(features / features.std(axis=0).clip(1e-6))
    worth = views.values.max(axis=1)
    points = tuple(
        (round(float(x), 2), round(float(y), 2), round(float(v), 3), round(float(h), 1), int(c))
        for (x, y), v, h, c in zip(flat, worth, views.states[:, tracker.WORLD_Y], cell, strict=True)
    )
    why = f"silhouette {best.silhouette:.2f}, stability {best.stability:.2f}; tried: {', '.join(map(str, CELLS))}"
    cells = tuple(_cell(views, features, cell, c, middles[c], worth) for c in range(cell.max() + 1))
    moments = () if record is None else _moments(watch(agent, record), views, middles, worth)
    return Atlas(name, points, cells, moments, why)


def _cell(views: Views, features: Floats, cell: Any, number: int, middle: Floats, worth: Floats) -> Cell:
    members = np.flatnonzero(cell == number)
    medoid = members[np.square(features[members] - middle).sum(axis=1).argmin()]
    follows = members[members + 1 < len(cell)] + 1
    follows = follows[(views.game[follows] == views.game[follows - 1]) & (cell[follows] != number)]
    arrives = members[(members == 0) | (cell[members - 1] != number)]
    to = np.bincount(cell[follows], minlength=1) if len(follows) else np.zeros(1, int)
    taken = np.bincount(views.actions[members], minlength=len(ACTION_NAMES))
    return Cell(
        _png(views.pictures[medoid]), len(members), len(arrives), float(worth[members].mean()),
        ACTION_NAMES[int(taken.argmax())], float(taken.max() / len(members)),
        int(to.argmax()) if len(follows) else -1, float(to.max() / max(1, len(follows))),
    )  # fmt: skip


def _moments(film: Views, views: Views, middles: Floats, worth: Floats) -> tuple[Moment, ...]:
    found = []
    for step in np.linspace(0, len(film.states) - 1, MOMENTS + 2).astype(int)[1:-1]:
        here = film.features[step]
        near = np.square(views.features - here).sum(axis=1).argsort()[:ALIKE]
        found.append(Moment(
            _png(film.pictures[step]), int(step), int(np.square(middles - here).sum(axis=1).argmin()),
            tuple(_png(views.pictures[i]) for i in near), tuple(round(float(worth[i]), 2) for i in near),
        ))  # fmt: skip
    return tuple(found)


def _png(picture: Bytes) -> str:
    _, encoded = cv2.imencode(".png", picture)
    return base64.b64encode(encoded.tobytes()).decode()


def write_atlas(agent: Path, record: GameRecord | None) -> Path:
    """Write `atlas.json` beside an agent file; returns its path."""
    path = agent.with_name("atlas.json")
    write_json(path, asdict(draw(load_agent(agent), str(agent), record)))
    return path


def read_atlas(path: Path) -> Atlas:
    """Read `atlas.json`.

    Raises:
        UserError: the file is not what `write_atlas` writes.
    """
    try:
        return filled(Atlas, read_json(path))
    except ValueError as error:
        raise UserError(f"{path}: not an atlas ({error}); delete it and run `breakout atlas` again") from error
