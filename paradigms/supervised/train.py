"""Supervised learning: a classifier over actions, taught by a demonstrator, also on the learner's own states.

Round by round:

1. *Gather* (`gather.py`): games are played, at first by the demonstrator with noise, then mostly by the learner, and
   the demonstrator says for every state how many px of landing error each action costs: DAgger (Ross et al. 2011)
   with costs for labels (Ross and Bagnell 2014).
2. *Fit* (`losses.py`): the encoder and an action head learn soft labels made of the costs; beside them a regression
   of where ball and paddle are and where the ball will land, which makes the encoder look at the ball. Every second
   batch is seen in a mirror. While one core fits, another gathers the next round.
3. *Choose*: the moving averages of the weights (Polyak and Juditsky 1992) after the last few rounds play validation
   games; the one that played best is the agent. At play it averages its view of the picture and of the mirror image,
   and what its classifier says with what the demonstrator's controller makes of its readings (`agents/imitator.py`).

Where the labels are a data set of recorded games instead (`--labels FOLDER`), `cloned.py` tells the story.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from agents.agent import Agent
from agents.encoder import Encoder
from agents.files import Tree, UserError
from agents.imitator import REACH, ImitatorHead
from agents.run import Run
from envs.breakout import FRAME_SKIP, STACK, game_seeds
from paradigms.supervised.averaged import AveragedLearner
from paradigms.supervised.cloned import train_on
from paradigms.supervised.config import Config
from paradigms.supervised.gather import Gatherer, Harvest, Order, Weights, make_agent
from paradigms.supervised.labelled import NEAR, Batch, Labelled, Pool
from paradigms.supervised.losses import Losses, imitation_losses

TICK = 25  # gradient steps between two looks at the clock
HELD_OUT_SAMPLE = 2_048  # states that the held-out loss is taken on


class Learner(AveragedLearner):
    """Learns costs of actions, and to read the state."""

    def make_head(self, encoder: Encoder, config: Config) -> ImitatorHead:
        return ImitatorHead(encoder.features_dim, config.plays)

    def losses(self, modules: nn.ModuleDict, batch: Batch) -> tuple[Tensor, Tensor, Losses]:
        """Logits `(B, aims, 3)`, reading `(B, 6)`, and what they lose against the labels."""
        logits, reading = modules["head"](self.features(modules, batch.observation))
        return logits, reading, imitation_losses(logits, reading, batch.costs, batch.reading, batch.frames)

    def step(self, batch: Batch) -> tuple[float, float]:
        """Take one gradient step and follow it with the average."""
        _, _, (classification, regression) = self.losses(self.modules, batch)
        classified = 1.0 if self.config.learner == "classifier" else 0.0
        self.descend(classified * classification + self.config.reading_weight * regression)
        return float(classification.detach()), float(regression.detach())

    @torch.no_grad()
    def held_out(self, pool: Pool) -> dict[str, float]:
        """How the averaged weights do in games that are never trained on.

        `regret_px`: landing error that the chosen action costs; `landing_error_px`: of the regression; both where the
        ball lands soon.
        """
        if not len(pool.held_out):
            return {}
        which = pool.held_out[np.linspace(0, len(pool.held_out) - 1, HELD_OUT_SAMPLE).astype(int)]
        batch = pool.take(which)
        logits, reading, losses = self.losses(self.averaged, batch)
        figures = {"heldout_loss": float(losses.classification), "heldout_regression": float(losses.regression)}
        near = batch.frames <= NEAR
        if near.any():
            costs = batch.costs[:, 0]  # of the central aim
            regret = costs.gather(1, logits[:, 0].argmax(1, keepdim=True))[:, 0] - costs.amin(1)
            figures["heldout_regret_px"] = float(regret[near].mean())
            error = (reading[:, 0] - batch.reading[:, 0]).abs() * REACH
            figures["heldout_landing_error_px"] = float(error[near].mean())
        return figures

    def weights(self) -> Weights:
        """The averaged encoder and head, to play with."""
        return {
            name: {key: value.cpu().numpy().copy() for key, value in self.averaged[name].state_dict().items()}
            for name in ("encoder", "head")
        }


def train(config: Config, run: Run) -> Agent:
    """Learn from labelled states; see the module's text. Rounds already gathered and fitted are not done again."""
    if config.labels != "demonstrator":
        return train_on(config, run)
    training = _Training(config, run)
    with Gatherer(config) as gatherer:
        while training.round < config.rounds:
            training.play_round(gatherer)
        training.choose(gatherer)
    assert training.best is not None
    return make_agent(config, training.best)


class _Training:
    """Where the training stands, and what one round does to it."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run, self.learner = config, run, Learner(config, run)
        pictures = STACK if config.label_share < 1 else 2  # of each state at most, some of them shared with others
        room = config.rounds * (pictures * config.round_labels + 2 * STACK * config.games)  # a step labels all games
        self.pool = Pool(room, config.near_share, run.device)
        self.round = self.fitted = 0  # rounds begun, samples fitted in this one
        self.players: Weights | None = None  # who drives this round's games: the weights as the round began
        self.best: Weights | None = None
        self.best_score, self.score = -1.0, 0.0
        if (state := run.restore()) is not None:
            with run.resuming():
                self._load(state)

    def _state(self) -> Tree:
        kept = {name: getattr(self, name) for name in ("round", "fitted", "players", "best", "best_score", "score")}
        return kept | {"learner": self.learner.state()}

    def _load(self, state: Tree) -> None:
        self.learner.load(state.pop("learner"))
        vars(self).update(state)
        for number in range(self.round):
            arrays = self.run.load_arrays(f"round_{number}")
            if arrays is None:
                raise UserError(f"{self.run.folder}/checkpoints/round_{number}.npz is missing; delete the run folder")
            self.pool.add(Labelled(**arrays))

    def play_round(self, gatherer: Gatherer) -> None:
        """Fit what there is while the next states are gathered, then take those in."""
        gatherer.send(self._order(self.config.round_labels))
        if self.round > 0:
            self._fit()
        harvest = self._wait(gatherer)
        assert harvest.states is not None
        self.run.save_arrays(f"round_{self.round}", **harvest.states.arrays())
        self.pool.add(harvest.states)
        self.run.ledger.labels += len(harvest.states.stack)
        self._judge(harvest)
        self.round, self.fitted, self.players = self.round + 1, 0, self.learner.weights()
        self.run.checkpoint(self._state())

    def choose(self, gatherer: Gatherer) -> None:
        """Fit the last states, and let the last agent play for its place as the others did."""
        self._fit()
        self.players = self.learner.weights()
        gatherer.send(self._order(0))
        self._judge(self._wait(gatherer))

    def _order(self, labels: int) -> Order:
        demonstrated = self.round < self.config.demonstrated_rounds
        seeds = self.run.stream(f"games from round {self.round}")
        validated = self.round > self.config.rounds - self.config.validated_rounds
        validation = game_seeds(self.run.stream("validation"), self.config.validation_games) if validated else []
        return Order(self.players, demonstrated, labels, seeds, validation)

    def _fit(self) -> None:
        losses = []
        while self.fitted < self.config.samples:
            for _ in range(TICK):
                batch = self.pool.draw(self.config.batch, self.learner.generator)
                mirrored = self.run.ledger.gradient_steps % 2 == 1
                losses.append(self.learner.step(batch.mirrored() if mirrored else batch))
                self.run.ledger.gradient_steps += 1
                self.run.ledger.samples += self.config.batch
                self.fitted += self.config.batch
            self.learner.require_finite()
            self._tick()
        if losses:
            classification, regression = np.mean(losses, axis=0)
            self.run.log(
                round=self.round, loss=classification, regression=regression, **self.learner.held_out(self.pool)
            )

    def _tick(self) -> None:
        fitted = (self.round - 1) * self.config.samples + min(self.fitted, self.config.samples) if self.round else 0
        self.run.tick(fitted, self.config.rounds * self.config.samples, f"score {self.score:.0f}", self._state)

    def _wait(self, gatherer: Gatherer) -> Harvest:
        while not gatherer.ready(seconds=0.5):
            self._tick()
        return gatherer.receive()

    def _judge(self, harvest: Harvest) -> None:
        """Keep the players if they are the best so far."""
        self.run.ledger.agent_steps += harvest.steps
        self.run.ledger.frames += FRAME_SKIP * harvest.steps
        self.run.ledger.rewards_read += harvest.validation_steps
        scores = harvest.validation_scores or harvest.scores
        if scores:
            self.score = float(np.mean(scores))
            self.run.log(score=self.score, median=float(np.median(scores)))
        if harvest.validation_scores and self.score > self.best_score:
            self.best_score, self.best = self.score, self.players
