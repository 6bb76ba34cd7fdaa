"""Principal components of the pixels, in the place of keypoints: a control for what the planner owes to its eyes.

Nothing is learnt but the directions in which pictures differ most (Pearson 1901, "On lines and planes of closest
fit"). Each slot is a pair of components, stretched to the picture's side; a slot is always seen.
"""

from __future__ import annotations

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from agents.encoder import Encoder, Width
from envs.breakout import SIDE, Bytes


class PrincipalComponents(nn.Module):
    """Reads the latest picture of an observation as pairs of its principal components.

    Args:
        width: of the encoder beside it, which it does not use.
        slots: pairs of components.
    """

    kind = "components"

    def __init__(self, width: Width, slots: int) -> None:
        super().__init__()
        self.width, self.slots = width, slots
        self.register_buffer("mean", torch.zeros(SIDE * SIDE))
        self.register_buffer("directions", torch.zeros(2 * slots, SIDE * SIDE))
        self.register_buffer("low", torch.zeros(2 * slots))
        self.register_buffer("span", torch.ones(2 * slots))

    def fit(self, pictures: Bytes) -> None:
        """Find the components of pictures `(M, 84, 84)`; 98 in 100 of them are to lie within the picture's sides."""
        pixels = pictures.reshape(len(pictures), -1).astype("float32") / 255
        components = PCA(2 * self.slots, svd_solver="randomized", random_state=0).fit(pixels)
        self.get_buffer("mean").copy_(torch.from_numpy(components.mean_))
        self.get_buffer("directions").copy_(torch.from_numpy(components.components_))
        found = torch.from_numpy(components.transform(pixels))
        low, high = found.quantile(0.01, dim=0), found.quantile(0.99, dim=0)
        self.get_buffer("low").copy_(low)
        self.get_buffer("span").copy_((high - low).clamp(min=1e-6))

    def look(self, encoder: Encoder, observation: Tensor) -> Tensor:
        """Observations (B, 4, 84, 84) -> readings (B, K, 3): two components as pixels, and a confidence of one."""
        pixels = observation[:, -1].flatten(1).float() / 255
        found = (pixels - self.get_buffer("mean")) @ self.get_buffer("directions").T
        place = (found - self.get_buffer("low")) / self.get_buffer("span") * (SIDE - 1)
        place = place.clamp(0, SIDE - 1).view(-1, self.slots, 2)
        return torch.cat([place, torch.ones_like(place[..., :1])], dim=-1)
