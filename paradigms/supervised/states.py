"""The labelled states of a finished run, as shallow machines take them: rows of numbers, made on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from agents.encoder import Encoder
from agents.files import UserError
from agents.shallow import Sight, see, shrink
from paradigms.supervised.labelled import Labelled

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

BATCH = 500  # observations that go through the encoder at a time
CENTRE = 0  # of demonstrator.AIMS: the aim whose costs are learnt


@dataclass(frozen=True)
class States:
    """L labelled states. Their inputs are put together from pieces, since neighbours share pictures.

    Attributes:
        pieces: `(P, d)`: shrunk pictures, float16 (exact, see `agents.shallow.shrink`), or feature vectors, float32.
        parts: `(L, k)` int64, which pieces make each state's inputs: 4 pictures, or 1 vector.
        costs: `(L, 3)` px above the cheapest of NOOP, RIGHT, LEFT, for the central aim.
        frames: `(L,)` until the ball lands.
        held_out: `(L,)` bool, True in games that are never trained on.
    """

    pieces: Floats
    parts: Rows
    costs: Floats
    frames: Floats
    held_out: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.parts)
        if self.costs.shape != (count, 3) or self.frames.shape != (count,) or self.held_out.shape != (count,):
            raise ValueError(f"{count} states with costs {self.costs.shape}, frames {self.frames.shape} and "
                             f"held_out {self.held_out.shape}")  # fmt: skip

    def __len__(self) -> int:
        return len(self.parts)

    def inputs(self, rows: Rows) -> npt.NDArray[np.float32]:
        """`(B,)` -> `(B, D)`, what `agents.shallow.see` shows of these states."""
        return self.pieces[self.parts[rows]].reshape(len(rows), -1).astype(np.float32)

    def chunks(self, rows: Rows, size: int = 2_000) -> Iterator[tuple[Rows, npt.NDArray[np.float32]]]:
        """Rows and their inputs, `size` at a time."""
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            yield part, self.inputs(part)

    @property
    def best(self) -> Rows:
        """`(L,)`, 0 to 2: the cheapest of NOOP, RIGHT, LEFT."""
        best: Rows = self.costs.argmin(axis=1)
        return best


def read_states(run_folder: Path, sight: Sight, encoder: Encoder) -> States:
    """Read all that the supervised run in `run_folder` has had labelled, in the order of labelling.

    Raises:
        UserError: there is nothing, or it is damaged.
    """
    rounds, first = [], 0
    for states in _rounds(run_folder / "checkpoints"):  # whose full pictures would not all fit in memory
        pieces, parts = _pictures(states) if sight == "pixels" else _features(states, encoder)
        costs = states.costs[:, CENTRE].astype(np.float32)
        regrets = costs - costs.min(axis=1, keepdims=True)
        rounds.append((pieces, parts + first, regrets, states.frames.astype(np.float32), states.held_out))
        first += len(pieces)
    if not rounds:
        raise UserError(
            f"{run_folder}: holds no labelled states; delete it and train that arm: `breakout train supervised`"
        )
    return States(*(np.concatenate(column) for column in zip(*rounds, strict=True)))


def _rounds(checkpoints: Path) -> Iterator[Labelled]:
    for number in range(len(list(checkpoints.glob("round_*.npz")))):
        path = checkpoints / f"round_{number}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                yield Labelled(**{name: arrays[name] for name in arrays.files})
        except Exception as error:  # zipfile, zlib and numpy each raise their own
            raise UserError(
                f"{path}: not a round of labelled states ({error}); delete that run folder and train that arm again"
            ) from error


def _pictures(states: Labelled) -> tuple[Floats, Rows]:
    small = [shrink(torch.from_numpy(chunk)).flatten(1).half() for chunk in _batches(states.pictures)]
    return torch.cat(small).numpy(), states.stack.astype(np.int64)


@torch.inference_mode()
def _features(states: Labelled, encoder: Encoder) -> tuple[Floats, Rows]:
    device = encoder.linear.weight.device
    observations = (states.pictures[stacks] for stacks in _batches(states.stack))
    seen = [see("features", encoder, torch.from_numpy(batch).to(device)).cpu() for batch in observations]
    return torch.cat(seen).numpy(), np.arange(len(states.stack))[:, None]


def _batches(array: npt.NDArray[np.generic]) -> Iterator[npt.NDArray[np.generic]]:
    for first in range(0, len(array), BATCH):
        yield array[first : first + BATCH]
