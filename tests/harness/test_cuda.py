"""On a GPU every arm trains, is stopped and goes on, and its agent plays elsewhere as it plays there."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.agent import load_agent
from agents.policy import RandomPolicy
from agents.rollout import collect
from agents.run import Interrupted, Run
from envs.breakout import STICKY
from envs.vector import BreakoutVecEnv
from harness.cli import main
from harness.profiles import SMOKE
from paradigms.reinforcement import train
from paradigms.reinforcement.ppo import BreakoutPPO
from paradigms.reinforcement.pqn import BreakoutPQN
from paradigms.reinforcement.train import make_env

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("arm", ["supervised", "unsupervised", "reinforcement", "reinforcement_ppo"])
def test_an_agent_trained_on_a_gpu_plays_the_same_on_a_cpu(arm: str, tmp_path: Path) -> None:
    main(["train", arm, "--profile", "smoke", "--device", "cuda", "--runs", str(tmp_path)])
    path = tmp_path / "smoke" / arm / "seed_0" / "agent.safetensors"
    there, here = load_agent(path, "cuda"), load_agent(path)
    seen = collect(RandomPolicy(0), BreakoutVecEnv(8, 0, STICKY), 40)
    observation = seen.observations(np.repeat(np.arange(8, 40), 8), np.tile(np.arange(8), 32))
    same = there.predict(observation)[0] == here.predict(observation)[0]
    assert same.mean() > 0.95, "but for close calls"


def test_a_run_on_a_gpu_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, updates, tick = SMOKE.reinforcement, list[float](), Run.tick

    def stop_after_three(run: Run, done: float, *rest: object) -> None:
        updates.append(done)
        run._interrupted = updates == [1, 2, 3]
        tick(run, done, *rest)

    monkeypatch.setattr(Run, "tick", stop_after_three)
    cuda = torch.device("cuda")
    with Run(tmp_path, "reinforcement", config, 0, cuda) as run, pytest.raises(Interrupted):
        train(config, run)
    with Run(tmp_path, "reinforcement", config, 0, cuda) as run:
        agent = train(config, run)
    assert updates == list(range(1, config.updates + 1))
    assert next(agent.encoder.parameters()).is_cuda


@pytest.mark.parametrize("algorithm", [BreakoutPQN, BreakoutPPO])
def test_a_recorded_gradient_step_is_that_step(algorithm: type[BreakoutPQN | BreakoutPPO]) -> None:
    config = replace(SMOKE.reinforcement, precision="float32")
    weights = []
    for recorded in (False, True):
        torch.manual_seed(0)
        with closing(make_env(config, 0)) as env:
            learner = algorithm(env, config, np.random.default_rng(0), torch.device("cuda"))
            if recorded:
                learner.record()
            torch.manual_seed(0)
            actor = learner.twin()
            actor.gather()
            learner.rollout_buffer = actor.rollout_buffer
            before = learner.policy.encoder.linear.weight.clone()
            learner.train()
            weights.append(learner.policy.encoder.linear.weight.clone())
            assert not torch.equal(weights[-1], before)
            assert learner.health["loss"] != 0
    assert (weights[0] - weights[1]).abs().max() < 0.1 * (weights[0] - before).abs().max()
