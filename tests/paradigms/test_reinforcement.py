"""The update is the one on paper, on the steps that stable-baselines3 would hold."""

import math
from dataclasses import replace

import ale_py
import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack
from torch.testing import assert_close

from agents.encoder import mirror
from agents.files import UserError
from paradigms.reinforcement import Config
from paradigms.reinforcement.overlap import overlapped
from paradigms.reinforcement.ppo import BreakoutPPO
from paradigms.reinforcement.rollout import Batch, half_mirrored, ppo_loss
from paradigms.reinforcement.train import make_env

TINY = Config(steps=6 * 64, games=4, rollout_steps=16, minibatch=32, epochs=2, precision="float32").by_ppo()
NOOP, RIGHT, LEFT = range(3)  # places in LEARNT_ACTIONS


def hand_made() -> Batch:
    """Four steps; FIRE was pressed on the last."""
    return Batch(
        observations=torch.randint(0, 256, (4, 4, 84, 84), dtype=torch.uint8),
        actions=torch.tensor([NOOP, RIGHT, LEFT, RIGHT]),
        log_probs=torch.tensor([0.5, 0.25, 0.25, 0.9]).log(),
        advantages=torch.tensor([1.0, -1.0, 0.0, 50.0]),
        returns=torch.tensor([1.0, 0.0, 2.0, 3.0]),
        chosen=torch.tensor([True, True, True, False]),
    )


def test_the_loss_equals_a_hand_calculation() -> None:
    probabilities = torch.tensor([[0.8, 0.1, 0.1], [0.4, 0.2, 0.4], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    values = torch.tensor([0.0, 0.0, 1.0, 1.0])
    config = replace(TINY, clip_range=0.2, entropy_weight=0.1, value_weight=0.5)
    loss = ppo_loss(probabilities.log(), values, hand_made(), config)
    # The advantages of the three chosen steps have mean 0 and standard deviation sqrt(2/3).
    scale = math.sqrt(3 / 2)
    # Ratios 1.6, 0.8, 2: the gain of the first is cut at 1.2; at 0.8 the loss of the second is just not cut.
    policy = -(1.2 * scale - 0.8 * scale + 0.0) / 3
    value = (1 + 0 + 1 + 4) / 4
    entropy = -sum(p * math.log(p) for p in (0.8, 0.1, 0.1, 0.4, 0.2, 0.4, 0.2, 0.3, 0.5)) / 3
    kl = sum(r - 1 - math.log(r) for r in (1.6, 0.8, 2.0)) / 3
    expected = (policy + 0.5 * value - 0.1 * entropy, policy, value, entropy, kl)
    assert_close(torch.stack(loss[:5]), torch.tensor(expected), atol=1e-6, rtol=1e-5)


def test_a_ratio_that_ran_away_stops_counting() -> None:
    """At advantage -1 the published loss grows with the ratio for ever; here only up to 3."""
    batch = hand_made()._replace(
        log_probs=torch.tensor([0.5, 0.1, 0.5, 0.5]).log(), advantages=torch.tensor([1.0, -1.0, 0.0, 50.0])
    )
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5], [0.1, 0.5, 0.4]]).log()
    logits.requires_grad_()
    loss = ppo_loss(logits, torch.zeros(4), batch, replace(TINY, entropy_weight=0.0))
    assert_close(loss.policy_loss, torch.tensor(-(1.0 - 3.0) * math.sqrt(3 / 2) / 3))
    torch.autograd.backward(loss.loss)
    assert logits.grad is not None
    assert logits.grad[1].abs().sum() == 0


def test_steps_that_the_policy_did_not_choose_move_only_the_value() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    values = torch.zeros(4, requires_grad=True)
    torch.autograd.backward(ppo_loss(logits, values, hand_made(), TINY).loss)
    assert logits.grad is not None
    assert values.grad is not None
    assert logits.grad[3].abs().sum() == 0
    assert (logits.grad[:3].abs().sum(1) > 0).all()
    assert (values.grad[[0, 2, 3]] != 0).all()


def test_half_of_a_batch_is_mirrored_with_right_and_left_exchanged() -> None:
    batch = hand_made()._replace(actions=torch.tensor([RIGHT, LEFT, LEFT, RIGHT]))
    seen = half_mirrored(batch)
    assert torch.equal(seen.observations[:2], mirror(batch.observations[:2]))
    assert torch.equal(seen.observations[2:], batch.observations[2:])
    assert seen.actions.tolist() == [LEFT, RIGHT, LEFT, RIGHT]
    assert half_mirrored(batch._replace(actions=torch.full((4,), NOOP))).actions.tolist() == [NOOP] * 4


def make_learner(seed: int = 0, config: Config = TINY) -> BreakoutPPO:
    torch.manual_seed(seed)
    return BreakoutPPO(make_env(config, seed), config, np.random.default_rng(seed))


def test_the_rollout_holds_what_stable_baselines3_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner(config=replace(TINY, rollout_steps=32))
    actor = learner.twin()
    seen, step = [actor.games.observation], actor.games.step_wait
    monkeypatch.setattr(actor.games, "step_wait", lambda: (result := step(), seen.append(result[0]))[0])
    actor.gather()
    buffer, env = actor.rollout_buffer, actor.games
    batch = buffer.batch()
    assert torch.equal(batch.observations, torch.from_numpy(np.concatenate(seen[:-1])))
    assert torch.equal(batch.returns, torch.from_numpy(buffer.returns.ravel()))
    chosen = batch.chosen.reshape(-1, env.num_envs)
    assert chosen[-1].tolist() == (~env.served).tolist()
    assert not chosen.all(), "a life was lost within 32 steps, so a ball had to be served"
    taken = batch.take(torch.tensor([5, 2]))
    assert torch.equal(taken.observations, batch.observations[[5, 2]])
    assert torch.equal(taken.actions, batch.actions[[5, 2]])


def test_acting_and_updating_at_once_is_repeatable() -> None:
    weights = []
    for _ in range(2):
        learner = make_learner()
        assert list(overlapped(learner, 0, 4)) == [1, 2, 3, 4]
        weights.append(torch.cat([weight.flatten() for weight in learner.policy.state_dict().values()]))
    assert torch.equal(*weights)


def test_what_a_gpu_kept_goes_on_on_a_cpu() -> None:
    learner = make_learner()
    list(overlapped(learner, 0, 2))
    state = learner.state()
    state["optimizer"]["param_groups"][0] |= {"capturable": True, "lr": torch.tensor(1e-3)}
    state["gathering"]["torch"] = torch.zeros(16, dtype=torch.uint8)
    again = make_learner()
    again.restore(state)
    assert list(overlapped(again, 2, 4)) == [3, 4]
    assert np.isfinite(again.health["loss"])


def test_the_agent_plays_under_stable_baselines3s_own_wrappers() -> None:
    gym.register_envs(ale_py)

    def make() -> gym.Env[np.ndarray, int]:
        game = gym.make("BreakoutNoFrameskip-v4", max_episode_steps=400)
        return AtariWrapper(Monitor(game), terminal_on_life_loss=False, clip_reward=False)

    agent = make_learner().agent()
    scores, _ = evaluate_policy(agent, VecFrameStack(DummyVecEnv([make]), 4), 2, return_episode_rewards=True)
    assert len(scores) == 2


@pytest.mark.parametrize(
    ("field", "value", "flag"),
    [
        ("validation_games", 0, "--validation-games"),
        ("steps", 0, "--steps"),
        ("gamma", 1.5, "--gamma"),
        ("entropy_weight", -1.0, "--entropy-weight"),
        ("minibatch", 10**6, "--minibatch"),
    ],
)
def test_nonsense_is_refused_by_name(field: str, value: float, flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        replace(TINY, **{field: value})
