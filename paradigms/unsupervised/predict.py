"""An objective for the feature vector: tell where the keypoints are now and, knowing the action, next.

To predict one's own next observation, given the action, is an old idea of what a state is (Schmidhuber 1990, "Making
the World Differentiable"); what is predicted here are not pixels but places, as in Minderer et al. (2019),
"Unsupervised Learning of Object Structure and Dynamics from Videos". The keypoints teach and learn nothing from it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from envs.breakout import SIDE
from paradigms.unsupervised.objective import Objective

PLACE, SEEN = 5.0, 0.1  # weights of the two parts of the loss


class Prediction(Objective):
    """A linear map from features and action to the keypoints now and next.

    Args:
        features_dim: of the feature vector.
        thresholds: `(K,)` confidences from which a slot counts as seen.
    """

    thresholds: Tensor

    def __init__(self, features_dim: int, thresholds: Tensor) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        self.tell = nn.Linear(features_dim + 3, 2 * len(thresholds) * 3)

    def forward(self, now: Tensor, after: Tensor, actions: Tensor, readings: Tensor) -> Tensor:
        """See `Objective.forward`; needs no features of the next moment."""
        told = self.tell(torch.cat([now, actions], dim=2))  # (S, M, 2 K 3)
        return place_loss(told.view(readings.shape), readings, self.thresholds)


def place_loss(told: Tensor, truth: Tensor, thresholds: Tensor) -> Tensor:
    """5 x squared error of x and y (in pictures, where seen) + 0.1 x cross entropy of seen; `(..., K, 3)` both."""
    seen = (truth[..., 2] > thresholds).float()
    place = ((told[..., :2] - truth[..., :2] / SIDE).square().sum(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
    return PLACE * place + SEEN * nn.functional.binary_cross_entropy_with_logits(told[..., 2], seen)
