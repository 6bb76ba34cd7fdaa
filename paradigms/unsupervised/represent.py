"""The encoder learns by itself: redraw what moves from a few places, and carry what matters in the feature vector."""

from __future__ import annotations

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
from envs.breakout import STACK, Bytes
from paradigms.unsupervised.objective import SECONDS, Objective

LAGS = (1, 2, 4, 8)  # steps before and after: a pixel that differs from none of these does not move
_SAMPLE = 400  # pictures, for the background
_SPREAD = 2_000  # pictures, for the spread of each pixel
_LOSS_SCALE = 100.0  # keeps the numbers near one
_NOTHING = 1e-6  # a loss below this is none
OWN = 6  # observations that an objective gets, for each one that is redrawn

Rows = npt.NDArray[np.int64]


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
    """Adam on the error of the redrawn residual, and on an objective for the feature vector if there is one.

    The two losses have no common unit, so it is the sum of their logarithms that falls. Its state can be kept and
    taken up again.

    Args:
        total_steps: gradient steps in all; the learning rate warms up and falls in two stages.
        batch: observations redrawn in a step.
        objective: None trains the keypoints alone. It gets observations of its own: they pass the encoder alone, for a
            tenth of what one that is redrawn costs.
        readings: `(T, N, R, 3)`, what some of the keypoints read of the rollout before; only an objective needs them.
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
        objective: Objective | None = None,
        readings: Floats | None = None,
    ) -> None:
        self.encoder, self.head, self.rollout, self.residual = encoder, head, rollout, residual
        self.generator, self.total_steps, self.batch = generator, total_steps, batch
        self.objective, self.readings = objective, readings
        self.stretches = max(1, OWN * batch // (objective.together * objective.seen)) if objective is not None else 0
        """Stretches of play, from each of which an objective gets some moments."""
        self.learning_rate, self.step, self.losses = learning_rate, 0, list[float]()
        self.device = head.template.device
        self.precision = fastest_precision(encoder, self.device, batch)
        self._modules: dict[str, nn.Module] = {"encoder": encoder, "keypoints": head}
        if objective is not None:
            self._modules["objective"] = objective
        self.optimizer = torch.optim.Adam([p for m in self._modules.values() for p in m.parameters()], learning_rate)

    @property
    def observations(self) -> int:
        """Passed through the encoder in one step: redrawn, and for the objective."""
        objective = self.objective
        return self.batch + (self.stretches * objective.together * objective.seen if objective is not None else 0)

    def advance(self) -> float:
        """Take one gradient step; returns the keypoints' loss."""
        left = 1 - self.step / self.total_steps
        rate = self.learning_rate * min(1, (self.step + 1) / 50) * (1 if left > 0.3 else 0.3 if left > 0.1 else 0.1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        steps, games = self.rollout.taken.shape
        t, game = self.generator.integers(0, steps, self.batch), self.generator.integers(0, games, self.batch)
        target = torch.from_numpy(self.residual(t + STACK - 1, game)).to(self.device)
        moments = self._draw_moments() if self.objective is not None else (t[:0], game[:0])
        seen = self.rollout.observations(*(np.append(one, two) for one, two in zip((t, game), moments, strict=True)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16):
            encoding = self.encoder(torch.from_numpy(seen).to(self.device))
            heat = self.head([feature_map[: self.batch] for feature_map in encoding.maps])
        error = self.head.reconstruct(heat) - target
        drawn = _LOSS_SCALE * (self.residual.weight.to(self.device) * error.square()).mean()
        loss = drawn.clamp(min=_NOTHING).log()
        if self.objective is not None:
            loss = loss + self._judge(encoding.features[self.batch :].float(), *moments)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.step += 1
        self.losses = [*self.losses[-99:], drawn.item()]
        if not np.isfinite(loss.item()):
            raise UserError("the keypoint loss is no longer a number; give a smaller --learning-rate")
        return float(np.mean(self.losses))

    def _draw_moments(self) -> tuple[Rows, Rows]:
        """Draw steps and games `(S M V,)`: some moments of S stretches of play, the next beside each if it is seen."""
        assert self.objective is not None
        steps, games = self.rollout.taken.shape
        each, seen = self.objective.together, self.objective.seen
        start = self.generator.integers(0, steps - SECONDS + 1, self.stretches)
        within = self.generator.permuted(np.tile(np.arange(SECONDS - 1), (self.stretches, 1)), axis=1)[:, :each]
        t = (start[:, None] + within)[..., None] + np.arange(seen)  # (S, M, V)
        game = self.generator.integers(0, games, self.stretches)
        return t.ravel(), np.repeat(game, each * seen)

    def _judge(self, features: Tensor, t: Rows, game: Rows) -> Tensor:
        assert self.objective is not None and self.readings is not None
        each, seen = self.objective.together, self.objective.seen
        t, game = t[::seen], game[::seen]  # (S M,)
        taken = torch.from_numpy(CODES[self.rollout.taken[t, game]]).to(self.device)
        actions = torch.eye(3, device=self.device)[taken].view(-1, each, 3)
        readings = torch.from_numpy(self.readings[t[:, None] + (0, 1), game[:, None]]).to(self.device)
        readings = readings.view(-1, each, *readings.shape[1:])
        loss: Tensor = self.objective(features.view(-1, each, seen, features.shape[1]), actions, readings)
        return loss.clamp(min=_NOTHING).log()

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on."""
        return {
            "modules": {name: module.state_dict() for name, module in self._modules.items()},
            "optimizer": self.optimizer.state_dict(),
            "bfloat16": self.precision is torch.bfloat16,  # timed once: other arithmetic, other weights
            "generator": self.generator.bit_generator.state,
            "step": self.step,
            "losses": self.losses,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept `state`."""
        for name, module in self._modules.items():
            module.load_state_dict(state["modules"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision = torch.bfloat16 if state["bfloat16"] else torch.float32
        self.generator.bit_generator.state = state["generator"]
        self.step, self.losses = state["step"], state["losses"]
