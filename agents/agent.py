"""The agent: the shared encoder and a head, in one file that is safe to hand around.

The file is safetensors (tensors and text, nothing executable); its metadata says how to rebuild the modules and where
the weights came from. A file that does not fit is refused with a sentence, never half loaded.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from agents.encoder import Encoder
from agents.files import UserError, read_safetensors, write_atomically
from agents.heads import ActionHead, Head
from agents.imitator import ImitatorHead
from agents.planner import PlannerHead
from agents.policy import State
from agents.shallow import BayesHead, KernelHead
from agents.values import ValueHead
from envs.breakout import FIRE, OBSERVATION_SHAPE, SIDE, STACK, Actions, Bytes, Mask, ball_must_be_served

FORMAT = 1  # of the agent file; raise it when older files can no longer be read
KINDS: tuple[type[Head], ...] = (ActionHead, ImitatorHead, PlannerHead, ValueHead, BayesHead, KernelHead)
HEADS = {head.kind: head for head in KINDS}


class Agent:
    """A policy made of the shared encoder and a head.

    Args:
        encoder, head: the modules; moved to `device` and set to evaluation mode.
        paradigm: what it was taught by.
        facts: JSON-able record kept in the file (config, ledger, seed).
        device: where it computes.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: Head,
        paradigm: str,
        facts: dict[str, Any] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.encoder, self.head = encoder.to(self.device).eval(), head.to(self.device).eval()
        self.paradigm, self.facts = paradigm, facts or {}
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the stream that sampled play (`deterministic=False`) draws from."""
        self._generator = np.random.default_rng(seed)

    @torch.inference_mode()
    def predict(
        self,
        observation: Bytes,
        state: State = None,
        episode_start: Mask | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, State]:
        """Choose actions; see `agents.policy.Policy.predict`.

        Presses FIRE where a ball has to be served, so it plays on in environments that do not. Takes one observation
        or a batch, pictures first or last: `(N, 4, 84, 84)`, `(4, 84, 84)`, `(N, 84, 84, 4)`, `(84, 84, 4)`.
        """
        pictures = np.asarray(observation)
        if pictures.shape[-3:] == (SIDE, SIDE, STACK):
            pictures = np.moveaxis(pictures, -1, -3)
        if pictures.shape[-3:] != OBSERVATION_SHAPE or pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
            raise ValueError(f"expected uint8 observations (N, 4, 84, 84), got {pictures.dtype} {pictures.shape}")
        batch = pictures.reshape(-1, *OBSERVATION_SHAPE)
        if min(batch.strides) < 0:  # PyTorch takes pictures in any order but backwards
            batch = batch.copy()
        start = np.zeros(len(batch), np.bool_) if episode_start is None else np.asarray(episode_start, np.bool_)
        on_device = torch.from_numpy(batch).to(self.device)
        actions, state = self.head.act(self.encoder, on_device, state, start, deterministic, self._generator)
        actions = np.where(ball_must_be_served(batch), FIRE, actions)
        return (actions if pictures.ndim == 4 else actions[0]), state

    def save(self, path: Path) -> None:
        """Write the agent file, whole or not at all."""
        tensors = {f"encoder.{name}": tensor for name, tensor in self.encoder.state_dict().items()}
        tensors |= {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        metadata = {
            "format": FORMAT,
            "paradigm": self.paradigm,
            "encoder": self.encoder.width,
            "head": self.head.kind,
            "head_settings": self.head.settings(),
            "facts": self.facts,
        }
        # safetensors keeps text by text; one JSON document holds it all.
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(path, save(plain, metadata={"breakout": json.dumps(metadata)}))


def load_agent(path: str | Path, device: str | torch.device = "cpu") -> Agent:
    """Read an agent file.

    Raises:
        UserError: the file is missing, cut short, not an agent of ours, of another format, or does not fit itself.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: no such agent file; train one first, e.g. `make compare` or `breakout train supervised`"
        )
    parts, tensors = read_safetensors(path)
    record = parts.get("breakout")
    if record is None:
        raise UserError(
            f"{path}: a .safetensors file, but not an agent of this project; pass one that `breakout train` wrote"
        )
    try:
        metadata = json.loads(record)
        if metadata["format"] != FORMAT:
            raise UserError(
                f"{path}: agent format {metadata['format']}, this version reads format {FORMAT}; train the agent again"
            )
        encoder = Encoder(metadata["encoder"])
        head = HEADS[metadata["head"]](**metadata["head_settings"])
        for module, prefix in ((encoder, "encoder."), (head, "head.")):
            own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(own)
            if not all(tensor.isfinite().all() for tensor in module.state_dict().values()):
                raise ValueError(f"a value in {prefix}* is not finite")
        agent = Agent(encoder, head, str(metadata["paradigm"]), dict(metadata["facts"]), device)
        if isinstance(agent.facts.get("seed"), bool) or not isinstance(agent.facts.get("seed"), int | None):
            raise ValueError(f"its training seed is {agent.facts['seed']!r}")
        agent.predict(np.zeros((1, *OBSERVATION_SHAPE), np.uint8))  # what cannot play fails here, not in mid-game
        return agent
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise UserError(
            f"{path}: the agent's parts do not fit together ({reason}); "
            "train it again with this version, or copy it again if it was cut"
        ) from error
