"""An objective for the feature vector: tell where self and world are now and, knowing the action, next.

To predict one's own next observation, given the action, is an old idea of what a state is (Schmidhuber 1990, "Making
the World Differentiable"); what is predicted here are not pixels but places, as in Minderer et al. (2019),
"Unsupervised Learning of Object Structure and Dynamics from Videos". The keypoints teach: what they read before is
the truth here. The slots that are neither self nor world see nothing that lasts, and only take attention off the two.
The next moment is foretold, not seen: a picture like the last one teaches little, and another moment takes its place.
(1,400 steps more for one quick planner: a linear map of its features told ball x, ball y and paddle x with 3.9, 4.6 and
0.9 pixels of error, and with 4.3, 4.9 and 1.1 where half of the pictures were the next ones.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from envs.breakout import SIDE
from paradigms.unsupervised.objective import Objective

SEEN = 0.02  # weight of the loss on whether a slot is seen, beside that on its place
NEAR = 2 / SIDE  # pictures: larger errors count as they are, not squared, or the few largest would be all that counts


class Prediction(Objective):
    """A linear map from features to the places now, and one from features and action to the next ones.

    Args:
        features_dim: of the feature vector.
        thresholds: `(R,)` confidences from which a slot counts as seen.
    """

    thresholds: Tensor

    def __init__(self, features_dim: int, thresholds: Tensor) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        self.tell = nn.Linear(features_dim, len(thresholds) * 3)
        self.foretell = nn.Linear(features_dim + 3, len(thresholds) * 3)

    def forward(self, features: Tensor, actions: Tensor, readings: Tensor) -> Tensor:
        """See `Objective.forward`."""
        features, (now, after) = features.squeeze(2), readings.unbind(2)
        told = self.tell(features).view(now.shape)
        foretold = self.foretell(torch.cat([features, actions], dim=2)).view(after.shape)
        return place_loss(told, now, self.thresholds) + place_loss(foretold, after, self.thresholds)


def place_loss(told: Tensor, truth: Tensor, thresholds: Tensor) -> Tensor:
    """Smooth absolute error of x and y (in pictures, where seen) + 0.02 x cross entropy of seen; `(..., R, 3)` both."""
    seen = (truth[..., 2] > thresholds).float()
    error = nn.functional.smooth_l1_loss(told[..., :2], truth[..., :2] / SIDE, reduction="none", beta=NEAR)
    place = (error.sum(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
    return place + SEEN * nn.functional.binary_cross_entropy_with_logits(told[..., 2], seen)
