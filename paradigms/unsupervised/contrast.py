"""An objective for the feature vector: knowing the action, tell which of the same two seconds' moments comes next.

This is the contrastive loss of van den Oord et al. (2018), "Representation Learning with Contrastive Predictive Coding"
(InfoNCE), with the negatives drawn from the same stretch of play and nowhere else; Anand et al. (2019), "Unsupervised
State Representation Learning in Atari", draw theirs from the same episode. Walls, digits and lives are alike in all of
a stretch, so nothing is won by telling them apart: the features must carry what moves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paradigms.unsupervised.objective import Objective

TEMPERATURE = 0.1
PROJECTION = 64  # length of the vectors that are compared


class Contrast(Objective):
    """Each moment, projected with its action, must be most like the projection of the moment that followed it.

    Args:
        features_dim: of the feature vector.
    """

    together, seen = 4, 2

    def __init__(self, features_dim: int) -> None:
        super().__init__()
        self.ahead = nn.Linear(features_dim + 3, PROJECTION)
        self.there = nn.Linear(features_dim, PROJECTION)

    def forward(self, features: Tensor, actions: Tensor, readings: Tensor) -> Tensor:
        """See `Objective.forward`; needs no readings."""
        now, after = features.unbind(2)
        guess = _direction(self.ahead(torch.cat([now, actions], dim=2)))  # (S, M, 64)
        moments = _direction(self.there(after))
        return info_nce(guess @ moments.transpose(1, 2) / TEMPERATURE)


def _direction(projected: Tensor) -> Tensor:
    """Take off what is alike in all of a stretch `(S, M, 64)`, beside which the rest is nothing; then unit length."""
    return nn.functional.normalize(projected - projected.mean(dim=1, keepdim=True), dim=2)


def info_nce(likeness: Tensor) -> Tensor:
    """Cross entropy of the diagonal: `(S, M, M)`, guess by moment -> a number; log M for one who knows nothing."""
    stretches, moments = likeness.shape[:2]
    right = torch.arange(moments, device=likeness.device).repeat(stretches)
    return nn.functional.cross_entropy(likeness.flatten(0, 1), right)
