"""stable-baselines3's PPO on the shared encoder, with an update of its own."""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.agent import Agent
from agents.encoder import Encoder, Width, fastest_precision
from agents.files import Tree
from agents.heads import ActionHead
from envs.breakout import BreakoutVecEnv
from paradigms.reinforcement.config import Config
from paradigms.reinforcement.rollout import Rollout, half_mirrored, ppo_loss

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RECENT_GAMES = 30  # the logged score is the mean over the last so many training games


class BreakoutPPO(PPO):
    """stable-baselines3's PPO with another update: mirrored, masked where FIRE was forced, in mixed precision.

    Args:
        env: what it learns in.
        config: every number.
        generator: shuffles the minibatches.
        device: where the network is.

    Attributes:
        health: figures of the last update: loss, entropy, value_loss, kl, clipped, explained_variance.
        gathering: the moment at which the gathering of the next rollout began, in its twin.
    """

    policy: EncoderPolicy
    rollout_buffer: Rollout
    _callback: BaseCallback  # of a twin; SB3 wants one

    def __init__(
        self, env: VecEnv, config: Config, generator: np.random.Generator, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(
            EncoderPolicy,
            env,
            learning_rate=lambda remaining: config.learning_rate * remaining,
            n_steps=config.rollout_steps,
            batch_size=config.minibatch,
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.entropy_weight,
            vf_coef=config.value_weight,
            max_grad_norm=config.gradient_norm,
            rollout_buffer_class=Rollout,
            policy_kwargs={
                "features_extractor_class": EncoderFeatures,
                "features_extractor_kwargs": {"width": config.encoder},
                "net_arch": [],
                "normalize_images": False,  # the encoder scales bytes
                "optimizer_kwargs": {"eps": 1e-5, "fused": True},
            },
            device=device,
        )
        _order_weights(self.policy, torch.channels_last)  # only now: SB3's orthogonal initialisation fails on it
        self.policy.precision = PRECISIONS.get(config.precision) or fastest_precision(
            self.policy.encoder, self.device, config.minibatch
        )
        self.set_logger(Logger(None, []))  # `health` says what SB3 would
        self.config, self.generator = config, generator
        self.health: dict[str, float] = {}
        self.gathering: Tree | None = None
        self.ep_info_buffer, self.ep_success_buffer = deque(maxlen=RECENT_GAMES), deque(maxlen=RECENT_GAMES)

    def train(self) -> None:
        """Make `n_epochs` passes over the rollout buffer; leave the figures in `health`."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        rollout = self.rollout_buffer.batch(self.device)
        losses = []
        for _ in range(self.n_epochs):
            order = torch.from_numpy(self.generator.permutation(len(rollout.actions))).to(self.device)
            for index in torch.split(order, self.batch_size):
                batch = half_mirrored(rollout.take(index))
                logits, values = self.policy.logits_and_values(batch.observations)
                loss = ppo_loss(logits, values, batch, self.config)
                self.policy.optimizer.zero_grad()
                torch.autograd.backward(loss.total)
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
                losses.append(torch.stack(loss).detach())
        self._n_updates += self.n_epochs
        means = torch.stack(losses).mean(0).tolist()  # one synchronisation an update
        self.health = dict(zip(("loss", "policy_loss", "value_loss", "entropy", "kl", "clipped"), means, strict=True))
        buffer = self.rollout_buffer
        self.health["explained_variance"] = float(explained_variance(buffer.values.ravel(), buffer.returns.ravel()))

    @property
    def score(self) -> float:
        """Mean unclipped score of the last training games that ended; not a number before the first has."""
        scores = [game["r"] for game in self.ep_info_buffer or ()]
        return float(np.mean(scores)) if scores else math.nan

    def twin(self) -> BreakoutPPO:
        """Return a copy to act with: same games, own rollout buffer, own policy (that of `gathering`, if set)."""
        twin = copy.copy(self)
        twin.policy, twin.rollout_buffer = copy.deepcopy(self.policy), copy.deepcopy(self.rollout_buffer)
        if self.gathering is not None:
            twin.policy.load_state_dict(self.gathering["policy"])
        _, twin._callback = twin._setup_learn(0, None, reset_num_timesteps=False)  # resets games that are not on yet
        return twin

    def gather(self) -> None:
        """Fill the rollout buffer."""
        assert self.env is not None
        self.collect_rollouts(self.env, self._callback, self.rollout_buffer, self.n_steps)

    def moment(self) -> Tree:
        """Return all that decides the rollout to be gathered next: policy, random state, games."""
        return {
            "policy": {name: weight.clone() for name, weight in self.policy.state_dict().items()},
            "torch": torch.get_rng_state(),
            "games": self.games.state(),
            "starts": self._last_episode_starts,
            "scores": list(self.ep_info_buffer or ()),
        }

    @property
    def games(self) -> BreakoutVecEnv:
        """What it learns in."""
        assert isinstance(self.env, BreakoutVecEnv)
        return self.env

    def state(self) -> Tree:
        """Return what `restore` needs."""
        return {
            "bfloat16": self.policy.precision is torch.bfloat16,
            "policy": self.policy.state_dict(),
            "optimizer": self.policy.optimizer.state_dict(),
            "minibatches": self.generator.bit_generator.state,
            "gathering": self.gathering,
        }

    def restore(self, state: Tree) -> None:
        """Go back to what `state` returned: weights, precision, optimiser, random states, games.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: it is another network's, or the games cannot be rebuilt.
        """
        self.policy.precision = torch.bfloat16 if state["bfloat16"] else torch.float32
        self.policy.load_state_dict(state["policy"])
        self.policy.optimizer.load_state_dict(state["optimizer"])
        for weight, moments in self.policy.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):  # the fused Adam takes them to lie in memory as the weights do
                moments[name] = torch.empty_like(weight).copy_(moments[name])
        self.generator.bit_generator.state = state["minibatches"]
        self.gathering = began = state["gathering"]
        self.games.restore(began["games"])
        self._last_obs, self._last_episode_starts = self.games.observation, began["starts"]
        self.ep_info_buffer = deque(began["scores"], RECENT_GAMES)
        torch.set_rng_state(began["torch"])

    def agent(self) -> Agent:
        """Return the policy as an agent with the same logits; the value is left behind."""
        encoder = copy.deepcopy(self.policy.encoder)
        with torch.random.fork_rng(devices=()):  # new layers draw their first weights from what acting draws from
            head = ActionHead(encoder.features_dim)
        head.linear.load_state_dict(self.policy.action_net.state_dict())
        return Agent(encoder, head, "reinforcement", device=self.device)


class EncoderFeatures(BaseFeaturesExtractor):
    """The shared encoder behind stable-baselines3's interface: `(B, 4, 84, 84)` -> `(B, D)`, after a ReLU."""

    def __init__(self, observation_space: gym.Space[Any], width: Width) -> None:
        encoder = Encoder(width)
        _order_weights(encoder, torch.contiguous_format)
        super().__init__(observation_space, encoder.features_dim)
        self.encoder = encoder

    def forward(self, observations: Tensor) -> Tensor:
        return torch.relu(self.encoder(observations).features)


class EncoderPolicy(ActorCriticPolicy):
    """stable-baselines3's actor and critic, fed with bytes (it would make floats of them first) in mixed precision."""

    precision: torch.dtype = torch.float32

    @property
    def encoder(self) -> Encoder:
        """The shared encoder."""
        encoder = self.features_extractor.encoder
        assert isinstance(encoder, Encoder)
        return encoder

    def extract_features(self, obs: Any, features_extractor: BaseFeaturesExtractor | None = None) -> Tensor:
        """`(B, 4, 84, 84)` uint8 -> `(B, D)` float32."""
        with torch.autocast(obs.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16):
            features: Tensor = self.features_extractor(obs)
        return features.float()

    def logits_and_values(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 4, 84, 84)` uint8 -> logits `(B, 3)`, values `(B,)`."""
        features = self.extract_features(observations)
        return self.action_net(features), self.value_net(features).squeeze(1)


def _order_weights(module: torch.nn.Module, order: torch.memory_format) -> None:
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=order)
