"""Which of the agents along the way is the best: full games, away from those that are learnt from."""

from __future__ import annotations

import math

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
    the same each time, so that luck is too; the judge's are others.

    Attributes:
        best: the agent with the highest mean score so far; of equals the later one.
        best_score: that mean, in unclipped points of full games.
    """

    def __init__(self, config: Config, run: Run) -> None:
        self._config, self._run = config, run
        self._seeds = game_seeds(run.stream("validation"), config.validation_games)
        self.best: Agent | None = None
        self.best_score = -math.inf

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
        score = float(np.mean(scores))
        self._run.log(validation_score=score, validation_median=float(np.median(scores)))
        if score >= self.best_score:
            self.best, self.best_score = agent, score

    def state(self) -> Tree:
        """Return what `restore` needs."""
        best = self.best and {"encoder": self.best.encoder.state_dict(), "head": self.best.head.state_dict()}
        return {"best": best, "score": self.best_score if best else None}

    def restore(self, state: Tree, like: Agent) -> None:
        """Take back the best agent; `like` is one of the same build, and takes its weights."""
        if state["best"] is None:
            return
        self.best, self.best_score = like, state["score"]
        self.best.encoder.load_state_dict(state["best"]["encoder"])
        self.best.head.load_state_dict(state["best"]["head"])
