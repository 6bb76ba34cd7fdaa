"""How fast PPO is: stable-baselines3's own beside ours, and ours beside what its parts allow.

All have the Nature network and the same hyperparameters, each in the environment that it comes with: stock has
Gymnasium's game with SB3's wrappers, in this process or in one process a game.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from multiprocessing import get_context
from unittest import mock

import numpy as np
import torch
from rich.table import Table
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from envs.breakout import cores
from harness.speeds import Speed, seconds
from harness.stock import stock_env, stock_ppo
from paradigms.reinforcement import Config
from paradigms.reinforcement.learner import Learner
from paradigms.reinforcement.overlap import overlapped
from paradigms.reinforcement.ppo import BreakoutPPO
from paradigms.reinforcement.rollout import half_mirrored
from paradigms.reinforcement.train import make_env


def learning_like(games: int, rollout_steps: int) -> Config:
    """Return PPO's hyperparameters in the quick profile, with the Nature network."""
    minibatch = min(Config.minibatch, games * rollout_steps)
    return Config(encoder="nature", games=games, rollout_steps=rollout_steps, minibatch=minibatch).by_ppo()


def ppo_speeds(learning: Config, rollouts: int, stock_rollouts: int) -> list[Speed]:
    """Time gathering and learning together: stock, in one process and in many; ours."""
    return [
        Speed("stable-baselines3, DummyVecEnv", _apart(_stock, learning, DummyVecEnv, {}, stock_rollouts)),
        Speed(
            "stable-baselines3, SubprocVecEnv",
            _apart(_stock, learning, SubprocVecEnv, {"start_method": "fork"}, stock_rollouts),
        ),
        Speed("ours", _ours(learning, rollouts)),
    ]


def _apart(measure: Callable[..., float], *arguments: object) -> float:
    """Measure in a process of its own whose threads spin while they wait: that suits stock, by a tenth."""
    with mock.patch.dict(os.environ, OMP_WAIT_POLICY="active"), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def _stock(learning: Config, kind: type[DummyVecEnv | SubprocVecEnv], settings: dict[str, str], rollouts: int) -> float:
    with closing(stock_env(learning.games, 0, kind, **settings)) as env:
        learner = stock_ppo(learning, env, 0)
        learner.learn(learning.rollout)  # not timed
        start = time.perf_counter()
        learner.learn(rollouts * learning.rollout, reset_num_timesteps=False)
        return rollouts * learning.rollout / (time.perf_counter() - start)


def _ours(learning: Config, rollouts: int) -> float:
    with closing(make_env(learning, 0)) as env:
        learner = BreakoutPPO(env, learning, np.random.default_rng(0))
        # The first update is not timed; the last has nothing to gather beside it, so one more than that is asked for.
        with closing(overlapped(learner, 0, rollouts + 2)) as updates:
            next(updates)
            return rollouts * learning.rollout / seconds(lambda _: next(updates), range(rollouts))


@dataclass(frozen=True)
class Parts:
    """Seconds of each part of our PPO for one rollout and the update on it, each part alone on half of the cores."""

    environment: float
    forward: float  # of the policy that acts
    update: float  # forward, backward and Adam
    copies: float  # into the rollout's buffer, and minibatches out of it; bookkeeping

    def limit(self, learning: Config) -> float:
        """Steps/s if there were no copies, and two halves of the cores shared the rest without ever waiting."""
        halves = min(cores(), 2)
        return halves * learning.rollout / (self.environment + self.forward + self.update)


def ppo_parts(learning: Config, repetitions: int = 3) -> Parts:
    """Measure the parts one after the other; of several repetitions the fastest counts."""
    with closing(make_env(learning, 0, threads=max(1, cores() // 2))) as env, half_of_the_threads():
        learner = BreakoutPPO(env, learning, np.random.default_rng(0))
        actor = learner.twin()
        learner.rollout_buffer = actor.rollout_buffer
        trials = [astuple(_parts_once(learner, actor)) for _ in range(repetitions + 1)]
    return Parts(*np.min(trials[1:], axis=0).tolist())


@contextmanager
def half_of_the_threads() -> Iterator[None]:
    """Compute on half of the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _parts_once(learner: Learner, actor: Learner) -> Parts:
    learning = learner.config
    actions = np.zeros((learning.rollout_steps, learning.games), np.int64)
    environment = seconds(actor.games.step, actions)
    pictures = torch.from_numpy(actor.games.observation)
    with torch.no_grad():
        forward = seconds(actor.policy, [pictures] * learning.rollout_steps)
    gathering = seconds(lambda _: actor.gather(), [None])
    learning_time = seconds(lambda _: learner.train(), [None])
    rollout = learner.rollout_buffer.batch()
    minibatches = torch.split(torch.randperm(learning.rollout), learning.minibatch) * learning.epochs
    picking = seconds(lambda index: half_mirrored(rollout.take(index)), minibatches)
    rest_of_gathering = max(gathering - environment - forward, 0.0)
    return Parts(environment, forward, learning_time - picking, picking + rest_of_gathering)


def parts_table(learning: Config, parts: Parts, ours: Speed) -> Table:
    """Lay out the parts, and how near ours comes to the limit that they set."""
    limit = parts.limit(learning)
    result = Table(title="Our PPO, each part alone on half of the cores", title_justify="left", min_width=72)
    for heading in ("", "ms a rollout", "share"):
        result.add_column(heading, justify="right" if heading else "left")
    whole = sum(astuple(parts))
    for name, spent in vars(parts).items():
        result.add_row(name, f"{1e3 * spent:,.0f}", f"{spent / whole:.0%}")
    result.caption = (
        f"environment, forward and update alone would allow {limit:,.0f} steps/s; "
        f"ours reaches {ours.per_second / limit:.0%} of that"
    )
    return result
