"""What the feature vector is trained for: one interface, two objectives (`predict`, `contrast`).

Both see the same: pairs of moments, one step apart. They are added while the keypoints are trained again, not before:
from the first step on the same losses kept the keypoints from finding the ball.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

SECONDS = 32  # steps, two seconds of play: the stretch that pairs of one row come from


class Objective(nn.Module, ABC):
    """A loss on the feature vector."""

    together = 1  # pairs from one stretch of play (M)

    @abstractmethod
    def forward(self, now: Tensor, after: Tensor, actions: Tensor, readings: Tensor) -> Tensor:
        """Loss of S stretches with M pairs each.

        Args:
            now, after: features `(S, M, D)` of a moment and of the next.
            actions: `(S, M, 3)`, one-hot, taken in between.
            readings: `(S, M, 2, R, 3)`, what the slots of self and world read of both before (pixels, confidence).
        """
