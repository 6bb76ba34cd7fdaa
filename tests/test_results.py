"""The reference agents: each is small, is the one that was judged, and plays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from agents.agent import load_agent
from agents.rollout import play
from envs.breakout import STICKY
from evaluation.record import read_evaluations

AGENTS = sorted((Path(__file__).parents[1] / "results" / "agents").glob("*.safetensors"))


def test_there_are_reference_agents() -> None:
    assert AGENTS


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_a_reference_agent_is_the_one_that_was_judged(path: Path) -> None:
    assert path.stat().st_size <= 8_000_000
    evaluations = read_evaluations(path.with_suffix(".json"))
    assert {e.protocol for e in evaluations if e.deterministic} == {"classic", "sticky"}
    assert {len(e.games) for e in evaluations} == {30}
    assert {e.fingerprint for e in evaluations} == {hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_a_reference_agent_plays_here(path: Path) -> None:
    agent = load_agent(path)
    games = play(lambda games: agent, [20, 22, 24], STICKY, max_steps=600)
    assert np.mean([game.score for game in games]) >= 15, "half a human's whole game, in the time of a few balls"
