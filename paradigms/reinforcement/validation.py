"""Which of the agents along the way is the best: full games, away from those that are learnt from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agents.agent import Agent
from agents.files import Tree
from agents.rollout import play
from agents.run import Run
from envs.breakout import FRAME_SKIP, STICKY, game_seeds
from paradigms.reinforcement.config import Config

LONGEST = 2_500  # agent steps: a game that is still going is good enough to compare


class Validation:
    """Lets the agent play every so often, and keeps the best.

    It plays greedily, as it will be judged, in `sticky` games: greedy `classic` games are four at most. The seeds are
    the same each time, so that luck is too; the judge's are others. A dozen games tell agents apart by several points
    and no less, and an agent that learnt longer is the better guess: only a lead that exceeds its own standard error
    keeps an earlier one.

    Attributes:
        best: the agent kept so far.
        scores: of its games, in unclipped points.
    """

    def __init__(self, config: Config, run: Run) -> None:
        self._config, self._run = config, run
        self._seeds = game_seeds(run.stream("validation"), config.validation_games)
        self.best: Agent | None = None
        self.scores: list[int] = []

    def due(self, update: int) -> bool:
        """Tell whether the agent is to play after this update: evenly spread, the last update included."""
        before, now = (number * self._config.validations // self._config.updates for number in (update - 1, update))
        return now > before

    def judge(self, agent: Agent) -> None:
        """Let an agent play; log how it did and what that cost."""
        games = play(lambda _: agent, self._seeds, STICKY, max_steps=LONGEST)
        scores, steps = [game.score for game in games], sum(game.steps for game in games)
        self._run.ledger.agent_steps += steps
        self._run.ledger.frames += steps * FRAME_SKIP
        self._run.ledger.rewards_read += steps
        self._run.log(validation_score=float(np.mean(scores)), validation_median=float(np.median(scores)))
        if self.best is None or not leads(self.scores, scores):
            self.best, self.scores = agent, scores

    def state(self) -> Tree:
        """Return what `restore` needs."""
        best = self.best and {"encoder": self.best.encoder.state_dict(), "head": self.best.head.state_dict()}
        return {"best": best, "scores": self.scores}

    def restore(self, state: Tree, like: Agent) -> None:
        """Take back the best agent; `like` is one of the same build, and takes its weights."""
        if state["best"] is None:
            return
        self.best, self.scores = like, list(state["scores"])
        self.best.encoder.load_state_dict(state["best"]["encoder"])
        self.best.head.load_state_dict(state["best"]["head"])


def leads(earlier: Sequence[int], later: Sequence[int]) -> bool:
    """Whether the earlier agent's lead over the same games exceeds the lead's standard error."""
    lead = np.subtract(earlier, later)
    return bool(lead.mean() > lead.std() / math.sqrt(len(lead)))
