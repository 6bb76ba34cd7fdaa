"""A run can be stopped and continued, spoilt files are noticed, and its best agent is saved and plays elsewhere."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agents.agent import Agent, load_agent
from agents.encoder import Encoder, mirror
from agents.files import UserError
from agents.heads import ActionHead
from agents.run import Interrupted, Run
from envs.breakout import LEARNT_ACTIONS
from paradigms.reinforcement import Config, train
from paradigms.reinforcement.ppo import BreakoutPPO
from paradigms.reinforcement.train import due
from paradigms.validation import Validation, leads

TINY = Config(
    steps=6 * 64,
    games=4,
    rollout_steps=16,
    minibatch=32,
    epochs=2,
    validations=2,
    validation_games=1,
    precision="float32",
).by_ppo()


def open_run(folder: Path, config: Config = TINY) -> Run:
    return Run(folder, "reinforcement", config, 0, torch.device("cpu"))


def interrupt_after(updates: list[float], monkeypatch: pytest.MonkeyPatch, *moments: list[float]) -> None:
    """Note each update in `updates`; press Ctrl-C, as it were, whenever they are one of `moments`."""
    tick = Run.tick

    def noted(run: Run, done: float, *rest: object) -> None:
        updates.append(done)
        run._interrupted = updates in moments
        tick(run, done, *rest)

    monkeypatch.setattr(Run, "tick", noted)


def test_a_run_is_interrupted_and_resumed_and_its_agent_plays_like_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners, updates, validated = [], list[float](), []
    agent_of, judge = BreakoutPPO.agent, Validation.judge
    monkeypatch.setattr(BreakoutPPO, "agent", lambda self: (learners.append(self), agent_of(self))[1])
    monkeypatch.setattr(Validation, "judge", lambda self, agent: (judge(self, agent), validated.append(self.best))[0])
    interrupt_after(updates, monkeypatch, [1, 2])
    with open_run(tmp_path) as run, pytest.raises(Interrupted):
        train(TINY, run)
    with open_run(tmp_path) as run:
        agent = train(TINY, run)
    assert updates == [1, 2, 3, 4, 5, 6]
    assert len(validated) == TINY.validations
    assert agent is validated[-1]
    played = run.ledger.agent_steps - 6 * 64
    assert played > 0, "validation games are counted"
    assert (run.ledger.frames, run.ledger.rewards_read) == (4 * (384 + played), 384 + played)
    assert (run.ledger.gradient_steps, run.ledger.samples, run.ledger.labels) == (6 * 2 * 2, 2 * 384, 0)

    agent_of(learners[-1]).save(tmp_path / "agent.safetensors")
    loaded = load_agent(tmp_path / "agent.safetensors")
    observation = torch.randint(0, 256, (8, 4, 84, 84), dtype=torch.uint8)
    with torch.no_grad():
        ours, _ = learners[-1].policy.logits_and_values(observation)
        seen_in_the_mirror, _ = learners[-1].policy.logits_and_values(mirror(observation))
        assert torch.equal(loaded.head(loaded.encoder(observation).features), ours)
    actions, _ = loaded.predict(observation.numpy())
    assert actions.tolist() == np.asarray(LEARNT_ACTIONS)[(ours + seen_in_the_mirror[:, [0, 2, 1]]).argmax(1)].tolist()


def test_the_best_in_validation_is_kept_even_over_a_resumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigms.validation.LONGEST", 60)
    with open_run(tmp_path) as run:
        better = Validation(4, run)
        torch.manual_seed(0)
        agents = [Agent(Encoder("small"), ActionHead(256), "reinforcement") for _ in range(3)]
        for agent in agents:
            better.judge(agent)
        assert better.best in agents
        best = agents.index(better.best)
        assert float(np.mean(better.scores)) == run._rows[best]["validation_score"]
        again = Validation(4, run)
        again.restore(better.state())
    assert again.best is not None
    assert again.scores == better.scores
    assert_close(again.best.head.state_dict(), agents[best].head.state_dict())
    assert_close(again.best.encoder.state_dict(), agents[best].encoder.state_dict())


def test_validation_is_spread_evenly_and_ends_with_the_last_update() -> None:
    assert [update for update in range(1, 7) if due(update, TINY)] == [3, 6]


def test_only_a_lead_that_luck_does_not_explain_keeps_an_earlier_agent() -> None:
    assert leads([20, 30, 25, 22], [10, 12, 9, 11])
    assert not leads([20, 30, 25, 22], [22, 29, 24, 20])  # half a point ahead, give or take one
    assert not leads([10, 12], [10, 12])
    assert not leads([10], [12])


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_not_a_number_stops_the_run_and_keeps_the_last_good_checkpoint(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = BreakoutPPO.train

    def break_at_the_third(self: BreakoutPPO) -> None:
        third = self._n_updates == 2 * TINY.epochs
        if third and when == "before":
            torch.nn.init.constant_(self.policy.value_net.weight, math.nan)
        update(self)
        if third and when == "after":  # as a last gradient step can do, whose loss was still finite
            torch.nn.init.constant_(self.policy.value_net.weight, math.nan)

    monkeypatch.setattr(BreakoutPPO, "train", break_at_the_third)
    monkeypatch.setattr("agents.run.CHECKPOINT_SECONDS", 0.0)
    with open_run(tmp_path) as run:
        with pytest.raises(UserError, match="after update 3 the loss or a weight is not a number"):
            train(TINY, run)
        state = run.restore()
    assert state is not None
    assert state["update"] == 2
    assert all(weight.isfinite().all() for weight in state["policy"].values())


def test_spoilt_checkpoints_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.run.CHECKPOINT_SECONDS", 0.0)
    updates = list[float]()
    interrupt_after(updates, monkeypatch, [1, 2, 3], [1, 2, 3, 3, 4])
    with open_run(tmp_path) as run, pytest.raises(Interrupted):
        train(TINY, run)
    _, newest = sorted((tmp_path / "checkpoints").glob("*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    said = list[str]()
    monkeypatch.setattr("agents.progress.Progress.say", lambda self, line: said.append(line))
    with open_run(tmp_path) as run, pytest.raises(Interrupted):
        train(TINY, run)
    assert updates == [1, 2, 3, 3, 4], "the third update was made again"
    assert any("falling back to the checkpoint before it" in line for line in said)

    with open_run(tmp_path) as run:
        state = run.restore()
        assert state is not None
        for spoilt, reason in (
            ({**state, "policy": {"weight": torch.zeros(1)}}, "state_dict"),
            ({key: value for key, value in state.items() if key != "gathering"}, "gathering"),
            ({"round": 3}, "bfloat16"),
            ({**state, "gathering": {**state["gathering"], "games": other_games(state)}}, "games"),
        ):
            run.checkpoint(spoilt)
            with pytest.raises(UserError, match=f"not of this run.*{reason}"):
                train(TINY, run)
    with (
        pytest.raises(UserError, match="encoder = 'small' instead of 'nature'"),
        open_run(tmp_path, replace(TINY, encoder="nature")),
    ):
        pass


def other_games(state: dict[str, dict[str, dict[str, object]]]) -> dict[str, object]:
    return {**state["gathering"]["games"], "seen": 0}
