"""Which of the agents along the way is the best: full games, away from those that are learnt from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch

from agents.agent import HEADS, Agent
from agents.encoder import Encoder
from agents.files import Tree
from agents.rollout import first_games
from agents.run import Run
from envs.breakout import FRAME_SKIP, STICKY, cores
from envs.vector import BreakoutVecEnv

LONGEST = 2_500  # agent steps: a game that is still going is good enough to compare


class Validation:
    """Lets agents play as they come, and keeps the best.

    They play greedily, as they will be judged, in `sticky` games: greedy `classic` games are four at most. The seeds
    are the same each time, so that luck is too; the judge's are others. A dozen games tell agents apart by several
    points and no less, and an agent that learnt longer is the better guess: only a lead that exceeds its own standard
    error keeps an earlier one.

    Args:
        games: how many.

    Attributes:
        best: the agent kept so far.
        scores: of its games, in unclipped points.
    """

    def __init__(self, games: int, run: Run) -> None:
        self._run, self._games = run, games
        self.best: Agent | None = None
        self.scores: list[int] = []

    def judge(self, agent: Agent) -> None:
        """Let an agent play; log how it did and what that cost."""
        with closing(BreakoutVecEnv(self._games, self._run.stream("validation"), STICKY, threads=cores())) as env:
            scores, steps = first_games(agent, env, LONGEST)
        self._run.ledger.agent_steps += steps
        self._run.ledger.frames += steps * FRAME_SKIP
        self._run.ledger.rewards_read += steps
        self._run.log(validation_score=float(np.mean(scores)), validation_median=float(np.median(scores)))
        if self.best is None or not leads(self.scores, scores):
            self.best, self.scores = agent, scores

    def state(self) -> Tree:
        """Return what `restore` needs."""
        best = self.best and {
            "width": self.best.encoder.width,
            "kind": self.best.head.kind,
            "settings": self.best.head.settings(),
            "encoder": self.best.encoder.state_dict(),
            "head": self.best.head.state_dict(),
        }
        return {"best": best, "scores": self.scores}

    def restore(self, state: Tree) -> None:
        """Take back the best agent and its scores."""
        best = state["best"]
        if best is None:
            return
        with torch.random.fork_rng(devices=()):  # new layers draw their first weights from what acting draws from
            encoder, head = Encoder(best["width"]), HEADS[best["kind"]](**best["settings"])
        encoder.load_state_dict(best["encoder"])
        head.load_state_dict(best["head"])
        self.best = Agent(encoder, head, self._run.paradigm, device=self._run.device)
        self.scores = list(state["scores"])


def leads(earlier: Sequence[int], later: Sequence[int]) -> bool:
    """Whether the earlier agent's lead over the same games exceeds the lead's standard error."""
    lead = np.subtract(earlier, later)
    return bool(lead.mean() > lead.std() / math.sqrt(len(lead)))
