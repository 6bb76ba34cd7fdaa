"""Run folders that nobody trained: valid in form, made up in content, for the tests of what reads them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.policy import RandomPolicy
from agents.rollout import GameRecord, play
from agents.run import Ledger
from envs.breakout import CLASSIC
from evaluation.record import Evaluation, JudgedGame, write_evaluation
from evaluation.replay import Take, film
from evaluation.runs import CONTROLS
from evaluation.statistics import count_distinct, summarise

CENTRES = {
    "supervised": (300, 370),  # sticky, classic
    "unsupervised": (24, 29),
    "reinforcement": (15, 18),
    "random": (1, 1),
    "unsupervised_untrained": (3, 4),
    "unsupervised_components": (2, 3),
    "unsupervised_shuffled": (2, 2),
    "unsupervised_random": (1, 1),
    "demonstrator": (600, 860),
}


def judged_folder(
    folder: Path, name: str, seed: int, protocol: str, scores: Sequence[int], paradigm: str = "", sampled: bool = False
) -> None:
    """Write an evaluation whose games have `scores`; classic ones repeat every fourth game."""
    period = 4 if protocol == "classic" else len(scores)
    records = [
        GameRecord(2 * i + 1, scores[i % period], 3, 0, False, bytes([1, 2, i % period])) for i in range(len(scores))
    ]
    values = np.array([record.score for record in records], np.float64)
    distinct = count_distinct([(r.score, r.actions) for r in records])
    evaluation = Evaluation(
        agent=name,
        paradigm=paradigm or name,
        protocol=protocol,
        training_seed=seed,
        games=tuple(JudgedGame(r.seed, r.score, r.steps, r.lives_left, r.truncated) for r in records),
        summary=summarise(values, distinct, np.random.default_rng(0)),
        deterministic=name != "random" and not sampled,
        judge_seed=1000,
        fingerprint=hashlib.sha256(name.encode()).hexdigest(),
        steps=3 * len(scores),
        wall_seconds=12.5,
    )
    write_evaluation(folder / "evaluation.json", evaluation, records)


def run_folder(root: Path, name: str, seed: int = 0, games: int = 12, centre: tuple[int, int] | None = None) -> Path:
    """Write one whole run folder but for the film, and return it."""
    folder = root / name / f"seed_{seed}"
    generator = np.random.default_rng([seed, *name.encode()])
    for protocol, middle in zip(("sticky", "classic"), centre or CENTRES.get(name, (10, 10)), strict=True):
        scores = np.clip(generator.normal(middle, middle / 5 + 0.5, games), 0, 864).astype(int).tolist()
        judged_folder(folder, name, seed, protocol, scores)
    if name not in ("random", "demonstrator"):
        _write_training(folder, name, seed, centre or CENTRES.get(name, (10, 10)), generator)
    return folder


def _write_training(
    folder: Path, name: str, seed: int, centre: tuple[int, int], generator: np.random.Generator
) -> None:
    (folder / "agent.safetensors").write_bytes(b"not read by the report")
    (folder / "config.json").write_text(json.dumps({"paradigm": name, "seed": seed, "format": 1, "config": {}}))
    provenance = {
        "commit": "0123456789ab",
        "machine": "Linux x86_64, 2 cores",
        "device": "some processor",
        "threads": 2,
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    ledger = asdict(_ledger(name))
    (folder / "ledger.json").write_text(json.dumps(ledger))
    rows = ["agent_steps,frames,gradient_steps,wall_seconds,loss,score"]
    for i in range(1, 25):
        score = max(0.0, centre[0] * (1 - np.exp(-i / 8)) + generator.normal(0, 2))
        rows.append(f"{i * 5000},{i * 20000},{i * 900},{i * 12.5},{1 / i:.3f},{score:.2f}")
        rows.append(f"{i * 5000},{i * 20000},{i * 900},{i * 12.5},{1 / i:.3f},")
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")


def _ledger(name: str) -> Ledger:
    budget = name.rpartition("_")[2]  # as the label curve's runs are called
    labels = 88_000 if name == "supervised" else int(budget) if budget.isdigit() else 0
    rewards = 0 if name == "supervised" else 120_000
    return Ledger(labels, 120_000, 480_000, rewards, 21_600, 2_700_000, 560.0, 300.0)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As in the judge's workers: on a busy machine, threads of a small network wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture
def write_judged() -> Callable[..., None]:
    """Writes one evaluation into a run folder."""
    return judged_folder


@pytest.fixture
def write_run() -> Callable[..., Path]:
    """Writes one run folder."""
    return run_folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile's folder with everything in it; its films are all the same short one."""
    footage = tmp_path_factory.mktemp("film") / "replay.mp4"
    (record,) = play(lambda games: RandomPolicy(1), [11], CLASSIC)
    film([Take("Random policy", "classic", record, "the median of 12 judged games (classic, sampled)")], footage, 1)
    root = tmp_path_factory.mktemp("runs") / "quick"
    for name in ("supervised", "unsupervised", "reinforcement"):
        for seed in range(3):
            _lend(footage, run_folder(root, name, seed, games=30))
    for name in CONTROLS:
        _lend(footage, run_folder(root, name))
    _lend(footage, root, "together")
    return root


def _lend(footage: Path, folder: Path, name: str = "replay") -> None:
    for suffix in (".mp4", ".jpg", ".json"):
        shutil.copy(footage.with_suffix(suffix), folder / f"{name}{suffix}")
