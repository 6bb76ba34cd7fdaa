"""What came before deep learning, as the command trains it: six machines for every seed, judged with the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.agent import Agent, load_agent
from agents.encoder import Encoder
from agents.heads import ActionHead
from evaluation.runs import SHALLOW, read_profile
from harness.cli import main
from harness.compare import folders
from harness.profiles import SMOKE
from harness.shallow import arms
from paradigms.supervised.gather import Field


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A profile's folder in which the supervised arm has been trained."""
    source = tmp_path / "smoke" / "supervised" / "seed_0"
    (source / "checkpoints").mkdir(parents=True)
    states, _, _ = Field(4, np.random.SeedSequence(1)).gather(None, 300)
    np.savez(source / "checkpoints" / "round_0.npz", **states.arrays())
    encoder = Encoder("small")
    Agent(encoder, ActionHead(encoder.features_dim), "supervised").save(source / "agent.safetensors")
    return tmp_path / "smoke"


def test_every_machine_has_a_name_in_the_report() -> None:
    assert list(arms(Path("source"))) == list(SHALLOW)


def test_machines_are_trained_found_by_the_judge_and_named_in_the_report(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.shallow.INPUTS", ("features",))
    monkeypatch.setattr("harness.compare.yardstick", lambda: "not measured here")
    main(["shallow", "--profile", "smoke", "--runs", str(root.parent), "--device", "cpu"])
    shown = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "_features" in line]
    assert shown == [["bayes_features", "0"]] * 2 + [["kernel_features", "0"]] * 2, "100 labels and all, each"
    agents = [root / f"{method}_features" / "seed_0" / "agent.safetensors" for method in ("bayes", "kernel")]
    assert [load_agent(agent).head.kind for agent in agents] == ["bayes", "kernel"]
    assert {agent.parent: str(agent) for agent in agents}.items() < folders(SMOKE, root, (0,)).items()
    labels = {run.name: run.label for run in read_profile(root)}
    assert labels["kernel_features"] == "Kernel machine on the imitator's features"


def test_without_labels_the_command_says_what_to_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["shallow", "--profile", "smoke", "--runs", str(tmp_path)])
    assert stop.value.code == 2
    assert "make supervised" in capsys.readouterr().err
