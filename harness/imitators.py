"""Other imitators beside the supervised arm, each with its label budget: what its choices are worth.

They are trained like any arm, into run folders of their own, and then judged, filmed and reported with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness.compare import train
from harness.profiles import Arm, Profile


def arms(profile: Profile) -> dict[str, Arm]:
    """Return the other imitators by the names of their run folders."""
    ours = profile.supervised
    return {
        "supervised_regressor": Arm("supervised", replace(ours, learner="regressor")),
        "supervised_cloning": Arm("supervised", replace(ours, demonstrated_rounds=ours.rounds)),
    }


def train_imitators(profile: Profile, root: Path, seeds: Sequence[int], device: torch.device) -> None:
    """Train each of them with every seed."""
    for seed in seeds:
        for name, arm in arms(profile).items():
            train(arm, root / name / f"seed_{seed}", seed, device)
