"""Proximal policy optimisation (PPO; Schulman et al. 2017, arXiv:1707.06347): a policy, improved along its gradient.

stable-baselines3's actor and critic, its way of collecting rollouts, its advantage estimation (GAE; Schulman et al.
2016) and its schedules, on the shared encoder.

What differs from the published Atari recipe (8 games x 128 steps, 4 epochs, minibatch 256, Adam 2.5e-4, gamma 0.99,
clip 0.1, 10M steps), beside what `train.py` names (steps are agent steps; one run each):

1. Steps on which the environment pressed FIRE teach the value but not the policy, which did not choose.
2. The probability ratio counts up to 3 where the advantage is negative (Ye et al. 2020, "dual clip"): that of a
   mirrored step begins anywhere, because the policy is not quite its own mirror image. Taking the ratio against the
   policy before the update instead, as seen in the mirror, let the entropy collapse within 60,000 steps.
3. Larger steps for a budget of minutes: 3 epochs, Adam 7e-4, clip 0.2; gamma 0.98 in the quick profile. With 16 games x
   64 steps: 9 points at 100,000 steps and 12 at 150,000, where the published numbers had 1.5 at 129,000. The learning
   rate falls linearly to zero over the budget, as published. For millions of steps gamma is 0.99.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.agent import Agent
from agents.encoder import Encoder, Width
from agents.heads import ActionHead
from paradigms.reinforcement.config import Config
from paradigms.reinforcement.learner import EncoderPolicy, Learner, order_weights
from paradigms.reinforcement.rollout import Batch, Loss, ppo_loss


class BreakoutPPO(Learner):
    """Proximal policy optimisation: mirrored, masked where FIRE was forced, in mixed precision; see `Learner`."""

    names = Loss._fields
    policy: ActorCritic

    def __init__(
        self, env: VecEnv, config: Config, generator: np.random.Generator, device: torch.device | str = "cpu"
    ) -> None:
        settings = {
            "features_extractor_class": EncoderFeatures,
            "features_extractor_kwargs": {"width": config.encoder},
            "net_arch": [],
            "normalize_images": False,  # the encoder scales bytes
            "optimizer_kwargs": {"eps": 1e-5, "fused": True},
        }
        super().__init__(ActorCritic, env, config, generator, device, settings)

    def losses(self, batch: Batch) -> Loss:
        return ppo_loss(*self.policy.logits_and_values(batch.observations), batch, self.config)

    def agent(self) -> Agent:
        """Return the policy as an agent with the same logits, averaged over the mirror; the value is left behind."""
        encoder = copy.deepcopy(self.policy.encoder)
        with torch.random.fork_rng(devices=()):  # new layers draw their first weights from what acting draws from
            head = ActionHead(encoder.features_dim, mirrored=True)
        head.linear.load_state_dict(self.policy.action_net.state_dict())
        return Agent(encoder, head, "reinforcement", device=self.device)


class EncoderFeatures(BaseFeaturesExtractor):
    """The shared encoder behind stable-baselines3's interface: `(B, 4, 84, 84)` -> `(B, D)`, after a ReLU."""

    def __init__(self, observation_space: gym.Space[Any], width: Width) -> None:
        encoder = Encoder(width)
        order_weights(encoder, torch.contiguous_format)
        super().__init__(observation_space, encoder.features_dim)
        self.encoder = encoder

    def forward(self, observations: Tensor) -> Tensor:
        return torch.relu(self.encoder(observations).features)


class ActorCritic(ActorCriticPolicy, EncoderPolicy):
    """stable-baselines3's actor and critic, fed with bytes (it would make floats of them first) in mixed precision."""

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """The shared encoder."""
        encoder = self.features_extractor.encoder
        assert isinstance(encoder, Encoder)
        return encoder

    def extract_features(self, obs: Any, features_extractor: BaseFeaturesExtractor | None = None) -> Tensor:
        """`(B, 4, 84, 84)` uint8 -> `(B, D)` float32, after the ReLU."""
        return torch.relu(self.encode(obs))

    def logits_and_values(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 4, 84, 84)` uint8 -> logits `(B, 3)`, values `(B,)`."""
        features = self.extract_features(observations)
        return self.action_net(features), self.value_net(features).squeeze(1)
