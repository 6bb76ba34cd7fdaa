"""What the feature vector is trained for: one interface, two objectives (`predict`, `contrast`).

They are added while the keypoints are trained again, not before: from the first step on the same losses kept the
keypoints from finding the ball.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

SECONDS = 32  # steps, two seconds of play: the stretch that moments of one row come from


class Objective(nn.Module, ABC):
    """A loss on the feature vector."""

    together = 1  # moments from one stretch of play (M)
    seen = 1  # pictures of each (V): of the moment alone, or of the next one too

    @abstractmethod
    def forward(self, features: Tensor, actions: Tensor, readings: Tensor) -> Tensor:
        """Loss of S stretches with M moments each.

        Args:
            features: `(S, M, V, D)` of a moment, and of the next if that is seen.
            actions: `(S, M, 3)`, one-hot, taken in between.
            readings: `(S, M, 2, R, 3)`, what the slots of self and world read of both before (pixels, confidence).
        """
