"""Before deep learning: naive Bayes and a kernel machine, each on pixels, on features and on untrained features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import torch
from rich.table import Table

from agents.files import UserError, read_json
from harness.compare import table, train
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


def study_table(agents: Sequence[Path]) -> Table:
    """Return what each budget of labels bought, as a terminal shows it."""
    rows = []
    for agent in agents:
        for row in read_json(agent.with_name("study.json")):
            shares = [f"{row[name]:.0%}" if name in row else "" for name in ("heldout_accuracy", "heldout_moves")]
            regret = f"{row['heldout_regret_px']:.2f}" if "heldout_regret_px" in row else ""
            name = f"{agent.parents[1].name} {agent.parent.name.removeprefix('seed_')}"
            rows.append((name, f"{row['labels']:,}", f"{row['cpu_seconds']:.1f}", regret, *shares))
    columns = ("machine", "labels", "CPU seconds", "regret, px", "accuracy", "moves")
    return table("Games never trained on, ball about to land", columns, rows)


def train_shallow(root: Path, seeds: Sequence[int], device: torch.device) -> list[Path]:
    """Fit all of them for every training seed of the supervised arm; return the agents' files.

    Raises:
        UserError: the supervised arm has not been trained with that seed.
    """
    sources = {seed: root / "supervised" / f"seed_{seed}" for seed in seeds}
    for source in sources.values():
        if not (source / "agent.safetensors").exists():
            raise UserError(f"{source}: no trained imitator to take labels and features from; run `make supervised`")
    made = []
    for seed, source in sources.items():
        for name, arm in arms(source).items():
            folder = root / name / f"seed_{seed}"
            agent = folder / "agent.safetensors"  # one that is there may know its source by another path
            made.append(agent if agent.exists() else train(arm, folder, seed, device))
    return made
