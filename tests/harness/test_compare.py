"""The whole path, small: a clean folder to a report; a second call re-does nothing; a killed run goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents import load_agent
from agents.files import read_json
from harness.cli import main
from harness.profiles import PROFILES

FROM_ANOTHER_PROCESS = """
import sys
import agents.run
agents.run.CHECKPOINT_SECONDS = 0.2
from harness.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_compare_takes_an_empty_folder_to_a_report_and_a_second_call_redoes_nothing(tmp_path: Path) -> None:
    words = ["compare", "--profile", "smoke", "--runs", str(tmp_path)]
    main(words)
    root = tmp_path / "smoke"
    page = (root / "report" / "index.html").read_text()
    for name in PROFILES["smoke"].arms():
        folder = root / name / "seed_0"
        assert load_agent(folder / "agent.safetensors").facts["seed"] == 0
        ledger = read_json(folder / "ledger.json")
        assert ledger["frames"] > 0
        assert (ledger["labels"] > 0) == (name == "supervised"), "labels are for the supervised arm alone"
        assert 0 < ledger["rewards_read"] <= ledger["agent_steps"]
        for artefact in (
            "config.json",
            "provenance.json",
            "metrics.csv",
            "evaluation.json",
            "replay.mp4",
            "tensorboard",
        ):
            assert (folder / artefact).exists(), f"{name}/{artefact}"
        for evaluation in read_json(folder / "evaluation.json"):
            assert len(evaluation["games"]) == PROFILES["smoke"].games
    controls = {"random", "demonstrator", "unsupervised_shuffled", "unsupervised_random"}
    assert controls <= {path.parents[1].name for path in root.glob("*/*/evaluation.json")}
    assert "What they see" in page
    assert "An atlas of states" in page
    assert page.count("<video") >= 6
    before = {
        path: path.stat().st_mtime_ns for path in root.glob("*/*/*") if path.suffix in (".safetensors", ".json", ".mp4")
    }
    main(words)
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
@pytest.mark.parametrize("paradigm", ["supervised", "unsupervised", "reinforcement"])
def test_a_killed_run_goes_on_and_ends(paradigm: str, tmp_path: Path) -> None:
    words = ["train", paradigm, "--profile", "smoke", "--runs", str(tmp_path)]
    folder = tmp_path / "smoke" / paradigm / "seed_0"
    process = subprocess.Popen([sys.executable, "-c", FROM_ANOTHER_PROCESS, *words], stderr=subprocess.DEVNULL)
    for _ in range(1200):
        if list(folder.glob("checkpoints/0*.safetensors")) or process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is None, "the run ended before its first checkpoint"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "agent.safetensors").exists()
    main(words)
    agent = load_agent(folder / "agent.safetensors")
    assert agent.paradigm == paradigm
    assert json.dumps(agent.facts["ledger"]) == json.dumps(read_json(folder / "ledger.json"))
