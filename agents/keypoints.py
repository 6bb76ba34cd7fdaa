"""Keypoints: what moves, found on the shared encoder's feature maps without a label.

Each slot is a heat map over the picture, and every slot has a small picture of its own. Drawing each slot's picture
where its heat is must give back what moved (`reconstruct`); a slot that does so has found a thing and knows where it
is. The bottleneck is that of Jakab et al. (2018), "Unsupervised Learning of Object Landmarks through Conditional
Image Generation", with the decoder reduced to one template a slot, so that a slot cannot but be a place.

The soft arg-max over a whole map, usual in that literature, is pulled off small things by whatever faint heat is left
elsewhere. Reading is therefore local: the strongest pixel, then the centre of mass of its neighbourhood, and the mass
found there says how sure the slot is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.encoder import Encoder, Width
from envs.breakout import SIDE

TEMPLATE = 11  # pixels: wider than the ball's trace, about as wide as the paddle
WINDOW = 3  # pixels around the strongest one that are read
_CHANNELS: dict[Width, tuple[int, int]] = {"small": (16, 32), "nature": (32, 64)}  # of the first two feature maps
_HIDDEN, _CELL = 32, 4  # the first map's stride: each of its places stands for 4 x 4 pixels


class KeypointHead(nn.Module):
    """Heat maps, and where they are hot.

    Args:
        width: of the encoder whose first two feature maps it sees.
        slots: things to look for.
    """

    kind = "keypoints"

    def __init__(self, width: Width, slots: int) -> None:
        super().__init__()
        fine, coarse = _CHANNELS[width]
        self.width, self.slots = width, slots
        self.fine = nn.Conv2d(fine, _HIDDEN, 3, padding=1)
        self.coarse = nn.Conv2d(coarse, _HIDDEN, 1)
        self.to_pixels = nn.Conv2d(_HIDDEN, slots * _CELL**2, 1)
        self.template = nn.Parameter(0.05 * torch.randn(slots, TEMPLATE, TEMPLATE))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Feature maps (B, C1, 20, 20), (B, C2, 9, 9) -> heat maps (B, K, 84, 84), each of which sums to one."""
        coarse = functional.interpolate(self.coarse(maps[1]), scale_factor=2)  # (B, 32, 18, 18)
        hidden = torch.relu(self.fine(maps[0]) + functional.pad(coarse, (1, 1, 1, 1)))  # (B, 32, 20, 20)
        logits = functional.pixel_shuffle(self.to_pixels(hidden), _CELL)  # (B, K, 80, 80)
        logits = functional.pad(logits, (2, 2, 2, 2)).float()
        heat: Tensor = logits.flatten(2).softmax(dim=-1)
        return heat.view(-1, self.slots, SIDE, SIDE)

    def look(self, encoder: Encoder, observation: Tensor) -> Tensor:
        """Observations (B, 4, 84, 84) -> readings (B, K, 3)."""
        return read(self(encoder(observation).maps)).float()

    def reconstruct(self, heat: Tensor) -> Tensor:
        """Draw each slot's template where its heat is: (B, K, 84, 84) -> (B, 84, 84).

        A correlation with an 11 x 11 kernel, by way of Fourier: on a CPU twelve times as fast as `conv2d`, measured.
        """
        size = (SIDE + TEMPLATE + 1, SIDE + TEMPLATE + 1)
        spectrum = torch.fft.rfft2(heat, s=size) * torch.fft.rfft2(self.template, s=size)
        drawn: Tensor = torch.fft.irfft2(spectrum.sum(dim=1), s=size)
        half = TEMPLATE // 2
        return drawn[:, half : half + SIDE, half : half + SIDE]


def read(heat: Tensor) -> Tensor:
    """Read heat maps (B, K, 84, 84) -> (B, K, 3): x and y in pixels, and confidence between 0 and 1.

    The position is the centre of mass within `WINDOW` pixels of the hottest one, the confidence that window's mass.
    """
    batch, slots = heat.shape[:2]
    hottest = heat.flatten(2).argmax(dim=-1)  # (B, K)
    x, y = hottest % SIDE, hottest // SIDE
    step = torch.arange(-WINDOW, WINDOW + 1, device=heat.device)
    padded = functional.pad(heat, (WINDOW,) * 4).flatten(2)  # (B, K, 90 * 90)
    stride = SIDE + 2 * WINDOW
    corner = (y + WINDOW) * stride + x + WINDOW
    around = (step[:, None] * stride + step).flatten()  # (49,)
    mass = padded.gather(2, corner[..., None] + around).view(batch, slots, len(step), len(step))
    total = mass.sum(dim=(-2, -1))
    at_x = x + (mass.sum(dim=-2) * step).sum(dim=-1) / total
    at_y = y + (mass.sum(dim=-1) * step).sum(dim=-1) / total
    return torch.stack([at_x, at_y, total], dim=-1)
