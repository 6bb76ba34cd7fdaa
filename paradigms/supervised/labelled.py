"""Labelled states: what one round of gathering brings, and the pool that training draws from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.demonstrator import AIMS, Labels
from agents.encoder import mirror
from agents.imitator import ACROSS, FAR, MIDDLE, MIDDLE_Y, REACH, READING, mirrored_logits, mirrored_reading
from envs.breakout import LEARNT_ACTIONS, SIDE, STACK

MOST_PICTURES = 2**40  # more than any memory holds; torch has no sentence for much larger sizes
NEAR = 28  # frames: a ball that lands within these mostly falls freely, so the picture shows where


def reading_targets(labels: Labels) -> npt.NDArray[np.float32]:
    """`(B, 6)`: landing, paddle, T, ball x and y from -1 to 1 between the walls, frames from 0 to 1."""
    places = [(getattr(labels, name) - MIDDLE) / REACH for name in READING[:ACROSS]]
    height = (labels.ball_y - MIDDLE_Y) / REACH
    return np.stack([*places, height, np.minimum(labels.frames, FAR) / FAR], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Labelled:
    """States of one round, labelled. Each picture is kept once, though it stands in four observations.

    Attributes:
        pictures: `(P, 84, 84)` uint8.
        stack: `(L, 4)` int32, which pictures make each observation, oldest first.
        costs: `(L, 3, 3)` float32, px for each aim and each of NOOP, RIGHT, LEFT.
        reading: `(L, 6)` float32, see `reading_targets`.
        frames: `(L,)` float32 until the ball lands.
        held_out: `(L,)` bool, True in games that are never trained on.
    """

    pictures: npt.NDArray[np.uint8]
    stack: npt.NDArray[np.int32]
    costs: npt.NDArray[np.floating]
    reading: npt.NDArray[np.floating]
    frames: npt.NDArray[np.floating]
    held_out: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.stack)
        if self.pictures.shape[1:] != (SIDE, SIDE) or self.pictures.dtype != np.uint8:
            raise ValueError(f"pictures must be (P, 84, 84) uint8, got {self.pictures.dtype} {self.pictures.shape}")
        if count and not 0 <= self.stack.min() <= self.stack.max() < len(self.pictures):
            raise ValueError("a stack points at a picture that is not there")
        costs = len(AIMS), len(LEARNT_ACTIONS)
        shapes = {"stack": (STACK,), "costs": costs, "reading": (len(READING),), "frames": (), "held_out": ()}
        for name, shape in shapes.items():
            if getattr(self, name).shape != (count, *shape):
                raise ValueError(f"{name} must be {(count, *shape)}, got {getattr(self, name).shape}")

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The fields by name, as `Run.save_arrays` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Batch(NamedTuple):
    """What one gradient step sees."""

    observation: Tensor  # (B, 4, 84, 84) uint8
    costs: Tensor  # (B, aims, 3)
    reading: Tensor  # (B, 6)
    frames: Tensor  # (B,)

    def mirrored(self) -> Batch:
        """The same states in a mirror: RIGHT and LEFT change places, and so do the sides of the screen."""
        observation = mirror(self.observation)
        return Batch(observation, mirrored_logits(self.costs), mirrored_reading(self.reading), self.frames)


class Pool:
    """All labelled states so far.

    Args:
        pictures: room for so many; memory is taken as it fills.
        near_share: of each batch, how much is drawn from states whose ball lands within `NEAR` frames.
    """

    def __init__(self, pictures: int, near_share: float, device: torch.device) -> None:
        self._near_share, self._device = near_share, device
        if pictures > MOST_PICTURES:
            raise MemoryError
        self._pictures = torch.empty((pictures, SIDE * SIDE), dtype=torch.uint8)
        self._used = 0
        self._stack = torch.empty((0, STACK), dtype=torch.int64)
        self._costs = torch.empty((0, len(AIMS), len(LEARNT_ACTIONS)))
        self._reading, self._frames = torch.empty((0, len(READING))), torch.empty(0)
        self._all = self._near = self.held_out = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._stack)

    def add(self, states: Labelled) -> None:
        """Take in a round."""
        first, place = len(self), self._used
        self._used += len(states.pictures)
        if self._used > len(self._pictures):
            raise ValueError(f"the pool has room for {len(self._pictures)} pictures, not {self._used}")
        self._pictures[place : self._used] = torch.from_numpy(states.pictures).flatten(1)
        self._stack = torch.cat([self._stack, torch.from_numpy(states.stack).long() + place])
        self._costs = torch.cat([self._costs, torch.from_numpy(states.costs).float()])
        self._reading = torch.cat([self._reading, torch.from_numpy(states.reading).float()])
        self._frames = torch.cat([self._frames, torch.from_numpy(states.frames).float()])
        trained, near = ~states.held_out, states.frames <= NEAR
        self._all = np.concatenate([self._all, first + np.flatnonzero(trained)])
        self._near = np.concatenate([self._near, first + np.flatnonzero(trained & near)])
        self.held_out = np.concatenate([self.held_out, first + np.flatnonzero(~trained)])

    def draw(self, size: int, generator: np.random.Generator) -> Batch:
        """Draw states to train on, with replacement."""
        near = round(size * self._near_share) if len(self._near) else 0
        return self.take(np.concatenate([generator.choice(self._near, near), generator.choice(self._all, size - near)]))

    def take(self, which: npt.NDArray[np.int64]) -> Batch:
        """Put the observations of these states together."""
        index = torch.from_numpy(which)
        stacks = torch.index_select(self._pictures, 0, self._stack[index].flatten())
        tensors = stacks.view(-1, STACK, SIDE, SIDE), self._costs[index], self._reading[index], self._frames[index]
        return Batch(*(tensor.to(self._device) for tensor in tensors))
