"""The label curve's training runs: every budget is kept, and a tiny one goes through to the judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agents.files import UserError
from evaluation.label_curve import read_label_curve
from harness.curve import arms, label_curve
from harness.profiles import QUICK, SMOKE, Arm
from paradigms.supervised import Config


def config_of(arm: Arm) -> Config:
    assert isinstance(arm.config, Config)
    return arm.config


def test_every_budget_is_kept_and_compute_is_equal() -> None:
    found = {name: config_of(arm) for name, arm in arms(QUICK, (100, 10_000, 100_000)).items()}
    assert list(found) == [f"{how}_{n}" for n in (100, 10_000, 100_000) for how in ("cloning", "dagger")]
    for name, config in found.items():
        budget = int(name.rpartition("_")[2])
        assert config.rounds * config.round_labels == pytest.approx(budget, rel=0.05)
        assert (config.demonstrated_rounds == config.rounds) == name.startswith("cloning")
        assert config.samples == (QUICK.supervised.samples if budget > 1_000 else 1_000 * config.round_labels)
    assert found["dagger_100"].label_share < 0.01, "few labels come from many states"


def test_a_tiny_curve_is_trained_and_judged(tmp_path: Path) -> None:
    tiny = replace(SMOKE, supervised=replace(SMOKE.supervised, games=4, samples=640), games=2)
    whole = tiny.supervised.rounds * tiny.supervised.round_labels
    label_curve(tiny, tmp_path, (60,), (0,), torch.device("cpu"))
    points = read_label_curve(tmp_path)
    assert [point.method for point in points] == ["cloning", "cloning", "dagger", "dagger"]
    assert [point.labels for point in points] == [60, pytest.approx(whole, rel=0.05)] * 2
    assert all(len(point.scores) == 1 for point in points)


def test_too_small_a_budget_is_refused() -> None:
    with pytest.raises(UserError, match="--counts 7"):
        arms(QUICK, (7,))
    with pytest.raises(UserError, match="--counts is empty"):
        arms(QUICK, ())
