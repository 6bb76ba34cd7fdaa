"""What this machine can do, measured in one run: speeds differ threefold between machines, ratios travel.

Four questions: what our adapter costs over the bare native environment; how fast the Nature network trains here (the
yardstick for the README's minutes); whether imitation ever waits for its data; and how much faster our PPO is than stable-baselines3's own at equal
hyperparameters and with the same network, each in the environment that it comes with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import ale_py
import gymnasium as gym
import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.vec_env import VecFrameStack

from agents.encoder import Encoder
from agents.run import Run, require_positive
from envs.breakout import ALL_ACTIONS, CLASSIC, OBSERVATION_SHAPE, BreakoutVecEnv
from paradigms import reinforcement, supervised
from paradigms.reinforcement.overlap import cores, half_of_the_threads, overlapped
from paradigms.reinforcement.ppo import BreakoutPPO, EncoderFeatures
from paradigms.reinforcement.train import make_env
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
    rollouts: int = 20
    """Rollouts of games x 64 steps gathered and learnt from, for our PPO."""
    stock_rollouts: int = 10
    """The same for stable-baselines3's."""

    def __post_init__(self) -> None:
        require_positive(self, "games", "environment_steps", "gradient_steps", "rollouts", "stock_rollouts")


@dataclass(frozen=True)
class Speed:
    """One measurement."""

    what: str
    per_second: float


def bench(config: Config | None = None) -> None:
    """Measure and print four tables."""
    config = config or Config()
    console = Console()
    console.print(f"{cores()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads")
    console.print(table("Environment", "steps/s", environment_speeds(config)))
    console.print(table(f"Nature network, training, batch {BATCH}", "samples/s", network_speeds(config)))
    console.print(f"this machine: {yardstick(config)}\n")
    console.print(table("Imitation, small network", "samples/s", imitator_speeds(config)))
    console.print(table("PPO, equal hyperparameters, small network", "steps/s", ppo_speeds(config)))


@lru_cache(maxsize=1)
def yardstick(config: Config | None = None) -> str:
    """Say how fast this machine trains the Nature network, and how that compares with the README's; measured once."""
    rate = network_speeds(config or Config(gradient_steps=8))[0].per_second
    return (
        f"{rate:,.0f} training samples/s of the Nature network, {rate / YARDSTICK:.2f} x the README's {YARDSTICK:,.0f}"
    )


def table(title: str, unit: str, speeds: Sequence[Speed]) -> Table:
    """Lay out speeds, each with its ratio to the first."""
    result = Table(title=title, title_justify="left", min_width=72)
    for heading in ("", unit, "ratio"):
        result.add_column(heading, justify="right" if heading else "left")
    for speed in speeds:
        result.add_row(speed.what, f"{speed.per_second:,.0f}", f"{speed.per_second / speeds[0].per_second:.2f}")
    return result


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


def ppo_speeds(config: Config) -> list[Speed]:
    """Time gathering and learning together, stable-baselines3's PPO and ours."""
    learning = reinforcement.Config(games=config.games)
    return [
        Speed("stable-baselines3, its wrappers, DummyVecEnv", _stock_ppo(learning, config.stock_rollouts)),
        Speed("ours", _our_ppo(learning, config.rollouts)),
    ]


def _stock_ppo(learning: reinforcement.Config, rollouts: int) -> float:
    gym.register_envs(ale_py)
    env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", learning.games, seed=0), 4)
    learner = PPO(
        "CnnPolicy",
        env,
        n_steps=learning.rollout_steps,
        batch_size=learning.minibatch,
        n_epochs=learning.epochs,
        policy_kwargs={
            "features_extractor_class": EncoderFeatures,
            "features_extractor_kwargs": {"width": learning.encoder},
            "normalize_images": False,
        },
        device="cpu",
    )
    learner.learn(learning.rollout)  # not timed
    start = time.perf_counter()
    learner.learn(rollouts * learning.rollout, reset_num_timesteps=False)
    rate = rollouts * learning.rollout / (time.perf_counter() - start)
    env.close()
    return rate


def _our_ppo(learning: reinforcement.Config, rollouts: int) -> float:
    with closing(make_env(learning, 0)) as env, half_of_the_threads():
        learner = BreakoutPPO(env, learning, np.random.default_rng(0))
        # The first update is not timed; the last has nothing to gather beside it, so one more than that is asked for.
        with closing(overlapped(learner, 0, rollouts + 2)) as updates:
            next(updates)
            start = time.perf_counter()
            for _ in range(rollouts):
                next(updates)
            return rollouts * learning.rollout / (time.perf_counter() - start)


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


def seconds(step: Callable[..., object], arguments: Iterable[object]) -> float:
    """Return how long it takes to call `step` with each argument in turn."""
    start = time.perf_counter()
    for argument in arguments:
        step(argument)
    return time.perf_counter() - start
