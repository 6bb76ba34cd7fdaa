"""The parallelised Q-network: its returns and its update are those on paper, its agent plays by its values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.testing import assert_close

from agents.agent import load_agent
from agents.encoder import mirror
from agents.run import Run
from agents.values import ValueHead
from envs.breakout import LEARNT_ACTIONS
from paradigms.reinforcement import Config, train
from paradigms.reinforcement.pqn import BreakoutPQN
from paradigms.reinforcement.train import make_env

TINY = replace(
    Config(steps=6 * 64, games=4, rollout_steps=16, minibatch=32, validations=1, validation_games=1),
    precision="float32",
    epsilon=0.25,
    exploration=0.5,
)


def make_learner(config: Config = TINY) -> BreakoutPQN:
    torch.manual_seed(0)
    return BreakoutPQN(make_env(config, 0), config, np.random.default_rng(0))


def test_returns_are_those_of_q_lambda() -> None:
    learner = make_learner(replace(TINY, rollout_steps=40))
    actor = learner.twin()
    actor.gather()
    buffer = actor.rollout_buffer
    with torch.no_grad():
        best = learner.policy.values(buffer.batch().observations).amax(1).reshape(40, 4).numpy()
        last = learner.policy.values(torch.from_numpy(actor.games.observation)).amax(1).numpy()
    ends = np.concatenate([buffer.episode_starts[1:], actor._last_episode_starts[None]]) > 0
    assert ends.any()
    following, expected = last, np.empty_like(best)
    for t in reversed(range(40)):  # equation 7 of the paper, with a lost life for an end
        bootstrap = TINY.gae_lambda * following + (1 - TINY.gae_lambda) * (last if t == 39 else best[t + 1])
        expected[t] = buffer.rewards[t] + TINY.gamma * np.where(ends[t], 0, bootstrap)
        following = expected[t]
    assert_close(torch.from_numpy(buffer.returns), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_the_loss_is_the_squared_error_of_the_chosen_actions_values() -> None:
    learner = make_learner()
    actor = learner.twin()
    actor.gather()
    batch = actor.rollout_buffer.batch().take(torch.arange(8))
    with torch.no_grad():
        loss = learner.losses(batch)
    values = learner.policy.values(batch.observations).detach()
    errors = [float(values[i, a] - batch.returns[i]) for i, a in enumerate(batch.actions.tolist())]
    assert_close(float(loss.loss), sum(error**2 for error in errors) / 16, atol=1e-6, rtol=1e-4)


def test_it_explores_less_and_less_and_acts_by_the_highest_value() -> None:
    learner = make_learner()
    learner.twin().gather()
    seen = []
    for remaining in (1.0, 0.75, 0.5, 0.0):
        learner._current_progress_remaining = remaining
        learner.rollout_buffer = learner.twin().rollout_buffer
        learner.train()
        seen.append(learner.health["epsilon"])
    assert_close(seen, [1.0, 0.5, 0.25, 0.25])
    pictures = torch.randint(0, 256, (1, 4, 84, 84), dtype=torch.uint8).expand(600, -1, -1, -1)
    with torch.no_grad():
        actions, highest, _ = learner.policy(pictures)
    best = int(learner.policy.values(pictures[:1]).argmax())
    assert 0.78 < float((actions == best).float().mean()) < 0.88, "1 - 0.25 x 2/3"
    assert_close(highest[0], learner.policy.values(pictures[:1])[0, best])


def test_a_run_leaves_an_agent_that_plays_by_the_values(tmp_path: Path) -> None:
    with Run(tmp_path, "reinforcement", TINY, 0, torch.device("cpu")) as run:
        run.finish(train(TINY, run), tmp_path / "agent.safetensors")
    agent = load_agent(tmp_path / "agent.safetensors")
    assert isinstance(agent.head, ValueHead)
    pictures = np.random.default_rng(0).integers(0, 256, (64, 4, 84, 84), np.uint8)
    with torch.no_grad():
        values, mirrored = (
            agent.head(agent.encoder(torch.from_numpy(seen)).features) for seen in (pictures, mirror(pictures))
        )
    best = np.asarray(LEARNT_ACTIONS)[(values + mirrored[:, [0, 2, 1]]).argmax(1).numpy()]
    assert (agent.predict(pictures)[0] == best).all()
    agent.head.epsilon = 1.0
    assert len(set(agent.predict(pictures[:1].repeat(64, axis=0), deterministic=False)[0])) == 3
