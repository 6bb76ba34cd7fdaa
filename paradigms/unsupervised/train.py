"""The unsupervised arm from top to bottom: explore, represent, count, plan; explore again with what it has.

The agent sees pictures, its own actions, the score and the lives. It gets no labels and no RAM, and no gradient ever
flows from a reward: points and lives are counted.

1. It plays at random and keeps the pictures.
2. The encoder learns by self-supervision: keypoints that redraw what moves (`represent`), then a feature vector that
   tells those keypoints now and next.
3. In hindsight it finds which slot is itself, which decides about its lives, and its line (`insight`).
4. It clusters its states and counts what followed (`count`); the counts are a head that plays by planning
   (`agents.planner`).
5. It plays with that head, now and then at random, adds what it saw to its experience, and counts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from agents.agent import Agent
from agents.encoder import Encoder, Width
from agents.files import UserError
from agents.keypoints import KeypointHead
from agents.planner import PlannerHead
from agents.policy import RandomPolicy
from agents.rollout import Rollout, Transitions
from agents.run import Run, require_positive
from envs.breakout import CLASSIC, FRAME_SKIP, BreakoutVecEnv
from paradigms.unsupervised.count import build
from paradigms.unsupervised.explore import Experience, Explorer, read_all
from paradigms.unsupervised.insight import Roles, find_roles, thresholds
from paradigms.unsupervised.represent import KeypointTraining, MovingResidual, train_features

EPSILON = (0.05, 0.05, 0.05, 0.03, 0.02, 0.01)  # of round 1, 2, ...; the last one ever after


@dataclass(frozen=True)
class Config:
    """Settings of the unsupervised arm; the defaults are the quick profile."""

    encoder: Width = "small"
    """Width of the shared encoder."""
    representation: Literal["keypoints", "untrained"] = "keypoints"
    """`untrained` leaves encoder and keypoint head as they were born: the control, everything else alike."""
    games: int = 16
    """Games explored side by side."""
    round_steps: int = 24_000
    """Agent steps of exploration in each round."""
    rounds: int = 5
    """Rounds of exploration with the planner, after a first one at random."""
    slots: int = 4
    """Keypoints to look for."""
    keypoint_steps: int = 900
    """Gradient steps on the keypoints."""
    feature_steps: int = 400
    """Gradient steps on the feature vector."""
    batch: int = 32
    """Observations in a gradient step."""
    learning_rate: float = 3e-3
    """Of Adam, on the keypoints."""
    self_cells: int = 1_000
    """Clusters of the agent's own states, for each last action."""

    def __post_init__(self) -> None:
        names = ("games", "round_steps", "rounds", "slots", "keypoint_steps", "feature_steps", "batch")
        require_positive(self, *names, "learning_rate", "self_cells")
        if self.slots < 2:
            raise UserError(f"--slots must be at least 2 (self and world), got {self.slots}")
        if self.round_steps < 6 * self.self_cells:
            raise UserError(
                f"--round-steps {self.round_steps} is too few for --self-cells {self.self_cells}; "
                f"give at least {6 * self.self_cells} steps or fewer cells"
            )


class Learner:
    """What is learnt so far, and how to go on after an interruption."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run = config, run
        torch.manual_seed(int(run.stream("weights").generate_state(1)[0]))
        self.encoder = Encoder(config.encoder).to(run.device)
        self.keypoints = KeypointHead(config.encoder, config.slots).to(run.device)
        self.steps = max(8, config.round_steps // config.games)  # of each game, in a round
        self.experience: list[Experience] = []
        self.phase, self.training = "explore", dict[str, Any]()
        self.score = 0.0

    # -- interruption ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "rounds": len(self.experience),
            "encoder": self.encoder.state_dict(),
            "keypoints": self.keypoints.state_dict(),
            "training": self.training,
            "score": self.score,
        }

    def restore(self) -> None:
        kept = self.run.restore()
        if kept is None:
            return
        self.phase, self.training, self.score = kept["phase"], kept["training"], kept["score"]
        self.encoder.load_state_dict(kept["encoder"])
        self.keypoints.load_state_dict(kept["keypoints"])
        for number in range(kept["rounds"]):
            arrays = self.run.load_arrays(f"experience_{number}")
            if arrays is None:
                raise UserError(f"{self.run.folder}: experience_{number} is missing; delete the folder and start again")
            self.experience.append(Experience(**arrays))

    def tick(self, done: float, note: str) -> None:
        """Progress in rounds; learning to see counts as two."""
        self.run.tick(done, self.config.rounds + 3, f"{note}, score {self.score:.1f}", self.state)

    def enter(self, phase: str) -> None:
        self.phase, self.training = phase, {}
        self.run.checkpoint(self.state())

    # -- the four things it does -----------------------------------------------------------------------------------

    def play_at_random(self) -> Transitions:
        """Gather the first round's pictures, or find them again after an interruption."""
        kept = self.run.load_arrays("pictures")
        if kept is None:
            env = self._games(0)
            policy = RandomPolicy(int(self.run.stream("random play").generate_state(1)[0]))
            rollout = Rollout(env).collect(policy, self.steps)
            env.close()
            kept = {name: getattr(rollout, name) for name in Transitions.__annotations__}
            self.run.save_arrays("pictures", **kept)
        if self.run.ledger.agent_steps == 0:
            self._account()
            self.run.checkpoint(self.state())
        return Transitions(**kept)

    def learn_to_see(self, rollout: Transitions) -> None:
        """Train the keypoints, read them off the first round, then train the feature vector on them."""
        config = self.config
        training = self._train_keypoints(rollout) if config.representation == "keypoints" else None
        head = PlannerHead(config.encoder, config.slots, 0, 1, 0).to(self.run.device)
        head.keypoints = self.keypoints
        self.encoder.eval()
        games = np.arange(config.games)
        readings = read_all(
            self.encoder, head,
            lambda rows: rollout.observations(np.repeat(rows, config.games), np.tile(games, len(rows))),
            self.steps, config.games, lambda: self.tick(2.5, "reading"),
        )  # fmt: skip
        over = rollout.over.copy()
        over[-1] = True
        first = Experience(readings, rollout.taken, rollout.points, rollout.life_lost, over)
        if training is not None:
            loss = train_features(
                self.encoder, rollout, readings, thresholds(first), np.random.default_rng(self.run.stream("features")),
                total_steps=config.feature_steps, batch=2 * config.batch,
                on_step=lambda step: self.tick(2.7, "features"),
            )  # fmt: skip
            self.run.ledger.gradient_steps += config.feature_steps
            self.run.ledger.samples += config.feature_steps * 2 * config.batch
            self.run.log(feature_loss=loss)
        self._keep(first)

    def _train_keypoints(self, rollout: Transitions) -> KeypointTraining:
        config, run = self.config, self.run
        residual = MovingResidual(rollout.pictures, np.random.default_rng(run.stream("background")))
        training = KeypointTraining(
            self.encoder, self.keypoints, rollout, residual, np.random.default_rng(run.stream("keypoints")),
            total_steps=config.keypoint_steps, batch=config.batch, learning_rate=config.learning_rate,
        )  # fmt: skip
        if self.training:
            training.restore(self.training)
        while training.step < config.keypoint_steps:
            loss = training.advance()
            run.ledger.gradient_steps += 1
            run.ledger.samples += config.batch
            if training.step % 100 == 0:
                run.log(keypoint_loss=loss)
            self.training = training.state() if training.step % 20 == 0 else self.training
            if training.step % 20 == 0:
                self.tick(1 + 1.5 * training.step / config.keypoint_steps, f"keypoints, loss {loss:.3f}")
        self.training = {}
        return training

    def count(self) -> tuple[PlannerHead, Roles, dict[str, float]]:
        """Look back on all experience: who is who, what landed where, what followed what."""
        experience = Experience.join(self.experience)
        roles = find_roles(experience)
        head, figures = build(
            experience, roles, self.keypoints.state_dict(), self.config.encoder, self.config.self_cells, self.run.seed
        )
        return head.to(self.run.device).eval(), roles, figures

    def play(self, head: PlannerHead) -> None:
        """Explore one round with what was counted."""
        number = len(self.experience)
        generator = np.random.default_rng(self.run.stream(f"exploration {number}"))
        taken = 0

        def on_step() -> None:
            nonlocal taken
            taken += 1
            if taken % 50 == 0:
                self.tick(2 + number + taken / self.steps, f"round {number} of {self.config.rounds}")

        explorer = Explorer(self.encoder, head, EPSILON[min(number, len(EPSILON)) - 1], generator, on_step)
        env = self._games(number)
        rollout = Rollout(env).collect(explorer, self.steps)
        env.close()
        self._account()
        over = rollout.over.copy()
        over[-1] = True
        self._keep(Experience(np.stack(explorer.readings), rollout.taken, rollout.points, rollout.life_lost, over))

    # -- bookkeeping -----------------------------------------------------------------------------------------------

    def _games(self, number: int) -> BreakoutVecEnv:
        return BreakoutVecEnv(self.config.games, self.run.stream(f"games {number}"), CLASSIC)

    def _account(self) -> None:
        steps = self.steps * self.config.games
        self.run.ledger.agent_steps += steps
        self.run.ledger.frames += steps * FRAME_SKIP
        self.run.ledger.rewards_read += steps

    def _keep(self, experience: Experience) -> None:
        names = Experience.__annotations__
        self.run.save_arrays(
            f"experience_{len(self.experience)}", **{name: getattr(experience, name) for name in names}
        )
        self.experience.append(experience)
        self.score = experience.score
        self.run.log(score=self.score, lives_lost_share=float(experience.life_lost.mean()))


def train(config: Config, run: Run) -> Agent:
    """Explore, represent, count and plan, `config.rounds` times over; returns the agent of the last count."""
    learner = Learner(config, run)
    learner.restore()
    if learner.phase == "explore":
        rollout = learner.play_at_random()
        learner.learn_to_see(rollout)
        learner.enter("plan")
    head, roles, figures = learner.count()
    while len(learner.experience) <= config.rounds:
        run.log(**figures, line=roles.line, controllability=roles.controllability, information=roles.information)
        learner.play(head)
        run.checkpoint(learner.state())
        head, roles, figures = learner.count()
    run.log(**figures, line=roles.line, controllability=roles.controllability, information=roles.information)
    return Agent(learner.encoder, head, "unsupervised", device=run.device)
