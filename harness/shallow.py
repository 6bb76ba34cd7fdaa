"""Before deep learning: naive Bayes and a kernel machine, each on pixels, on features and on untrained features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import torch

from agents.files import UserError
from harness.compare import train
from harness.profiles import Arm
from paradigms.supervised.shallow import Inputs, Method, ShallowConfig

METHODS: tuple[Method, ...] = get_args(Method)
INPUTS: tuple[Inputs, ...] = get_args(Inputs)


def arms(source: Path) -> dict[str, Arm]:
    """Return all that is fitted to the labels in the run folder `source`, by the name of its own run folder."""
    return {
        f"{method}_{inputs}": Arm("shallow", ShallowConfig(str(source), method, inputs))
        for method, inputs in product(METHODS, INPUTS)
    }


def train_shallow(root: Path, seeds: Sequence[int], device: torch.device) -> list[Path]:
    """Fit all of them for every training seed of the supervised arm; return the agents' files.

    Raises:
        UserError: the supervised arm has not been trained with that seed.
    """
    sources = {seed: root / "supervised" / f"seed_{seed}" for seed in seeds}
    for source in sources.values():
        if not (source / "agent.safetensors").exists():
            raise UserError(f"{source}: no trained imitator to take labels and features from; run `make supervised`")
    return [
        train(arm, root / name / f"seed_{seed}", seed, device)
        for seed, source in sources.items()
        for name, arm in arms(source).items()
    ]
