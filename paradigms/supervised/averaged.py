"""What both imitators are while they learn: encoder and head, Adam, and a moving average of the weights to play by."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from agents.encoder import Encoder, fastest_precision, finite
from agents.files import Tree, UserError
from agents.heads import Head
from agents.run import Run
from paradigms.supervised.config import Config


class AveragedLearner:
    """Encoder and head; their optimiser and their moving average (Polyak and Juditsky 1992)."""

    def __init__(self, config: Config, run: Run) -> None:
        torch.manual_seed(int(run.stream("weights").generate_state(1)[0]))
        encoder = Encoder(config.encoder)
        self.modules = nn.ModuleDict({"encoder": encoder, "head": self.make_head(encoder, config)}).to(run.device)
        self.averaged = copy.deepcopy(self.modules)
        self.optimizer = torch.optim.Adam(self.modules.parameters(), config.learning_rate)
        self.config, self.device = config, run.device
        self.precision = fastest_precision(encoder, run.device, config.batch)
        self.generator = np.random.default_rng(run.stream("batches"))
        self.steps = 0

    def make_head(self, encoder: Encoder, config: Config) -> Head:
        """Make what goes on the encoder's features."""
        raise NotImplementedError

    def features(self, modules: nn.ModuleDict, observation: Tensor) -> Tensor:
        """`(B, 4, 84, 84)` uint8 -> `(B, D)` float32."""
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32):
            features: Tensor = modules["encoder"](observation).features
        return features.float()

    def descend(self, loss: Tensor) -> None:
        """Take one gradient step and follow it with the average."""
        done = self.steps * self.config.batch / (self.config.rounds * self.config.samples)
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate_at(min(done, 1.0))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.steps += 1
        stays = min(self.config.average, self.steps / (self.steps + 9))  # a young average forgets its start sooner
        with torch.no_grad():
            for average, weight in zip(self.averaged.parameters(), self.modules.parameters(), strict=True):
                average.lerp_(weight, 1 - stays)

    def require_finite(self) -> None:
        """Raise `UserError` if the weights are no longer numbers."""
        if not finite(self.modules):
            raise UserError(
                "the weights are no longer numbers; lower --learning-rate and train anew elsewhere; "
                "the last good checkpoint is kept"
            )

    def state(self) -> Tree:
        """Return what `load` needs to go on."""
        kept = {name: getattr(self, name).state_dict() for name in ("modules", "averaged", "optimizer")}
        precise = {"bfloat16": self.precision is torch.bfloat16}  # timed once: other arithmetic, other weights
        return kept | precise | {"generator": self.generator.bit_generator.state, "steps": self.steps}

    def load(self, state: Tree) -> None:
        """Go on from `state`."""
        for name in ("modules", "averaged", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.precision = torch.bfloat16 if state["bfloat16"] else torch.float32
        self.generator.bit_generator.state = state["generator"]
        self.steps = state["steps"]
