"""Gathering labelled states, in a process of its own: while one core trains, another plays and labels.

DAgger (Ross et al. 2011): the learner drives most games, so that its own mistakes are among the states, and the
demonstrator labels them all. It drives a few games itself, with noise, to see what a weak learner never reaches.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
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
from agents.files import UserError
from agents.imitator import ImitatorHead
from agents.policy import State
from agents.rollout import play
from agents.run import STOPS
from envs.breakout import BOTH_WALLS, CLASSIC, LEARNT_ACTIONS, STACK, STICKY, Actions, Bytes, Game, Mask, game_seeds
from paradigms.supervised.config import Config
from paradigms.supervised.labelled import Labelled, reading_targets

Weights = dict[str, dict[str, npt.NDArray[np.generic]]]  # of "encoder" and "head"

DEMONSTRATED = 2  # games that the demonstrator drives once there is a learner
NOISE = (0.3, 0.02)  # probability of a random action in its games, from the first to the last


@dataclass(frozen=True)
class Order:
    """What to gather and whom to validate.

    Attributes:
        weights: the learner's; None before it has learnt anything.
        demonstrated: the demonstrator drives all games, and not the learner most of them.
        labels: how many states (0: none).
        seeds: of new games.
        validation_seeds: of the games that the learner plays for its place.
    """

    weights: Weights | None
    demonstrated: bool
    labels: int
    seeds: np.random.SeedSequence
    validation_seeds: list[int]


@dataclass(frozen=True)
class Harvest:
    """What came of an order: `steps` counts all that was played, `validation_steps` that in validation games."""

    states: Labelled | None
    steps: int
    validation_steps: int
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
        count: games side by side. Every fourth plays `classic`, the others `sticky`, for variety.
        share: of the states played that are labelled.
    """

    def __init__(self, count: int, seeds: np.random.SeedSequence, share: float = 1.0) -> None:
        self._count, self._share = count, share
        self._protocols = [CLASSIC if place % 4 == 3 else STICKY for place in range(count)]
        self.seeds = seeds
        self._games = [self._new(place) for place in range(count)]
        self._demonstrator = Demonstrator(self._games)
        self._state: State = None  # the learner's, of each
        self._fresh = np.ones(count, np.bool_)  # nothing was chosen in it yet
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
        gathered, trained, steps, scores = 0, 0, 0, list[int]()
        while gathered < labels or not trained:  # the first game's are held out
            said = self._demonstrator.labels()
            known = np.flatnonzero(said.known & (self._generator.random(self._count) < self._share))
            rows = album.window, said.costs, reading_targets(said), said.frames
            parts.append((*(row[known] for row in rows), known == 0))
            album.keep(known)
            gathered, trained = gathered + len(known), trained + int(np.count_nonzero(known))
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
                self._fresh[place] = True
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
        observations = np.stack([game.observation for game in self._games])
        if self._state is not None:
            dry, *others = self._state
            self._state = np.zeros_like(dry), *others  # as if points were just won: it drives by its central aim
        chosen, self._state = agent.predict(observations, self._state, self._fresh)
        self._fresh = np.zeros_like(self._fresh)
        return np.where(taught, actions, chosen)


class _Album:
    """Pictures of several games, each once, and which of them make each game's observation now.

    What has left the window goes, unless an observation is kept.
    """

    def __init__(self, observations: list[Bytes]) -> None:
        self.pictures = dict(enumerate(picture for observation in observations for picture in observation))
        self._kept, self._next = set[int](), len(self.pictures)
        self._window = np.arange(len(self.pictures), dtype=np.int32).reshape(-1, STACK)

    @property
    def window(self) -> npt.NDArray[np.int32]:
        """`(games, 4)`, a copy."""
        return self._window.copy()

    def turn(self, place: int, new: Bytes) -> None:
        """Put a game's new pictures `(1 to 4, 84, 84)` in."""
        numbers = np.append(self._window[place], np.arange(self._next, self._next + len(new)))
        self._window[place] = numbers[-STACK:]
        self.pictures |= zip(range(self._next, self._next + len(new)), new, strict=True)
        self._next += len(new)
        for gone in numbers[:-STACK].tolist():
            if gone not in self._kept:
                del self.pictures[gone]

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        """Keep what these games' observations show."""
        self._kept.update(self._window[places].ravel().tolist())


def carry_out(order: Order, field: Field | None, config: Config) -> Harvest:
    """Gather (if there is a field) and validate as ordered."""
    agent = make_agent(config, order.weights) if order.weights else None
    states, steps, scores = None, 0, list[int]()
    if field is not None and order.labels:
        field.seeds = order.seeds  # new games are this round's, whether the field is new or not
        states, steps, scores = field.gather(None if order.demonstrated else agent, order.labels)
    validation = []
    if agent is not None and order.validation_seeds:
        validation = play(lambda games: agent, order.validation_seeds, STICKY, max_steps=config.validation_steps)
    validation_steps = sum(game.steps for game in validation)
    return Harvest(states, steps + validation_steps, validation_steps, [game.score for game in validation], scores)


def _serve(pipe: Connection, config: Config) -> None:
    """The other process: carry out orders until the pipe closes, as it does when the trainer ends or is killed."""
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
        before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}  # inherited: for the trainer alone
        self._process.start()
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()

    def __enter__(self) -> Gatherer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def send(self, order: Order) -> None:
        """Start on an order."""
        with suppress(BrokenPipeError, ConnectionResetError):  # it died: `receive` says so
            self._pipe.send(order)

    def ready(self, seconds: float) -> bool:
        """Wait so long for the harvest; tell whether it is there."""
        return self._pipe.poll(seconds)

    def receive(self) -> Harvest:
        """Take the harvest.

        Raises:
            UserError: the other process died.
        """
        try:
            harvest: Harvest = self._pipe.recv()
        except (EOFError, OSError) as error:  # OSError: in the middle of a harvest
            raise UserError(
                "the process that gathers labels died (its error, if it left one, stands above; a full memory leaves "
                "none); run the same command again to go on"
            ) from error
        return harvest
