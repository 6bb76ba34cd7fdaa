"""The parallelised Q-network (PQN; Gallici et al. 2024, "Simplifying Deep Temporal Difference Learning").

arXiv:2407.04811. Q-learning without a replay buffer and without a target network: many games are played at once,
epsilon-greedily; their last steps are learnt from a few times and forgotten; Q(lambda) returns and layer normalisation
keep that stable.

What differs from the paper, beside what `train.py` names:

1. The feature vector alone is normalised, before its ReLU, in the head: the encoder is the shared one, and has none.
2. The learning rate, 7e-4, falls linearly to zero; the quick profile's score rises to the end.
3. Adam instead of RAdam, and orthogonal weights at the start, both as in PPO here: RAdam warms up over thousands of
   gradient steps, and the quick profile has few more in all. With it, PQN had learnt nothing after 600 of them.
4. Where FIRE was pressed instead of the chosen action, that action's value is learnt all the same: there, all actions
   do the same.
5. lambda 0.9 instead of 0.65: points are rare, and their news travels faster: 3.8 points against 2.1 after 37,000 steps
   of the quick profile (one run each).
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional

from agents.agent import Agent
from agents.encoder import Encoder, Width
from agents.values import ValueHead
from envs.breakout import LEARNT_ACTIONS
from paradigms.reinforcement.config import Config
from paradigms.reinforcement.learner import EncoderPolicy, Learner, order_weights
from paradigms.reinforcement.rollout import Batch

FIRST_VALUES = 0.01  # gain of the last layer at the start: nothing is worth anything yet


class QLoss(NamedTuple):
    """Scalars."""

    loss: Tensor  # squared error of the chosen actions' values, halved, per squared clipped point
    value: Tensor  # mean value of the chosen actions


class BreakoutPQN(Learner):
    """Parallelised Q-network; see the module's text and `Learner`.

    The rollout's advantage estimates with max Q for the value give its Q(lambda) returns (the paper's equation 7):
    R_t = r_t + gamma [lambda R_(t+1) + (1 - lambda) max_a Q(s_(t+1), a)].
    """

    names = QLoss._fields
    policy: QPolicy

    def __init__(
        self, env: VecEnv, config: Config, generator: np.random.Generator, device: torch.device | str = "cpu"
    ) -> None:
        settings = {"width": config.encoder, "last_epsilon": config.epsilon}
        super().__init__(QPolicy, env, config, generator, device, settings)

    def train(self) -> None:
        done = 1 - self._current_progress_remaining
        self.policy.epsilon.fill_(max(self.config.epsilon, 1 - done / self.config.exploration))
        super().train()
        self.health["epsilon"] = float(self.policy.epsilon)

    def losses(self, batch: Batch) -> QLoss:
        values = self.policy.values(batch.observations).gather(1, batch.actions[:, None]).squeeze(1)
        return QLoss(functional.mse_loss(values, batch.returns) / 2, values.mean())

    def agent(self) -> Agent:
        """Return the network as an agent."""
        return Agent(
            copy.deepcopy(self.policy.encoder), copy.deepcopy(self.policy.head), "reinforcement", device=self.device
        )


class QPolicy(EncoderPolicy):
    """Epsilon-greedy by the values of the three actions, in the form that stable-baselines3's rollouts ask for.

    Attributes:
        epsilon: `()`, how often any action is taken; a buffer, so that it goes where the weights go.
    """

    epsilon: Tensor

    def __init__(
        self,
        observation_space: gym.spaces.Space[Any],
        action_space: gym.spaces.Space[Any],
        lr_schedule: Any,
        use_sde: bool,
        *,
        width: Width,
        last_epsilon: float,
    ) -> None:
        assert isinstance(observation_space, gym.spaces.Box)
        assert not use_sde
        super().__init__(observation_space, action_space)
        self.encoder = Encoder(width)
        self.head = ValueHead(self.encoder.features_dim, last_epsilon, mirrored=True)
        self.register_buffer("epsilon", torch.ones(()))
        self._initialise()
        self.optimizer = torch.optim.Adam(self.parameters(), lr_schedule(1), eps=1e-5, fused=True)

    def _initialise(self) -> None:
        """As stable-baselines3 does it for PPO: PyTorch's own start lets the biases drown a ball of five pixels."""
        order_weights(self, torch.contiguous_format)
        for layer in (*self.encoder.convolutions, self.encoder.linear):
            ActorCriticPolicy.init_weights(layer, math.sqrt(2))
        ActorCriticPolicy.init_weights(self.head.linear, FIRST_VALUES)

    def values(self, observations: Tensor) -> Tensor:
        """`(B, 4, 84, 84)` uint8 -> `(B, 3)`."""
        values: Tensor = self.head(self.encode(observations))
        return values

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(N, 4, 84, 84)` uint8 -> actions, values of the best actions, and zeros for log-probabilities, `(N,)`."""
        highest, best = self.values(observations).max(dim=1)
        anything = torch.randint_like(best, len(LEARNT_ACTIONS))
        actions = torch.where(torch.rand_like(highest) < self.epsilon, anything, best)
        return actions, highest, torch.zeros_like(highest)

    def predict_values(self, observations: Tensor) -> Tensor:
        """`(N, 4, 84, 84)` uint8 -> values of the best actions `(N,)`."""
        return self.values(observations).amax(dim=1)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self.forward(observation)[0]
