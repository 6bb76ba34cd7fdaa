"""The label curve: how much each tenfold of labels buys, by plain cloning and by labels on the learner's own mistakes.

Every point is a whole training run of the supervised arm with a budget of labels, judged like any agent; the last
point of each line is the arm itself and its plain cloning. All budgets get the same compute but the smallest,
whose labels are seen `MOST_PASSES` times at most on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from agents.files import UserError
from envs.breakout import STICKY
from evaluation.evaluate import evaluate
from evaluation.label_curve import FOLDER, WHOLE
from harness.compare import JUDGE_SEED, train
from harness.profiles import Arm, Profile

COUNTS = (100, 1_000, 10_000)
ROUND_STEPS = 2_000  # states played each round at least, of which few labels are an even sample
MOST_PASSES = 1_000  # over each label
LEAST_COUNT = 50  # labels: fewer leave rounds without any


def arms(profile: Profile, counts: Sequence[int]) -> dict[str, Arm]:
    """Return every point's training by the name of its run folder, `<method>_<labels>`."""
    if not counts:
        raise UserError("--counts is empty; give at least one budget of labels, e.g. --counts 1000")
    for count in counts:
        if count < LEAST_COUNT:
            raise UserError(f"--counts {count}: a budget must be at least {LEAST_COUNT} labels")
    base = profile.supervised
    found = {}
    for count in counts:
        per_round = max(1, round(count / base.rounds))
        budget = replace(
            base,
            round_labels=per_round,
            label_share=min(1.0, per_round / ROUND_STEPS),
            samples=min(base.samples, MOST_PASSES * per_round),
        )
        found[f"cloning_{count}"] = Arm("supervised", replace(budget, demonstrated_rounds=base.rounds))
        found[f"dagger_{count}"] = Arm("supervised", budget)
    return found


def label_curve(
    profile: Profile, root: Path, counts: Sequence[int], seeds: Sequence[int], device: torch.device
) -> None:
    """Train and judge every point that is not there yet, the cheap ones first."""
    points = {root / FOLDER / name: arm for name, arm in arms(profile, counts).items()}
    whole = profile.arms() | profile.variants()
    for name in WHOLE.values():
        points[root / name] = whole[name]
    for path, arm in points.items():
        for seed in seeds:
            folder = path / f"seed_{seed}"
            agent = train(arm, folder, seed, device)
            evaluate(str(agent), STICKY.name, profile.games, JUDGE_SEED, device=device.type,
                     json_path=folder / "evaluation.json")  # fmt: skip
