"""Steps to learn from, and the loss on them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor
from torch.nn import functional

from agents.encoder import mirror
from agents.heads import MIRRORED_ORDER
from envs.breakout import SIDE, STACK, ball_must_be_served
from paradigms.reinforcement.config import Config

RATIO_LIMIT = 3.0  # where the advantage is negative the clip range sets no limit (Ye et al. 2020, equation 7, have 3)


class Batch(NamedTuple):
    """Steps to learn from, in no order."""

    observations: Tensor  # (B, 4, 84, 84) uint8
    actions: Tensor  # (B,) int64, places in LEARNT_ACTIONS
    log_probs: Tensor  # (B,) of the action, under the policy that took it
    advantages: Tensor  # (B,)
    returns: Tensor  # (B,)
    chosen: Tensor  # (B,) bool, False where FIRE was pressed instead

    def take(self, index: Tensor) -> Batch:
        """Return the steps at `index` `(b,)`."""
        # Picking whole rows in the order of memory is 15 times faster than `self.observations[index]`.
        pictures = self.observations.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
        return Batch(pictures, *(column[index] for column in self[1:]))


class Rollout(RolloutBuffer):
    """stable-baselines3's rollout buffer, but its pictures lie on the learner's device, channels last."""

    def reset(self) -> None:
        super().reset()  # makes new arrays, whose pages cost nothing until touched
        self.observations = np.zeros((self.buffer_size, 0), np.uint8)  # they are in `pictures` instead
        if not hasattr(self, "pictures"):
            shape = (self.buffer_size, self.n_envs, SIDE, SIDE, STACK)
            self.pictures = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        self.served = np.zeros((self.buffer_size, self.n_envs), np.bool_)

    def add(self, obs: npt.NDArray[np.uint8], *rest: Any) -> None:
        self.served[self.pos] = ball_must_be_served(obs)
        self.pictures[self.pos].permute(0, 3, 1, 2).copy_(torch.from_numpy(obs))
        super().add(self.observations[self.pos], *rest)

    def batch(self) -> Batch:
        """Return all steps, on the device; where that is the CPU, they share memory with this buffer."""
        columns = (self.actions[..., 0], self.log_probs, self.advantages, self.returns, ~self.served)
        pictures = self.pictures.flatten(0, 1).permute(0, 3, 1, 2)
        return Batch(pictures, *(torch.from_numpy(column).to(self.device).flatten() for column in columns))


def half_mirrored(batch: Batch) -> Batch:
    """Flip the first half of a shuffled batch, RIGHT and LEFT exchanged."""
    half = len(batch.actions) // 2
    order = _mirrored_order(batch.actions.device)
    observations = torch.cat([mirror(batch.observations[:half]), batch.observations[half:]])
    actions = torch.cat([order[batch.actions[:half]], batch.actions[half:]])
    return batch._replace(observations=observations, actions=actions)


@lru_cache
def _mirrored_order(device: torch.device) -> Tensor:
    return torch.tensor(MIRRORED_ORDER, device=device)


class Loss(NamedTuple):
    """Scalars."""

    loss: Tensor
    policy_loss: Tensor
    value_loss: Tensor
    entropy: Tensor  # nats
    kl: Tensor  # estimate from the ratios, http://joschu.net/blog/kl-approx.html
    clipped: Tensor  # share of the steps whose ratio lies outside the clip range


def ppo_loss(logits: Tensor, values: Tensor, batch: Batch, config: Config) -> Loss:
    """Clipped surrogate objective, value error and entropy bonus (Schulman et al. 2017, equations 7 and 9).

    Steps that the policy did not choose count in the value error only. Advantages are normalised over the rest.

    Args:
        logits: `(B, 3)`.
        values: `(B,)`.
        batch: B steps.
        config: its `clip_range`, `value_weight` and `entropy_weight` are epsilon, c1 and c2 of the paper.
    """

    def mean(x: Tensor) -> Tensor:
        return (x * batch.chosen).sum() / batch.chosen.sum().clamp(min=1)

    centred = batch.advantages - mean(batch.advantages)
    advantages = centred / (mean(centred.square()).sqrt() + 1e-8)
    log_probs = functional.log_softmax(logits, dim=1)
    log_ratio = log_probs.gather(1, batch.actions[:, None]).squeeze(1) - batch.log_probs
    ratio = log_ratio.exp()
    epsilon = config.clip_range
    surrogate = torch.min(advantages * ratio, advantages * ratio.clamp(1 - epsilon, 1 + epsilon))
    surrogate = torch.where(advantages < 0, torch.max(surrogate, RATIO_LIMIT * advantages), surrogate)
    policy, value = -mean(surrogate), functional.mse_loss(values, batch.returns)
    entropy = mean(-(log_probs.exp() * log_probs).sum(1))
    total = policy + config.value_weight * value - config.entropy_weight * entropy
    kl, clipped = mean(ratio - 1 - log_ratio), mean(((ratio - 1).abs() > epsilon).float())
    return Loss(total, policy, value, entropy, kl, clipped)
