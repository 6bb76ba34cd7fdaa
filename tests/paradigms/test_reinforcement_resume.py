"""Killed at any moment and started again, a run leaves the very agent that it would have left undisturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agents.run import Run
from paradigms.reinforcement import Config, train

PQN = Config(
    steps=14 * 128,
    games=4,
    sticky_share=0.5,
    rollout_steps=32,
    minibatch=32,
    epochs=2,
    validations=3,
    validation_games=2,
    exploration=0.5,
    precision="float32",
)
CONFIG = {"ppo": PQN.by_ppo(), "pqn": PQN}[os.environ.get("ALGORITHM", "pqn")]
TRIALS = int(os.environ.get("TRIALS", "1"))  # runs, each killed twice; `TRIALS=20 ALGORITHM=ppo pytest FILE`
PROCESS = """
import sys
import agents.run
from tests.paradigms.test_reinforcement_resume import run_to_the_end
agents.run.CHECKPOINT_SECONDS = 0.0
run_to_the_end(sys.argv[1])
"""


def run_to_the_end(folder: str | Path) -> None:
    with Run(Path(folder), "reinforcement", CONFIG, 0, torch.device("cpu")) as run:
        run.finish(train(CONFIG, run), run.folder / "agent.safetensors")


def run_until_killed(folder: Path, updates: int, later: float) -> bool:
    """Kill a process `later` seconds after its checkpoint of so many updates; tell whether it was cut short."""
    process = subprocess.Popen([sys.executable, "-c", PROCESS, str(folder)], cwd=Path(__file__).parents[2])
    while process.poll() is None and checkpoints_of(folder) < updates:
        time.sleep(0.01)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def checkpoints_of(folder: Path) -> int:
    return max((int(path.stem) for path in (folder / "checkpoints").glob("[0-9]*.safetensors")), default=0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_to_the_end(folder)
    return load_file(folder / "agent.safetensors")


@pytest.mark.parametrize("trial", range(TRIALS))
def test_killed_and_resumed_it_leaves_the_same_agent(
    trial: int, undisturbed: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    dice = random.Random(trial)
    moments = sorted(dice.sample(range(1, CONFIG.updates - 2), 2))
    cut = [run_until_killed(tmp_path, moment, dice.uniform(0, 0.3)) for moment in moments]
    assert cut == [True, True]
    assert checkpoints_of(tmp_path) < CONFIG.updates, "it had not come to its end"
    run_to_the_end(tmp_path)
    resumed = load_file(tmp_path / "agent.safetensors")
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in undisturbed.items())
