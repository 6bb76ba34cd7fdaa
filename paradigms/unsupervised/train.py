"""The unsupervised arm from top to bottom: explore, represent, count, plan; explore again with what it has.

The agent sees pictures, its own actions, the score and the lives. It gets no labels and no RAM, and no gradient ever
flows from a reward: points and lives are counted.

1. It plays at random and keeps the pictures.
2. The encoder learns by self-supervision: keypoints that redraw what moves (`represent`), later also a feature vector
   that tells where self and world are (3.), now and next. It does so again after planned rounds, which show walls with
   holes: to slots that never met one, a hole looks like a ball, and a ball before it like nothing.
3. In hindsight it finds which slot is itself, which decides about its lives, and its line (`insight`).
4. It clusters its states and counts what followed (`count`); the counts are a head that plays by planning
   (`agents.planner`, `agents.plans`).
5. It plays with that head, now and then at random, adds what it saw to its experience, and counts again. Every second
   planned round is played with sticky actions: a planner that counted only games that always obey loses its way in
   others. Of one run's rounds (quick profile, 24 sticky games), 2 and 4 alone, the sticky ones, made a planner of 237
   points, 1, 3 and 5 one of 149; all together 239, and they keep what `classic` needs.
6. The last planner is the agent; or, where there is time for it, the best of the last few in validation games.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from agents.agent import Agent
from agents.components import PrincipalComponents
from agents.encoder import Encoder
from agents.files import UserError
from agents.keypoints import KeypointHead
from agents.planner import Eyes, PlannerHead
from agents.policy import Policy, RandomPolicy
from agents.rollout import Transitions, collect
from agents.run import Run
from agents.tracker import Floats
from envs.breakout import CLASSIC, FRAME_SKIP, STACK, STICKY
from envs.vector import BreakoutVecEnv
from paradigms.unsupervised.config import Config
from paradigms.unsupervised.contrast import Contrast
from paradigms.unsupervised.count import build
from paradigms.unsupervised.explore import Experience, Explorer, read_all
from paradigms.unsupervised.insight import find_roles
from paradigms.unsupervised.limits import check_memory
from paradigms.unsupervised.objective import Objective
from paradigms.unsupervised.predict import Prediction
from paradigms.unsupervised.represent import KeypointTraining, MovingResidual
from paradigms.validation import Validation

COMPONENT_PICTURES = 4_000  # pictures whose principal components the control reads
EPSILON = (0.05, 0.05, 0.05, 0.03, 0.02, 0.01)  # of round 1, 2, ...; the last one ever after


class Learner:
    """What is learnt so far, and how to go on after an interruption."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run = config, run
        torch.manual_seed(int(run.stream("weights").generate_state(1)[0]))
        self.encoder = Encoder(config.encoder).to(run.device)
        born = PrincipalComponents if config.representation == "components" else KeypointHead
        self.eyes: Eyes = born(config.encoder, config.slots).to(run.device)
        self.steps = config.round_steps // config.games  # of each game, in a round
        self.stages = ["play", "see"]
        for number in range(1, config.rounds + 1):
            self.stages += ["play", "see"] if number in config.refresh_after else ["play"]
            self.stages += ["judge"] if number > config.rounds - config.validations else []
        self.last_seen = max((number for number in config.refresh_after if number <= config.rounds), default=0)
        self.stage, self.training = 0, dict[str, Any]()
        self.experience: list[Experience] = []
        self.head: PlannerHead | None = None  # what is counted on that experience
        self.figures: dict[str, float] = {}  # of it, not logged yet
        self.validation = Validation(config.validation_games, run)
        self.score = 0.0

    # -- interruption ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds; experience lies beside it, round by round."""
        return {
            "stage": self.stage,
            "encoder": self.encoder.state_dict(),
            "eyes": self.eyes.state_dict(),
            "training": self.training,
            "validation": self.validation.state(),
            "score": self.score,
        }

    def restore(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        kept = self.run.restore()
        if kept is None:
            return
        with self.run.resuming():
            self.stage, self.training, self.score = kept["stage"], kept["training"], kept["score"]
            self.encoder.load_state_dict(kept["encoder"])
            self.eyes.load_state_dict(kept["eyes"])
            self.validation.restore(kept["validation"])
            for number in range(self.stages[: self.stage].count("play")):
                self.experience.append(Experience(**self._load(f"experience_{number}")))

    def tick(self, done: float, note: str) -> None:
        """Show how much of this stage is done, and write a checkpoint when one is due."""
        self.run.tick(self.stage + done, len(self.stages), f"{note}, score {self.score:.1f}", self.state)

    def advance(self) -> None:
        """Go through the next stage."""
        {"play": self.play, "see": self.see, "judge": self.judge}[self.stages[self.stage]]()
        self.stage, self.training = self.stage + 1, {}
        self.run.checkpoint(self.state())

    # -- the four things it does -----------------------------------------------------------------------------------

    def play(self) -> None:
        """Explore one round, at random while nothing was counted yet."""
        number, taken = len(self.experience), 0

        def on_step() -> None:
            nonlocal taken
            taken += 1
            if taken % 50 == 0:
                self.tick(taken / self.steps, f"round {number} of {self.config.rounds}")

        generator = np.random.default_rng(self.run.stream(f"exploration {number}"))
        epsilon = EPSILON[min(number, len(EPSILON)) - 1]
        head = self.count() if number else None
        policy: Policy = RandomPolicy(int(generator.integers(2**31)))
        if head is not None:
            policy = explorer = Explorer(self.encoder, head, epsilon, generator, on_step)
        protocol = CLASSIC if number == 0 or number % 2 else STICKY
        env = BreakoutVecEnv(self.config.games, self.run.stream(f"games {number}"), protocol)
        rollout = collect(policy, env, self.steps)
        env.close()
        readings = np.stack(explorer.readings) if head is not None else self._nothing_read()
        if number <= self.last_seen:  # to be learnt from, and read again
            self._save(f"pictures_{number}", rollout)
        self._keep(number, readings, rollout)
        ledger, steps = self.run.ledger, self.steps * self.config.games
        ledger.agent_steps += steps
        ledger.rewards_read += steps
        ledger.frames += steps * FRAME_SKIP
        self.score = self.experience[-1].score
        self.tell(score=self.score, lives_lost_share=float(self.experience[-1].life_lost.mean()))

    def see(self) -> None:
        """Train the encoder on the pictures of some rounds, and read all rounds (again)."""
        config, rounds = self.config, len(self.experience)
        if rounds > 1 and config.representation == "untrained":
            return  # the same eyes read the same
        if config.representation != "untrained":
            pictures = join([self._pictures(number) for number in self.lesson])
            if isinstance(self.eyes, KeypointHead):
                self._train_keypoints(
                    self.eyes, pictures, config.keypoint_steps if rounds == 1 else config.refresh_steps
                )
            else:
                self._fit_components(self.eyes, pictures)
            self.run.checkpoint(self.state())  # before readings change, which the training began from
        head = PlannerHead(config.encoder, config.slots, 0, 1, 0, self.eyes.kind).to(self.run.device)
        head.eyes = self.eyes
        for number in range(rounds):
            rollout = self._pictures(number)
            readings = read_all(self.encoder.eval(), head, rollout, lambda: self.tick(0.8, "reading"))
            self._keep(number, readings, rollout)

    @property
    def lesson(self) -> list[int]:
        """The rounds to learn to see from: the first, the middle one, the last two.

        The latest rounds alone show only how one plays who can: trained on for 2,000 steps on them, a linear map of the
        standard profile's features told ball x, ball y and paddle x in all kinds of play with 3.4 to 3.5, 3.8 to 3.9
        and 0.8 to 1.0 pixels of error (learning rates 3e-3 and 1e-3), on these rounds with 3.0, 3.3 and 0.7 (2e-3).
        """
        last = len(self.experience) - 1
        return sorted({0, last // 2, max(0, last - 1), last})

    def judge(self) -> None:
        """Let the planner play for its place; the encoder may go on learning."""
        head = self.count()
        self.tick(0.2, "validation games")
        self.validation.judge(Agent(copy.deepcopy(self.encoder), head, "unsupervised", device=self.run.device))
        self.tell()

    def tell(self, **more: float) -> None:
        """Log what was counted, with more: at the end of a stage, for what is stopped before counts again."""
        if self.figures or more:
            self.run.log(**self.figures, **more)
        self.figures = {}

    def count(self) -> PlannerHead:
        """Look back on all experience: who is who, what landed where, what followed what."""
        if self.head is not None:
            return self.head
        experience = Experience.join(self.experience)
        roles = find_roles(experience)
        head, figures = build(experience, roles, self.eyes, self.config.self_cells, self.run.seed)
        found = {"line": roles.line, "controllability": roles.controllability, "information": roles.information}
        self.figures = figures | found
        self.head = head.to(self.run.device).eval()
        return self.head

    def _train_keypoints(self, keypoints: KeypointHead, rollout: Transitions, steps: int) -> None:
        run, stage = self.run, self.stage
        objective, readings = self._objective() if len(self.experience) > 1 else (None, None)
        training = KeypointTraining(
            self.encoder, keypoints, rollout,
            MovingResidual(rollout.pictures, np.random.default_rng(run.stream(f"background {stage}"))),
            np.random.default_rng(run.stream(f"keypoints {stage}")),
            total_steps=steps, batch=self.config.batch, learning_rate=self.config.learning_rate,
            objective=objective, readings=readings,
        )  # fmt: skip
        if self.training:
            with run.resuming():
                training.restore(self.training)
        while training.step < steps:
            loss = training.advance()
            run.ledger.gradient_steps += 1
            run.ledger.samples += training.observations
            if training.step % 100 == 0:
                run.log(keypoint_loss=loss)
            if training.step % 20 == 0:
                self.training = training.state()
                self.tick(0.8 * training.step / steps, f"keypoints, loss {loss:.3f}")
        self.training = training.state()

    def _fit_components(self, components: PrincipalComponents, rollout: Transitions) -> None:
        generator = np.random.default_rng(self.run.stream(f"components {self.stage}"))
        steps, games = rollout.taken.shape
        t, game = generator.integers(0, steps, COMPONENT_PICTURES), generator.integers(0, games, COMPONENT_PICTURES)
        components.fit(rollout.pictures[t + STACK - 1, game])

    def _objective(self) -> tuple[Objective, Floats]:
        """Return it, and what self and world read in the rounds to learn from, `(T, N, 2, 3)`."""
        dim, roles = self.encoder.features_dim, find_roles(Experience.join(self.experience))
        pair = [roles.self_slot, roles.world_slot]
        with torch.random.fork_rng():  # so that a resumed run begins it alike
            torch.manual_seed(int(self.run.stream(f"objective {self.stage}").generate_state(1)[0]))
            contrast = self.config.objective == "contrast"
            objective = Contrast(dim) if contrast else Prediction(dim, torch.tensor(roles.thresholds))
        readings = np.concatenate([self.experience[number].readings[:, :, pair] for number in self.lesson], axis=1)
        return objective.to(self.run.device), readings

    # -- what lies beside the checkpoints ----------------------------------------------------------------------------

    def _pictures(self, number: int) -> Transitions:
        return Transitions(**self._load(f"pictures_{number}"))

    def _load(self, name: str) -> dict[str, Any]:
        arrays = self.run.load_arrays(name)
        if arrays is None:
            raise UserError(
                f"{self.run.folder}/checkpoints/{name}.npz is missing or damaged; delete the run folder and start again"
            )
        return arrays

    def _save(self, name: str, record: Transitions | Experience) -> None:
        self.run.save_arrays(name, **{field: getattr(record, field) for field in record.__dataclass_fields__})

    def _keep(self, number: int, readings: Floats, rollout: Transitions) -> None:
        over = rollout.over.copy()
        over[-1] = True
        experience = Experience(readings, rollout.taken, rollout.points, rollout.life_lost, over)
        self._save(f"experience_{number}", experience)
        self.experience[number : number + 1] = [experience]
        self.head = None

    def _nothing_read(self) -> Floats:
        return np.zeros((self.steps, self.config.games, self.config.slots, 3), np.float32)


def join(parts: list[Transitions]) -> Transitions:
    """Lay rollouts of equal length side by side, `(T, N1 + N2 + ...)`."""
    fields = Transitions.__dataclass_fields__
    return Transitions(*(np.concatenate([getattr(part, name) for part in parts], axis=1) for name in fields))


def train(config: Config, run: Run) -> Agent:
    """Play, see, and play on, each time planning on all that was counted, now and then seeing anew; choose."""
    check_memory(config.round_steps, config.rounds, config.slots)
    learner = Learner(config, run)
    learner.restore()
    while learner.stage < len(learner.stages):
        learner.advance()
    if learner.validation.best is not None:
        return learner.validation.best
    agent = Agent(learner.encoder, learner.count(), "unsupervised", device=run.device)
    learner.tell()
    return agent
