"""Everything that plays keeps the contract, and the contract catches what does not."""

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.demonstrator import Demonstrator
from agents.encoder import Encoder
from agents.heads import ActionHead
from agents.planner import PlannerHead
from agents.policy import Policy, RandomPolicy, check_policy
from envs.breakout import CLASSIC, Bytes, Game

SEEDS = (2, 4, 6)


@pytest.fixture
def games() -> list[Game]:
    games = [Game(seed, CLASSIC) for seed in SEEDS]
    generator = np.random.default_rng(0)
    for game in games:
        for action in generator.integers(0, 4, 12):
            game.step(int(action))
    return games


def seen(games: list[Game]) -> Bytes:
    return np.stack([game.observation for game in games])


@pytest.mark.parametrize("kind", ["random", "demonstrator", "action", "planner"])
def test_ours_keep_the_contract(kind: str, games: list[Game]) -> None:
    torch.manual_seed(0)
    encoder = Encoder()
    planner = PlannerHead("small", 4, 20, 8, 10)
    planner.cells.copy_(torch.rand(planner.cells.shape))
    policies: dict[str, Policy] = {
        "random": RandomPolicy(0),
        "demonstrator": Demonstrator(games),
        "action": Agent(encoder, ActionHead(encoder.features_dim), "supervised"),
        "planner": Agent(encoder, planner, "unsupervised"),
    }
    check_policy(policies[kind], seen(games))


@pytest.mark.parametrize(
    ("actions", "state", "clause"),
    [
        (np.zeros(2, np.int64), None, "actions"),
        (np.full(3, 7), None, "among"),
        (np.zeros(3, np.int64), (np.zeros(1),), "lead with 3"),
        (np.zeros(3, np.int64), [np.zeros(3)], "tuple"),
    ],
)
def test_the_contract_catches_what_breaks_it(actions: object, state: object, clause: str, games: list[Game]) -> None:
    class Broken:
        def predict(self, *_: object, **__: object) -> tuple[object, object]:
            return actions, state

    with pytest.raises(AssertionError, match=clause):
        check_policy(Broken(), seen(games))
