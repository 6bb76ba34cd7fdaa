"""Heads from before deep learning: Gaussian naive Bayes and a kernel machine, each as scikit-learn would decide.

They look at the pictures themselves, or at the features of an encoder that something else has trained. What
scikit-learn estimated lies in buffers; play needs neither scikit-learn nor its pickles.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from agents.encoder import Encoder
from agents.heads import Head, choose, steps_without_a_point
from agents.policy import State
from envs.breakout import LEARNT_ACTIONS, SIDE, STACK, Actions, Mask

Sight = Literal["pixels", "features"]
BLOCK = 2  # pixels: a picture is seen as the mean greys of 2 x 2 blocks, a quarter of the numbers, ball and all


def shrink(pictures: Tensor) -> Tensor:
    """`(..., 84, 84)` uint8 -> mean greys of the blocks `(..., 42, 42)` float32, 0 to 255; exact, in float16 too."""
    side = SIDE // BLOCK
    return pictures.float().view(*pictures.shape[:-2], side, BLOCK, side, BLOCK).mean(dim=(-3, -1))


def inputs_dim(sight: Sight, encoder: Encoder) -> int:
    """Length of what a shallow head decides by."""
    return STACK * (SIDE // BLOCK) ** 2 if sight == "pixels" else encoder.features_dim


def see(sight: Sight, encoder: Encoder, observation: Tensor) -> Tensor:
    """`(B, 4, 84, 84)` uint8 -> what a shallow head decides by, `(B, D)` float32.

    `pixels`: shrunk pictures, 7,056 numbers; the encoder is not asked. `features`: those behind the ReLU that
    `agents.imitator` puts there, so the very numbers that the CNN's own last layer decides by.
    """
    if sight == "pixels":
        return shrink(observation).flatten(1)
    return torch.relu(encoder(observation).features).float()


class ShallowHead(Head):
    """Scores for NOOP, RIGHT, LEFT, of which the greatest is played. Computed in float64, as scikit-learn does.

    Args:
        sight: what is decided by; see `see`.
        inputs_dim: how many numbers that is.
    """

    def __init__(self, sight: Sight, inputs_dim: int) -> None:
        super().__init__()
        if sight not in get_args(Sight):
            raise ValueError(f"sight {sight!r} is none of {get_args(Sight)}")
        self.sight, self.inputs_dim = sight, inputs_dim

    def settings(self) -> dict[str, Any]:
        return {"sight": self.sight, "inputs_dim": self.inputs_dim}

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """What is seen `(B, D)` -> scores `(B, 3)` float64."""

    def act(
        self,
        encoder: Encoder,
        observation: Tensor,
        state: State,
        episode_start: Mask,
        deterministic: bool,
        generator: np.random.Generator,
    ) -> tuple[Actions, State]:
        scores = self(see(self.sight, encoder, observation)).cpu().numpy()
        dry = steps_without_a_point(observation, state, episode_start)
        return np.asarray(LEARNT_ACTIONS)[choose(scores, dry, deterministic, generator)], (dry,)


class BayesHead(ShallowHead):
    """Gaussian naive Bayes: every number is a bell curve of its own, given the best action.

    The scores are log joint probabilities, so sampled play draws from the posterior.
    """

    kind = "bayes"

    def __init__(self, sight: Sight, inputs_dim: int) -> None:
        super().__init__(sight, inputs_dim)
        classes = len(LEARNT_ACTIONS)
        self.register_buffer("mean", torch.zeros(classes, inputs_dim, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(classes, inputs_dim, dtype=torch.float64))
        self.register_buffer("log_prior", torch.zeros(classes, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        mean, variance = self.get_buffer("mean"), self.get_buffer("variance")
        constant = self.get_buffer("log_prior") - 0.5 * (2 * torch.pi * variance).log().sum(1)  # (3,)
        x = inputs.double()
        likelihoods = [-0.5 * ((x - m).square() / v).sum(1) for m, v in zip(mean, variance, strict=True)]  # 3 x (B,)
        return torch.stack(likelihoods, dim=1) + constant


class KernelHead(ShallowHead):
    """A machine with the radial basis function kernel: `weights` of how alike a state is to each of `landmarks`.

    The scores are those of a linear machine behind the Nystroem map (Williams and Seeger 2001), multiplied out; where
    every labelled state is a landmark, it is the exact machine. Sampled play draws from their softmax.

    Args:
        landmarks: how many.
    """

    kind = "kernel"

    def __init__(self, sight: Sight, inputs_dim: int, landmarks: int) -> None:
        super().__init__(sight, inputs_dim)
        self.register_buffer("centre", torch.zeros(inputs_dim))
        self.register_buffer("landmarks", torch.zeros(landmarks, inputs_dim))  # their differences from the centre
        self.register_buffer("lengths", torch.zeros(landmarks, dtype=torch.float64))  # of these, squared
        self.register_buffer("gamma", torch.ones((), dtype=torch.float64))  # per squared unit of the inputs
        self.register_buffer("weights", torch.zeros(landmarks, len(LEARNT_ACTIONS), dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros(len(LEARNT_ACTIONS), dtype=torch.float64))

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"landmarks": len(self.get_buffer("landmarks"))}

    def forward(self, inputs: Tensor) -> Tensor:
        # About their centre, distances keep enough digits in float32, which is several times faster here.
        x, landmarks = inputs - self.get_buffer("centre"), self.get_buffer("landmarks")
        squared = x.double().square().sum(1, keepdim=True) - 2 * (x @ landmarks.T).double() + self.get_buffer("lengths")
        likeness = (-self.get_buffer("gamma") * squared.clamp_min(0)).exp()  # (B, landmarks)
        return likeness @ self.get_buffer("weights") + self.get_buffer("intercept")
