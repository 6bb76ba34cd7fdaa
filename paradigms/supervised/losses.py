"""What the imitator minimises."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from agents.costs import TEMPERATURE
from paradigms.supervised.labelled import NEAR

_LEAST_WEIGHT, _PX_PER_WEIGHT = 0.15, 3.0  # a state in which all actions are alike still counts a little
_MOST_PX = 30.0  # of spread that a weight takes in: hopeless states must not drown the rest
_AIM_WEIGHTS = (1.0, 0.3, 0.3)  # of demonstrator.AIMS: the sides are aimed at only where nothing is won any more
FAR_WEIGHT = 0.2  # of states whose landing the picture hardly shows


class Losses(NamedTuple):
    """Scalars."""

    classification: Tensor
    regression: Tensor


def soft_labels(costs: Tensor) -> Tensor:
    """`(..., 3)` px -> probabilities `(..., 3)`: the cheapest action most, those nearly as cheap nearly as much."""
    return torch.softmax(-costs / TEMPERATURE, dim=-1)


def sample_weights(costs: Tensor, frames: Tensor) -> Tensor:
    """`(B, aims)`: states count by how much the choice matters, and less while the ball is far from landing."""
    spread = (costs.amax(-1) - costs.amin(-1)).clamp(max=_MOST_PX)
    near = torch.where(frames > NEAR, FAR_WEIGHT, 1.0)[:, None]
    return (_LEAST_WEIGHT + spread / _PX_PER_WEIGHT) * near * torch.tensor(_AIM_WEIGHTS, device=costs.device)


def imitation_losses(logits: Tensor, reading: Tensor, costs: Tensor, true_reading: Tensor, frames: Tensor) -> Losses:
    """Cost-sensitive cross-entropy against soft labels, and L1 of the reading.

    Args:
        logits: `(B, aims, 3)`, reading: `(B, 6)`, of the learner.
        costs: `(B, aims, 3)` px, true_reading: `(B, 6)`, frames: `(B,)`, of the demonstrator.
    """
    labels = soft_labels(costs)
    divergence = (labels * (labels.clamp_min(1e-9).log() - torch.log_softmax(logits, dim=-1))).sum(-1)  # (B, aims), KL
    error = (reading - true_reading).abs()  # (B, 6)
    # Where the ball lands can be learnt where the picture shows it; everything else is always in the picture.
    error = torch.cat([error[:, :1] * torch.where(frames > NEAR, FAR_WEIGHT, 1.0)[:, None], error[:, 1:]], dim=1)
    return Losses((sample_weights(costs, frames) * divergence).sum(1).mean(), error.mean())
