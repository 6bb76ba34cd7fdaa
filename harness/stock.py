"""Stock reinforcement learning, for ours to be measured against: stable-baselines3's PPO as it comes.

Its network, and Gymnasium's game under its wrappers.
"""

from __future__ import annotations

import ale_py
import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

from paradigms.reinforcement import Config
from paradigms.reinforcement.learner import RECENT_GAMES

ZOO = Config(  # of RL Baselines3 Zoo, for Atari
    algorithm="ppo",
    encoder="nature",
    steps=10_000_000,
    games=8,
    rollout_steps=128,
    epochs=4,
    minibatch=256,
    learning_rate=2.5e-4,
    gamma=0.99,
    gae_lambda=0.95,
    clip_range=0.1,
    entropy_weight=0.01,
    value_weight=0.5,
    gradient_norm=0.5,
)


def stock_env(games: int, seed: int, kind: type[DummyVecEnv | SubprocVecEnv] = DummyVecEnv, **settings: str) -> VecEnv:
    """Return Gymnasium's Breakout under stable-baselines3's wrappers, `games` times."""
    gym.register_envs(ale_py)
    made = make_atari_env("BreakoutNoFrameskip-v4", games, seed=seed, vec_env_cls=kind, vec_env_kwargs=dict(settings))
    return VecFrameStack(made, 4)


def stock_ppo(learning: Config, env: VecEnv, seed: int, device: torch.device | str = "cpu") -> PPO:
    """Return stable-baselines3's PPO with these hyperparameters; step size and clip range fall linearly to zero."""
    return PPO(
        "CnnPolicy",
        env,
        learning_rate=lambda left: left * learning.learning_rate,
        n_steps=learning.rollout_steps,
        batch_size=learning.minibatch,
        n_epochs=learning.epochs,
        gamma=learning.gamma,
        gae_lambda=learning.gae_lambda,
        clip_range=lambda left: left * learning.clip_range,
        ent_coef=learning.entropy_weight,
        vf_coef=learning.value_weight,
        max_grad_norm=learning.gradient_norm,
        stats_window_size=RECENT_GAMES,
        seed=seed,
        device=device,
    )
