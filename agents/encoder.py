"""The shared CNN: one architecture, in two widths, under all three ways of learning.

After Mnih et al. (2013, 2015). It has two outputs: the feature maps, where things keep their place, and a feature
vector. This is the only place that turns bytes into numbers between 0 and 1.
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from envs.breakout import OBSERVATION_SHAPE, SIDE, STACK

Width = Literal["small", "nature"]

# (channels, kernel, stride) of each convolution, then the length of the feature vector.
_LAYERS: dict[Width, tuple[tuple[tuple[int, int, int], ...], int]] = {
    "small": (((16, 8, 4), (32, 4, 2)), 256),  # Mnih et al. 2013; for laptops
    "nature": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),  # Mnih et al. 2015; the published figures
}

ArrayOrTensor = TypeVar("ArrayOrTensor", Tensor, npt.NDArray[np.uint8])


class Encoding(NamedTuple):
    """What the encoder makes of a batch of observations."""

    maps: tuple[Tensor, ...]
    """Each convolution's output after its ReLU. small: (B, 16, 20, 20), (B, 32, 9, 9);
    nature: (B, 32, 20, 20), (B, 64, 9, 9), (B, 64, 7, 7)."""
    features: Tensor
    """(B, D), the bare output of a linear layer: a ReLU here kills up to four units in five once the vector is
    trained by itself, so heads that want one bring their own."""


class Encoder(nn.Module):
    """Observations to feature maps and a feature vector.

    Args:
        width: `small` (D = 256) or `nature` (D = 512).
    """

    def __init__(self, width: Width = "small") -> None:
        super().__init__()
        self.width = width
        convolutions, self.features_dim = _LAYERS[width]
        layers, channels, side = [], STACK, SIDE
        for out_channels, kernel, stride in convolutions:
            layers.append(nn.Conv2d(channels, out_channels, kernel, stride))
            channels, side = out_channels, (side - kernel) // stride + 1
        self.convolutions = nn.ModuleList(layers)
        self.linear = nn.Linear(channels * side * side, self.features_dim)
        for convolution in layers:  # channels last: a third faster on CPU, measured
            convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, observation: Tensor) -> Encoding:
        """`(B, 4, 84, 84)` uint8 -> feature maps and features `(B, D)`."""
        autocast = torch.is_autocast_enabled(observation.device.type)
        dtype = torch.get_autocast_dtype(observation.device.type) if autocast else self.linear.weight.dtype
        # A byte is exact even in bfloat16. Dividing the first weights by 255 instead of every pixel saves a third.
        x = observation.contiguous(memory_format=torch.channels_last).to(dtype)
        maps = []
        for i, convolution in enumerate(self.convolutions):
            assert isinstance(convolution, nn.Conv2d)
            weight = convolution.weight / 255 if i == 0 else convolution.weight
            x = functional.conv2d(x, weight, convolution.bias, convolution.stride).relu_()
            maps.append(x)
        return Encoding(tuple(maps), self.linear(x.flatten(1)))


def finite(module: nn.Module) -> bool:
    """Whether all weights are numbers."""
    return all(bool(weight.isfinite().all()) for weight in module.parameters())


def mirror(observation: ArrayOrTensor) -> ArrayOrTensor:
    """Flip left and right, `(..., 84) -> (..., 84)`. RIGHT and LEFT change places under it."""
    if isinstance(observation, Tensor):
        return observation.flip(-1)
    return np.ascontiguousarray(observation[..., ::-1])


def fastest_precision(encoder: Encoder, device: torch.device, batch: int) -> torch.dtype:
    """Time forward and backward in float32 and under bfloat16 autocast; return the faster type.

    Machines differ: with the right instructions bfloat16 is up to 1.6 times as fast, without them 5 times slower.
    """
    observation = torch.randint(0, 256, (batch, *OBSERVATION_SHAPE), dtype=torch.uint8, device=device)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        trials = []
        for _ in range(6):
            start = time.perf_counter()
            with torch.autocast(device.type, dtype, enabled=dtype is torch.bfloat16):
                loss = encoder(observation).features.float().square().mean()
            torch.autograd.grad(loss, list(encoder.parameters()))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            trials.append(time.perf_counter() - start)
        seconds[dtype] = min(trials)
    return min(seconds, key=lambda dtype: seconds[dtype])
