"""Gathering labelled states, in a process of its own: while one core trains, another plays and labels.

DAgger (Ross et al. 2011): the learner drives most games, so that its own mistakes are among the states, and the
demonstrator labels them all. It drives a few games itself, with noise, to see what a weak learner never reaches.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agents.agent import Agent
from agents.demonstrator import Demonstrator
from agents.encoder import Encoder
from agents.imitator import ImitatorHead
from agents.rollout import play
from envs.breakout import BOTH_WALLS, CLASSIC, LEARNT_ACTIONS, STACK, STICKY, Actions, Bytes, Game, Mask, game_seeds
from paradigms.supervised.config import Config
from paradigms.supervised.labelled import Labelled, reading_targets

Weights = dict[str, dict[str, npt.NDArray[np.generic]]]  # of "encoder" and "head"

DEMONSTRATED = 2  # games that the demonstrator drives once there is a learner
NOISE = (0.3, 0.02)  # probability of a random action in its games, from the first to the last
LONGEST_VALIDATION = 2_500  # agent steps: a game that is still going is good enough to compare


@dataclass(frozen=True)
class Order:
    """What to gather: `labels` states (0: none), driven by `weights` (None: by the demonstrator alone), and how many
    validation games to play with those weights."""

    weights: Weights | None
    labels: int
    seeds: np.random.SeedSequence
    validation_seeds: list[int]


@dataclass(frozen=True)
class Harvest:
    """What came of an order: `steps` and `frames` count everything that was played."""

    states: Labelled | None
    steps: int
    validation_scores: list[int]
    scores: list[int]
    """Of the learner's own games that ended meanwhile."""


def make_agent(config: Config, weights: Weights) -> Agent:
    """The learner as it plays, with weights as given."""
    encoder = Encoder(config.encoder)
    head = ImitatorHead(encoder.features_dim, config.plays)
    for module, name in ((encoder, "encoder"), (head, "head")):
        module.load_state_dict({key: torch.from_numpy(value) for key, value in weights[name].items()})
    return Agent(encoder, head, "supervised")


class Field:
    """The games in which states are gathered. They go on from one round to the next.

    Args:
        count: games side by side. A quarter of them plays `classic`, the others `sticky`, for variety.
        share: of the states played that are labelled.
    """

    def __init__(self, count: int, seeds: np.random.SeedSequence, share: float = 1.0) -> None:
        self._count, self._share = count, share
        self._protocols = [CLASSIC if place % 4 == 3 else STICKY for place in range(count)]
        self.seeds = seeds
        self._games = [self._new(place) for place in range(count)]
        self._demonstrator = Demonstrator(self._games)
        self._generator = np.random.default_rng(seeds.spawn(1)[0])

    def _new(self, place: int) -> Game:
        return Game(game_seeds(self.seeds, 1)[0], self._protocols[place])

    def gather(self, agent: Agent | None, labels: int) -> tuple[Labelled, int, list[int]]:
        """Play until there are `labels` states. Returns them, the steps taken, and the scores of the learner's games.

        Args:
            agent: the learner; None leaves all games to the demonstrator.
        """
        album = _Album([game.observation for game in self._games])
        taught = np.arange(self._count) >= (self._count - DEMONSTRATED if agent else 0)  # driven by the demonstrator
        parts: list[tuple[npt.NDArray[np.generic], ...]] = []
        gathered, steps, scores = 0, 0, list[int]()
        while gathered < labels:
            said = self._demonstrator.labels()
            known = np.flatnonzero(said.known & (self._generator.random(self._count) < self._share))
            rows = album.window, said.costs, reading_targets(said), said.frames
            parts.append((*(row[known] for row in rows), known == 0))
            gathered += len(known)
            for place, action in enumerate(self._actions(agent, taught)):
                game = self._games[place]
                game.step(int(action))
                steps += 1
                if not game.over and game.score < BOTH_WALLS:  # an empty board teaches nothing
                    album.turn(place, game.observation[-1:])
                    continue
                if not taught[place]:
                    scores.append(game.score)
                self._games[place] = self._new(place)
                self._demonstrator.replace(place, self._games[place])
                album.turn(place, self._games[place].observation)
        stack, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        used, stack = np.unique(stack, return_inverse=True)  # not what only unlabelled states showed
        pictures = np.stack([album.pictures[number] for number in used])
        return Labelled(pictures, stack.reshape(-1, STACK).astype(np.int32), *columns), steps, scores

    def _actions(self, agent: Agent | None, taught: Mask) -> Actions:
        actions = self._demonstrator.actions(taught)
        random = self._generator.random(self._count) < np.linspace(*NOISE, self._count)
        actions = np.where(random, self._generator.choice(LEARNT_ACTIONS, self._count), actions)
        if agent is None:
            return actions
        return np.where(taught, actions, agent.predict(np.stack([game.observation for game in self._games]))[0])


class _Album:
    """Pictures of several games, each kept once, and which of them make each game's observation now."""

    def __init__(self, observations: list[Bytes]) -> None:
        self.pictures = [picture for observation in observations for picture in observation]
        self._window = np.arange(len(self.pictures), dtype=np.int32).reshape(-1, STACK)

    @property
    def window(self) -> npt.NDArray[np.int32]:
        """`(games, 4)`, a copy."""
        return self._window.copy()

    def turn(self, place: int, new: Bytes) -> None:
        """Put a game's new pictures `(1 to 4, 84, 84)` in."""
        numbers = np.arange(len(self.pictures), len(self.pictures) + len(new))
        self._window[place] = np.append(self._window[place], numbers)[-STACK:]
        self.pictures.extend(new)


def carry_out(order: Order, field: Field | None, config: Config) -> Harvest:
    """Gather (if there is a field) and validate as ordered."""
    agent = make_agent(config, order.weights) if order.weights else None
    states, steps, scores = None, 0, list[int]()
    if field is not None and order.labels:
        field.seeds = order.seeds  # new games are this round's, whether the field is new or not
        states, steps, scores = field.gather(agent, order.labels)
    validation = []
    if agent is not None and order.validation_seeds:
        validation = play(lambda games: agent, order.validation_seeds, STICKY, max_steps=LONGEST_VALIDATION)
    return Harvest(states, steps + sum(g.steps for g in validation), [g.score for g in validation], scores)


def _serve(pipe: Connection, config: Config) -> None:
    """The other process: carry out orders until the pipe closes, as it does when the trainer ends or is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(1)
    field: Field | None = None
    try:
        while True:
            order: Order = pipe.recv()
            if field is None and order.labels:
                field = Field(config.games, order.seeds, config.label_share)
            pipe.send(carry_out(order, field, config))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with(parent: Any) -> None:
    """Leave nobody behind who plays on for a trainer that was killed."""
    parent.join()
    os._exit(1)


class Gatherer:
    """The gathering process, as the trainer holds it. Use it as a context."""

    def __init__(self, config: Config) -> None:
        context = multiprocessing.get_context("spawn")  # a forked torch can hang
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, config), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Gatherer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def send(self, order: Order) -> None:
        """Start on an order."""
        self._pipe.send(order)

    def ready(self, seconds: float) -> bool:
        """Wait so long for the harvest; tell whether it is there."""
        return self._pipe.poll(seconds)

    def receive(self) -> Harvest:
        """Take the harvest.

        Raises:
            RuntimeError: the other process died.
        """
        try:
            harvest: Harvest = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise RuntimeError("the process that gathers labels died; run the same command again to resume") from error
        return harvest
