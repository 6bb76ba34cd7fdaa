"""The race to 15 points: stock plays the whole game under its own wrappers, and has as long as ours had."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

from evaluation.report import write_report
from evaluation.runs import STOCK, Curve, read_run
from harness.cli import main
from harness.profiles import SMOKE, Arm
from harness.race import race
from harness.stock import ZOO, stock_env


def test_stock_sees_what_it_always_sees() -> None:
    with closing(stock_env(2, 0)) as env:
        observation = env.reset()
        assert isinstance(observation, np.ndarray) and observation.shape == (2, 84, 84, 4)
        assert env.action_space == gym.spaces.Discrete(4), "FIRE is among its actions"


def test_when_a_score_is_first_reached() -> None:
    curve = Curve(frames=(4.0, 8.0, 12.0), wall_seconds=(1.0, 2.0, 3.0), scores=(2.0, 15.0, 14.0))
    assert curve.seconds_to(15) == 2.0
    assert curve.seconds_to(16) is None


@pytest.mark.slow
def test_stock_has_as_long_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(arm: Arm, folder: Path, seed: int, device: torch.device) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.csv").write_text("frames,wall_seconds,score\n4000,0.5,16\n8000,1.9,14\n")
        return folder / "agent.safetensors"

    monkeypatch.setattr("harness.race.train", trained)
    monkeypatch.setattr("harness.race.yardstick", lambda: "not measured")
    monkeypatch.setattr("harness.race.ZOO", replace(ZOO, games=4, rollout_steps=64, epochs=1))
    text = _raced(tmp_path)
    stock = read_run(tmp_path / STOCK / "seed_0")
    assert stock.curve is not None and stock.ledger is not None
    assert stock.curve.wall_seconds[-1] >= 2.0, "four times 0.5 s"
    assert stock.ledger.agent_steps % 256 == 0, "whole rollouts of 4 games"
    assert text.count("not in") == 1, "ours was there in no time, stock was not"
    page = unescape(write_report(tmp_path).read_text())
    assert "stable-baselines3's PPO, seed 0" in page
    assert "stable-baselines3's PPO, seed 0:" not in page, "nothing of it is missing"
    assert _raced(tmp_path) == text and read_run(stock.folder).ledger == stock.ledger, "what is done stays"


@pytest.mark.slow
def test_a_race_that_is_stopped_promises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(arm: Arm, folder: Path, seed: int, device: torch.device) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "agent.safetensors"

    def stopped(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    words = ["race", "--profile", "smoke", "--runs", str(tmp_path)]
    monkeypatch.setattr("harness.race.train", trained)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2 and "metrics.csv" in capsys.readouterr().err
    metrics = tmp_path / "smoke" / "reinforcement" / "seed_0" / "metrics.csv"
    metrics.write_text("frames,wall_seconds,score\n4000,0.5,16\n")
    monkeypatch.setattr("harness.race.yardstick", lambda: "not measured")
    monkeypatch.setattr("harness.race.ZOO", replace(ZOO, games=4, rollout_steps=16, minibatch=64))
    monkeypatch.setattr("harness.race.count", stopped)
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr().err
    assert left.value.code == 130 and "begin anew" in said and "goes on from here" not in said


def _raced(root: Path) -> str:
    console = Console(file=StringIO(), width=100, record=True)
    console.print(race(SMOKE, root, (0,), torch.device("cpu")))
    return console.export_text()
