"""A gradient step recorded once on a GPU and replayed: one launch instead of some two hundred."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from paradigms.reinforcement.rollout import Batch

WARM_UP = 3  # steps before the recording, so that nothing is set up or tuned while it is on


class RecordedStep:
    """`step` as a CUDA graph: launching kernels one by one takes time of Python's that the games need.

    Recording takes a few steps, whose effects the caller undoes; nothing else may use the GPU meanwhile.

    Args:
        step: must do the same at every call, without a look at the results on the CPU.
        batch: says the shapes.
    """

    def __init__(self, step: Callable[[Batch], Tensor], batch: Batch) -> None:
        self._batch = Batch(*(column.clone() for column in batch))
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                step(self._batch)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = step(self._batch)

    def __call__(self, batch: Batch) -> Tensor:
        """Take the step on `batch`; return what `step` would."""
        for own, column in zip(self._batch, batch, strict=True):
            own.copy_(column)
        self._graph.replay()
        return self._result.clone()
