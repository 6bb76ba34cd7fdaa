"""The atlas: made from a planner's own views, it survives its file and stands in the report."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from agents.agent import Agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.heads import ActionHead
from agents.planner import PlannerHead
from agents.rollout import play
from envs.breakout import CLASSIC, LIVES
from evaluation import atlas
from evaluation.evaluate import evaluate
from evaluation.report import write_report
from harness.compare import draw_atlas


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    """A planner that knows nothing, and an atlas of little."""
    for name, value in {"GAMES": 2, "LONGEST": 90, "FILMED": 60, "CELLS": (3, 6), "MOMENTS": 2}.items():
        monkeypatch.setattr(atlas, name, value)
    torch.manual_seed(0)
    return Agent(Encoder("small"), PlannerHead("small", slots=2, memories=0, cells=4, transitions=0), "unsupervised")


def test_an_atlas_accounts_for_every_state_and_stands_in_the_report(
    agent: Agent, tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    (record,) = play(lambda games: agent, [8], CLASSIC, max_steps=60)
    found = atlas.draw(agent, "agent", record)
    assert sum(cell.members for cell in found.cells) == len(found.points) > 50
    assert all(0 < cell.visits <= cell.members for cell in found.cells)
    assert all(cell.leads_to != number < len(found.cells) for number, cell in enumerate(found.cells))
    assert [len(moment.alike) for moment in found.moments] == [5, 5]
    folder = write_run(tmp_path, "unsupervised")
    agent.save(folder / "agent.safetensors")
    path = atlas.write_atlas(folder / "agent.safetensors", None)
    kept = atlas.read_atlas(path)
    assert (kept.points, kept.cells, kept.moments) == (found.points, found.cells, ()), "the same games, the same atlas"
    page = write_report(tmp_path)
    assert "An atlas of states" in page.read_text()
    assert page.stat().st_size < 2_000_000
    path.write_text("{}")
    with pytest.raises(UserError, match=r"atlas\.json"):
        write_report(tmp_path)


def test_a_judged_game_is_watched_as_it_was_played(agent: Agent) -> None:
    (record,) = play(lambda games: agent, [8], CLASSIC, max_steps=60)
    assert bytes(atlas.watch(agent, record).actions.astype("uint8")) == record.actions
    assert record.lives_left <= LIVES


def test_without_classic_games_of_its_own_an_atlas_has_no_moments(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "agent.safetensors"
    agent.save(path)
    for protocol in ("sticky", "classic"):
        evaluate("random", protocol, 1, json_path=tmp_path / "evaluation.json", workers=1)
        assert not atlas.read_atlas(draw_atlas(path)).moments


def test_only_planners_have_an_atlas() -> None:
    with pytest.raises(UserError, match="unsupervised"):
        atlas.watch(Agent(Encoder("small"), ActionHead(256), "supervised"))
