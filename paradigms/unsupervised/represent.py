"""The encoder learns by itself: redraw what moves from a few places, then carry those places in the feature vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.encoder import Encoder, fastest_precision
from agents.files import UserError
from agents.keypoints import KeypointHead
from agents.rollout import Transitions
from agents.tracker import CODES, Floats
from envs.breakout import SIDE, STACK, Bytes

LAGS = (1, 2, 4, 8)  # steps before and after: a pixel that differs from none of these does not move
_SAMPLE = 400  # pictures, for the background
_SPREAD = 2_000  # pictures, for the spread of each pixel
_LOSS_SCALE = 100.0  # keeps the numbers near one


class MovingResidual:
    """What moves in a picture: its difference from the background, where it is not at rest.

    Without the gate the slots go to the digits of the score; with a gate of one step alone a resting paddle vanishes.

    Args:
        pictures: `(T + 4, N, 84, 84)` uint8.
        generator: draws the pictures whose pixel-wise median is the background.

    Raises:
        UserError: nothing moves in the pictures.
    """

    def __init__(self, pictures: Bytes, generator: np.random.Generator) -> None:
        self.pictures = pictures
        total, games = pictures.shape[:2]
        sample = pictures[generator.integers(STACK, total, _SAMPLE), generator.integers(0, games, _SAMPLE)]
        self.background = np.median(sample, axis=0).astype(np.float32)
        spread = self(generator.integers(STACK, total, _SPREAD), generator.integers(0, games, _SPREAD)).std(axis=0)
        if not spread.max() > 0:
            raise UserError("nothing moves in the explored pictures, so there is nothing to learn from; "
                            "give more --round-steps")  # fmt: skip
        weight = (spread + 0.05 * spread.max()) ** -1.5  # else the paddle's many pixels drown the ball's few
        self.weight = torch.from_numpy(weight / weight.mean()).float()  # (84, 84)

    def __call__(self, row: npt.NDArray[np.int64], game: npt.NDArray[np.int64]) -> Floats:
        """Pictures number `row` `(B,)` of games `game` `(B,)` -> `(B, 84, 84)`, between -1 and 1."""
        picture = self.pictures[row, game]
        moves = np.zeros(picture.shape, np.bool_)
        for lag in (*LAGS, *(-lag for lag in LAGS)):
            moves |= picture != self.pictures[np.clip(row + lag, 0, len(self.pictures) - 1), game]
        return np.where(moves, picture - self.background, 0).astype(np.float32) / 255


class KeypointTraining:
    """Adam on the error of the redrawn residual; its state can be kept and taken up again.

    Args:
        total_steps: gradient steps in all; the learning rate warms up and falls in two stages.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: KeypointHead,
        rollout: Transitions,
        residual: MovingResidual,
        generator: np.random.Generator,
        *,
        total_steps: int,
        batch: int,
        learning_rate: float,
    ) -> None:
        self.encoder, self.head, self.rollout, self.residual = encoder, head, rollout, residual
        self.generator, self.total_steps, self.batch = generator, total_steps, batch
        self.learning_rate, self.step, self.losses = learning_rate, 0, [1.0]
        self.device = head.template.device
        self.precision = fastest_precision(encoder, self.device, batch)
        self.optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], learning_rate)

    def advance(self) -> float:
        """Take one gradient step; returns the loss."""
        left = 1 - self.step / self.total_steps
        rate = self.learning_rate * min(1, (self.step + 1) / 50) * (1 if left > 0.3 else 0.3 if left > 0.1 else 0.1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        steps, games = self.rollout.taken.shape
        t = self.generator.integers(0, steps, self.batch)
        game = self.generator.integers(0, games, self.batch)
        observation = torch.from_numpy(self.rollout.observations(t, game)).to(self.device)
        target = torch.from_numpy(self.residual(t + STACK - 1, game)).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16):
            heat = self.head(self.encoder(observation).maps)
        error = self.head.reconstruct(heat) - target
        loss = _LOSS_SCALE * (self.residual.weight.to(self.device) * error.square()).mean()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.step += 1
        self.losses = [*self.losses[-99:], loss.item()]
        if not np.isfinite(self.losses[-1]):
            raise UserError("the keypoint loss is no longer a number; give a smaller --learning-rate")
        return float(np.mean(self.losses))

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on."""
        return {
            "encoder": self.encoder.state_dict(),
            "keypoints": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.bit_generator.state,
            "step": self.step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept `state`."""
        self.encoder.load_state_dict(state["encoder"])
        self.head.load_state_dict(state["keypoints"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.bit_generator.state = state["generator"]
        self.step = state["step"]


def train_features(
    encoder: Encoder,
    rollout: Transitions,
    readings: Floats,
    parting: Floats,
    generator: np.random.Generator,
    *,
    total_steps: int,
    batch: int,
    on_step: Callable[[int], None],
) -> float:
    """Train the feature vector, on the maps as they stand, to tell the keypoints now and, with the action, next.

    Readings `(T, N, K, 3)` are the targets. Returns the mean loss of the last hundred steps.
    """
    steps, games, slots = readings.shape[:3]
    device = encoder.linear.weight.device
    predictor = nn.Linear(encoder.features_dim + 3, 2 * slots * 3).to(device)  # x, y, seen; now and next
    optimizer = torch.optim.Adam([*encoder.linear.parameters(), *predictor.parameters()], 1e-3)
    losses: list[float] = []
    for step in range(total_steps):
        t, game = generator.integers(0, steps - 1, batch), generator.integers(0, games, batch)
        with torch.no_grad():
            maps = encoder(torch.from_numpy(rollout.observations(t, game)).to(device)).maps
        features = encoder.linear(maps[-1].flatten(1))
        action = torch.eye(3, device=device)[torch.from_numpy(CODES[rollout.taken[t, game]]).to(device)]
        told = predictor(torch.cat([features, action], dim=1)).view(batch, 2, slots, 3)
        truth = torch.from_numpy(np.stack([readings[t, game], readings[t + 1, game]], axis=1)).to(device)
        loss = feature_loss(told, truth, torch.from_numpy(parting).to(device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
        on_step(step)
    return float(np.mean(losses[-100:])) if losses else 0.0


def feature_loss(told: Tensor, truth: Tensor, parting: Tensor) -> Tensor:
    """5 x squared error of x and y (in pictures, where seen) + 0.1 x cross entropy of seen: `(B, 2, K, 3)` both."""
    seen = (truth[..., 2] > parting).float()
    place = ((told[..., :2] - truth[..., :2] / SIDE).square().sum(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
    return 5 * place + 0.1 * nn.functional.binary_cross_entropy_with_logits(told[..., 2], seen)
