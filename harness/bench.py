"""What this machine can do, measured in one run: speeds differ threefold between machines, ratios travel.

Four questions: what our adapter costs over the bare native environment; how fast the Nature network trains here (the
yardstick for the README's minutes); whether imitation ever waits for its data; and how much faster our PPO is than
stable-baselines3's own, and how near to what its parts allow (`bench_reinforcement.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from rich.console import Console
from stable_baselines3.common.torch_layers import NatureCNN

from agents.encoder import Encoder
from agents.files import UserError
from agents.run import Run, require_positive
from envs.breakout import ALL_ACTIONS, CLASSIC, OBSERVATION_SHAPE, cores
from envs.vector import BreakoutVecEnv
from harness.bench_reinforcement import learning_like, parts_table, ppo_parts, ppo_speeds
from harness.speeds import Speed, seconds, table
from paradigms import supervised
from paradigms.supervised.gather import Field
from paradigms.supervised.labelled import Pool
from paradigms.supervised.train import Learner

YARDSTICK = 1_600.0  # samples/s of the Nature network (float32, contiguous) on the machine of the README's minutes
BATCH = 256  # samples in a gradient step of the network alone


@dataclass(frozen=True)
class Config:
    """How long to measure; the defaults take about two minutes on 2 cores."""

    games: int = 16
    """Games side by side."""
    environment_steps: int = 1_500
    """Steps of each game, for the environment."""
    gradient_steps: int = 20
    """Gradient steps, for the network alone."""
    rollout_steps: int = 64
    """Steps of each game in a rollout of PPO."""
    rollouts: int = 10
    """Rollouts gathered and learnt from, for our PPO."""
    stock_rollouts: int = 4
    """The same for stable-baselines3's."""

    def __post_init__(self) -> None:
        require_positive(self, "games", "environment_steps", "gradient_steps")
        require_positive(self, "rollout_steps", "rollouts", "stock_rollouts")
        if self.games * self.rollout_steps < 2:
            raise UserError("--rollout-steps 1 needs at least 2 --games to learn from")


def bench(config: Config | None = None) -> None:
    """Measure and print five tables."""
    config = config or Config()
    console = Console()
    console.print(f"{cores()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads")
    console.print(table("Environment", "steps/s", environment_speeds(config)))
    console.print(table(f"Nature network, training, batch {BATCH}", "samples/s", network_speeds(config)))
    console.print(f"this machine: {yardstick(config)}\n")
    console.print(table("Imitation, small network", "samples/s", imitator_speeds(config)))
    learning = learning_like(config.games, config.rollout_steps)
    speeds = ppo_speeds(learning, config.rollouts, config.stock_rollouts)
    console.print(table("PPO, equal hyperparameters, Nature network", "steps/s", speeds))
    console.print(parts_table(learning, ppo_parts(learning), speeds[-1]))


@lru_cache(maxsize=1)
def yardstick(config: Config | None = None) -> str:
    """Say how fast this machine trains the Nature network, and how that compares with the README's; measured once."""
    rate = network_speeds(config or Config(gradient_steps=8))[0].per_second
    return (
        f"{rate:,.0f} training samples/s of the Nature network, {rate / YARDSTICK:.2f} x the README's {YARDSTICK:,.0f}"
    )


def environment_speeds(config: Config) -> list[Speed]:
    """Time the bare `AtariVectorEnv` and our adapter over it with the same random actions, in turns."""
    bare = AtariVectorEnv(
        "breakout", config.games, num_threads=cores(), reward_clipping=False, autoreset_mode=AutoresetMode.SAME_STEP
    )
    ours = BreakoutVecEnv(config.games, 0, CLASSIC, threads=cores())
    bare.reset(seed=0)
    ours.reset()
    actions = np.random.default_rng(0).integers(len(ALL_ACTIONS), size=(config.environment_steps, config.games))
    spent = {bare.step: 0.0, ours.step: 0.0}
    for burst in np.array_split(actions, 10):
        for step in spent:
            spent[step] += seconds(step, burst)
    rates = [actions.size / time_taken for time_taken in spent.values()]
    bare.close()
    ours.close()
    return [Speed(what, rate) for what, rate in zip(("bare AtariVectorEnv", "BreakoutVecEnv"), rates, strict=True)]


def network_speeds(config: Config) -> list[Speed]:
    """Time forward, backward and Adam: stable-baselines3's Nature network, then the encoder of that width."""
    space = gym.spaces.Box(0, 255, OBSERVATION_SHAPE, np.uint8)
    plain, encoder = NatureCNN(space), Encoder("nature")

    def stock(batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = plain(batch / 255)
        return features

    def ours(batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = encoder(batch).features
        return features

    return [
        Speed("float32, contiguous", _trained_per_second(plain, stock, torch.float32, config)),
        Speed("float32, channels last", _trained_per_second(encoder, ours, torch.float32, config)),
        Speed("bfloat16, channels last", _trained_per_second(encoder, ours, torch.bfloat16, config)),
    ]


def imitator_speeds(config: Config) -> list[Speed]:
    """Time a bare loop of forward, backward and Adam on one batch, and the supervised arm's own steps, in turns."""
    learning = supervised.Config()
    learner = Learner(learning, Run(Path(), "supervised", learning, 0, torch.device("cpu")))
    states, _, _ = Field(learning.games, np.random.SeedSequence(0)).gather(None, 1_000)
    pool = Pool(len(states.pictures), learning.near_share, learner.device)
    pool.add(states)
    batch = pool.draw(learning.batch, learner.generator)

    def bare(number: int) -> None:
        _, _, (classification, regression) = learner.losses(learner.modules, batch)
        learner.optimizer.zero_grad()
        torch.autograd.backward(classification + learning.reading_weight * regression)
        learner.optimizer.step()

    def ours(number: int) -> None:
        drawn = pool.draw(learning.batch, learner.generator)
        learner.step(drawn.mirrored() if number % 2 else drawn)

    spent = {bare: 0.0, ours: 0.0}
    for burst in np.array_split(np.arange(10 * config.gradient_steps), 10):
        for step in spent:
            spent[step] += seconds(step, burst.tolist())
    samples = 10 * config.gradient_steps * learning.batch
    names = ("forward, backward, Adam on one batch", "the supervised arm, drawing its batches")
    return [Speed(name, samples / spent[step]) for name, step in zip(names, spent, strict=True)]


def _trained_per_second(
    network: torch.nn.Module, features: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype, config: Config
) -> float:
    batch = torch.randint(0, 256, (BATCH, *OBSERVATION_SHAPE), dtype=torch.uint8)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)

    def step(batch: torch.Tensor) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
            loss = features(batch).float().square().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    seconds(step, [batch] * 2)
    return BATCH * config.gradient_steps / seconds(step, [batch] * config.gradient_steps)
