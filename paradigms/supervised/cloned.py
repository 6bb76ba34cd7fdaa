"""Cloning recorded play: the action that somebody pressed, learnt as it is (Bain and Sammut 1995; Pomerleau 1989).

No demonstrator stands by: all there is are the labels of a data set, on the states that their maker came through.

1. *Shift*: the lag between picture and key is measured and taken out of the labels (`agents.lag`).
2. *Fit*: the encoder and an action head learn the labels by cross-entropy; every second batch is seen in a mirror,
   with RIGHT and LEFT exchanged. Every fifth game is held out; where games are too few or too unlike in length for
   that, the last fifth of each.
3. *Choose*: as where a demonstrator labels, the moving averages of the weights after the last few rounds play
   validation games, and the one that played best is the agent.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.agent import Agent
from agents.demonstrations import Demonstrations, Episode, read_demonstrations
from agents.encoder import Encoder, mirror
from agents.files import Tree, UserError, read_object
from agents.heads import MIRRORED_ORDER, ActionHead
from agents.lag import Lag, measure_lag, shifted
from agents.rollout import play
from agents.run import Run
from envs.breakout import FRAME_SKIP, LEARNT_ACTIONS, SIDE, STACK, STICKY, Actions, game_seeds
from paradigms.supervised.averaged import AveragedLearner
from paradigms.supervised.config import Config

HELD_OUT_SHARE = 5  # of so many steps or games one is held out
LEAST_OUT, MOST_OUT = 0.1, 0.4  # of all labels, where whole games are
HELD_OUT_SAMPLE = 2_048  # states that the held-out figures are taken on
TICK = 25  # gradient steps between two looks at the clock

Indices = npt.NDArray[np.int64]


class Lessons:
    """A data set's labelled states after the shift, each picture once.

    Args:
        episodes: of the data set.
        lag: that is taken out of the labels (steps at full speed).

    Attributes:
        trained, held_out: which states to learn from and which never.
    """

    def __init__(self, episodes: Sequence[Episode], lag: int, device: torch.device) -> None:
        self._device = device
        self._pictures = torch.from_numpy(np.concatenate([episode.pictures for episode in episodes])).flatten(1)
        place, first, labels, held = 0, list[Indices](), list[Actions](), list[npt.NDArray[np.bool_]]()
        labelled = [shifted(episode, lag) for episode in episodes]
        counts = [len(steps) for steps, _ in labelled]
        whole_games = LEAST_OUT * sum(counts) <= sum(counts[1::HELD_OUT_SHARE]) <= MOST_OUT * sum(counts)
        for number, (episode, (steps, actions)) in enumerate(zip(episodes, labelled, strict=True)):
            first.append(steps + place)
            labels.append(actions)
            if whole_games:
                held.append(np.full(len(steps), number % HELD_OUT_SHARE == 1))
            else:
                held.append(steps >= len(episode.actions) * (HELD_OUT_SHARE - 1) // HELD_OUT_SHARE)
            place += len(episode.pictures)
        self._first = np.concatenate(first)  # of the four pictures that make each observation
        self._labels = torch.from_numpy(np.searchsorted(np.sort(LEARNT_ACTIONS), np.concatenate(labels)))
        self.trained, self.held_out = (np.flatnonzero(np.concatenate(held) == out) for out in (False, True))

    def __len__(self) -> int:
        return len(self._first)

    def take(self, which: Indices) -> tuple[Tensor, Tensor]:
        """Return the observations `(B, 4, 84, 84)` uint8 and labels `(B,)`, places in `LEARNT_ACTIONS`."""
        stack = torch.from_numpy(self._first[which][:, None] + np.arange(STACK))
        pictures = torch.index_select(self._pictures, 0, stack.flatten()).view(-1, STACK, SIDE, SIDE)
        return pictures.to(self._device), self._labels[torch.from_numpy(which)].to(self._device)

    def usual_share(self) -> float:
        """Accuracy of whoever always says the action that is most frequent in training, on held-out states."""
        usual = self._labels[self.trained].bincount(minlength=len(LEARNT_ACTIONS)).argmax()
        return float((self._labels[self.held_out] == usual).float().mean())


class Cloner(AveragedLearner):
    """Learns actions as they were pressed."""

    def make_head(self, encoder: Encoder, config: Config) -> ActionHead:
        return ActionHead(encoder.features_dim, mirrored=True)

    def logits(self, modules: nn.ModuleDict, observation: Tensor) -> Tensor:
        """`(B, 4, 84, 84)` uint8 -> `(B, 3)`."""
        logits: Tensor = modules["head"](self.features(modules, observation))
        return logits

    def step(self, observation: Tensor, labels: Tensor) -> float:
        """Take one gradient step and follow it with the average."""
        if self.steps % 2:  # in a mirror RIGHT is LEFT
            observation, labels = mirror(observation), torch.tensor(MIRRORED_ORDER, device=self.device)[labels]
        loss = functional.cross_entropy(self.logits(self.modules, observation), labels)
        self.descend(loss)
        return float(loss.detach())

    @torch.no_grad()
    def figures(self, lessons: Lessons) -> dict[str, float]:
        """Loss and accuracy of the averaged weights on held-out states, and accuracy on those trained on."""
        found: dict[str, float] = {}
        for name, which in (("heldout", lessons.held_out), ("training", lessons.trained)):
            observation, labels = lessons.take(which[np.linspace(0, len(which) - 1, HELD_OUT_SAMPLE).astype(int)])
            logits = self.logits(self.averaged, observation)
            found[f"{name}_loss"] = float(functional.cross_entropy(logits, labels))
            found[f"{name}_accuracy"] = float((logits.argmax(1) == labels).float().mean())
        return found

    def agent(self) -> Agent:
        """The averaged weights, as they play."""
        modules = copy.deepcopy(self.averaged).cpu()
        encoder, head = modules["encoder"], modules["head"]
        assert isinstance(encoder, Encoder) and isinstance(head, ActionHead)
        return Agent(encoder, head, "supervised")


def train_on(config: Config, run: Run) -> Agent:
    """Clone the play of the data set in the folder `config.labels`; see the module's text.

    Raises:
        UserError: the data set cannot be used, or is not the one that this run began with.
    """
    data = read_demonstrations(Path(config.labels))
    lag = _measured_once(data, run)
    run.progress.say(f"{data.folder}: {len(data.episodes)} games of {data.facts.name}; lag of the labels: {lag}")
    lessons = Lessons(data.episodes, lag.steps, run.device)
    if not len(lessons.trained) or not len(lessons.held_out):
        raise UserError(f"{data.folder}: {len(lessons)} labelled states are too few to learn from; record more games")
    cloning = _Cloning(config, run, lessons)
    while cloning.round < config.rounds:
        cloning.fit_round()
    cloning.cloner.averaged.load_state_dict(cloning.best)
    return cloning.cloner.agent()


def _measured_once(data: Demonstrations, run: Run) -> Lag:
    """Measure the lag when the run begins, and see to it that a resumed run has the same data set."""
    measured: list[Lag] = []

    def describe() -> dict[str, object]:
        measured.append(measure_lag(data.episodes))
        return {"name": data.facts.name, "sha256": data.fingerprint, "lag": vars(measured[0])}

    run.note("demonstrations", describe)
    lag = require_same(data, run.folder)["lag"]
    return Lag(lag["steps"], lag["measured"], tuple(lag["accuracy"]))


def require_same(data: Demonstrations, run_folder: Path) -> dict[str, Any]:
    """Return what the run in `run_folder` noted of its data set, unless `data` is another, or no longer the same.

    Raises:
        UserError: it has changed.
    """
    noted: dict[str, Any] = read_object(run_folder / "provenance.json").get("demonstrations", {})
    if noted.get("sha256") != data.fingerprint:
        raise UserError(
            f"{data.folder}: has changed since the run in {run_folder} began, or is another data set than that run's; "
            "move that folder away, or choose another --runs folder"
        )
    return noted


class _Cloning:
    """Where the training stands, and what one round does to it."""

    def __init__(self, config: Config, run: Run, lessons: Lessons) -> None:
        self.config, self.run, self.lessons, self.cloner = config, run, lessons, Cloner(config, run)
        self.round = self.fitted = 0  # rounds done, samples fitted in this one
        self.best: Tree = None  # weights
        self.best_score, self.score = -1.0, 0.0
        run.ledger.labels = len(lessons)
        if (state := run.restore()) is not None:
            with run.resuming():
                self.cloner.load(state.pop("cloner"))
                vars(self).update(state)

    def _state(self) -> Tree:
        kept = {name: getattr(self, name) for name in ("round", "fitted", "best", "best_score", "score")}
        return kept | {"cloner": self.cloner.state()}

    def fit_round(self) -> None:
        """Fit a round's samples, and let the last rounds' agents play for their place."""
        losses = []
        while self.fitted < self.config.samples:
            for _ in range(TICK):
                which = self.cloner.generator.choice(self.lessons.trained, self.config.batch)
                losses.append(self.cloner.step(*self.lessons.take(which)))
                self.run.ledger.gradient_steps += 1
                self.run.ledger.samples += self.config.batch
                self.fitted += self.config.batch
            self.cloner.require_finite()
            done = self.round * self.config.samples + self.fitted
            self.run.tick(done, self.config.rounds * self.config.samples, f"score {self.score:.0f}", self._state)
        figures = self.cloner.figures(self.lessons) | {"usual_accuracy": self.lessons.usual_share()}
        self.run.log(round=self.round, **({"loss": float(np.mean(losses))} if losses else {}), **figures)
        self.round, self.fitted = self.round + 1, 0
        if self.round > self.config.rounds - self.config.validated_rounds:
            self._validate()
        self.run.checkpoint(self._state())

    def _validate(self) -> None:
        """Keep the averaged weights if they play best so far."""
        agent = self.cloner.agent()
        seeds = game_seeds(self.run.stream("validation"), self.config.validation_games)
        games = play(lambda _: agent, seeds, STICKY, max_steps=self.config.validation_steps)
        steps = sum(game.steps for game in games)
        self.run.ledger.agent_steps += steps
        self.run.ledger.frames += FRAME_SKIP * steps
        self.run.ledger.rewards_read += steps
        scores = [game.score for game in games]
        self.score = float(np.mean(scores))
        self.run.log(score=self.score, median=float(np.median(scores)))
        if self.score > self.best_score:
            self.best_score, self.best = self.score, copy.deepcopy(self.cloner.averaged.state_dict())
