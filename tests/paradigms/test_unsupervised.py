"""The unsupervised arm: it sees no RAM and nothing of the demonstrator, survives a kill, and refuses in time."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from ale_py import ALEInterface

from agents.agent import load_agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.keypoints import KeypointHead
from agents.planner import PlannerHead
from agents.rollout import Transitions
from agents.run import Run
from envs.breakout import Game
from paradigms import unsupervised
from paradigms.unsupervised import represent
from paradigms.unsupervised.contrast import Contrast
from paradigms.unsupervised.explore import Experience, read_all
from paradigms.unsupervised.insight import Landings
from paradigms.unsupervised.limits import check_memory, free_memory
from paradigms.unsupervised.objective import SECONDS, Objective
from paradigms.unsupervised.predict import Prediction
from paradigms.unsupervised.train import Learner

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = unsupervised.Config(
    games=4,
    round_steps=600,
    rounds=1,
    slots=3,
    keypoint_steps=24,
    refresh_steps=4,
    batch=8,
    self_cells=12,
)


def run_in(folder: Path, config: unsupervised.Config, seed: int = 0) -> Path:
    with Run(folder, "unsupervised", config, seed, torch.device("cpu")) as run:
        agent = unsupervised.train(config, run)
        run.finish(agent, folder / "agent.safetensors")
        assert run.ledger.labels == 0
        assert run.ledger.agent_steps == 2 * 600
        assert run.ledger.rewards_read == run.ledger.agent_steps
    return folder / "agent.safetensors"


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the RAM or imports the demonstrator fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("the unsupervised arm read the RAM")

    monkeypatch.setattr(Game, "ram", property(refuse))
    monkeypatch.setattr(ALEInterface, "getRAM", refuse)
    monkeypatch.setitem(sys.modules, "agents.demonstrator", None)
    monkeypatch.setitem(sys.modules, "envs.game_state", None)


@pytest.mark.usefixtures("blocked")
def test_trains_without_ram_and_goes_on_after_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which precision is faster is measured anew for each training of eyes, and may differ between two runs.
    monkeypatch.setattr(represent, "fastest_precision", lambda *_: torch.float32)
    whole = run_in(tmp_path / "whole", TINY)

    class Killed(BaseException):
        pass

    advance = represent.KeypointTraining.advance
    deaths = {(False, 22), (True, 3)}  # once without an objective, once with one

    def die(training: represent.KeypointTraining) -> float:
        here = (training.objective is not None, training.step)
        if here in deaths:
            deaths.remove(here)
            raise Killed
        return advance(training)

    monkeypatch.setattr("agents.run.CHECKPOINT_SECONDS", 0.0)  # every tick writes one
    monkeypatch.setattr(represent.KeypointTraining, "advance", die)
    for _ in range(2):
        with pytest.raises(Killed):
            run_in(tmp_path / "killed", TINY)
    resumed = run_in(tmp_path / "killed", TINY)

    for name, tensor in load_agent(whole).encoder.state_dict().items():
        torch.testing.assert_close(load_agent(resumed).encoder.state_dict()[name], tensor, msg=name)


@pytest.mark.parametrize("representation", ["untrained", "components"])
def test_the_controls_see_with_eyes_of_their_own(
    representation: Literal["untrained", "components"], tmp_path: Path
) -> None:
    config = unsupervised.Config(
        representation=representation, games=4, round_steps=600, rounds=1, slots=3, keypoint_steps=24, self_cells=12
    )
    agent = load_agent(run_in(tmp_path, config))
    assert isinstance(agent.head, PlannerHead)
    assert agent.head.eyes.kind == ("components" if representation == "components" else "keypoints")
    with Run(tmp_path / "born", "unsupervised", config, 0, torch.device("cpu")) as run:
        born = Learner(config, run)
    for name, weight in born.encoder.state_dict().items():
        assert torch.equal(weight, agent.encoder.state_dict()[name]), "nobody taught this encoder"
    if representation == "untrained":
        for name, weight in born.eyes.state_dict().items():
            assert torch.equal(weight, agent.head.eyes.state_dict()[name])
    assert agent.predict(np.zeros((2, 4, 84, 84), np.uint8))[0].shape == (2,)


def test_after_seeing_anew_all_rounds_are_read_by_the_new_eyes(tmp_path: Path) -> None:
    config = replace(TINY, rounds=3, refresh_after=(2,), objective="contrast", keypoint_steps=8)
    with Run(tmp_path, "unsupervised", config, 0, torch.device("cpu")) as run:
        agent = unsupervised.train(config, run)
        assert run.ledger.gradient_steps == config.keypoint_steps + config.refresh_steps
        assert isinstance(agent.head, PlannerHead)
        assert run.load_arrays("pictures_3") is None, "nothing is learnt from the last round's pictures"
        for number in range(3):
            pictures, kept = run.load_arrays(f"pictures_{number}"), run.load_arrays(f"experience_{number}")
            assert pictures is not None
            assert kept is not None
            readings = read_all(agent.encoder, agent.head, Transitions(**pictures), lambda: None)
            np.testing.assert_allclose(kept["readings"], readings, atol=1e-3)


def test_of_the_last_planners_the_best_in_validation_is_the_agent_even_over_a_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, rounds=2, validations=2, validation_games=1, refresh_after=(1,))
    monkeypatch.setattr("paradigms.validation.LONGEST", 60)
    monkeypatch.setattr("paradigms.validation.leads", lambda *_: True)  # so that the earlier of the two is the best
    with Run(tmp_path, "unsupervised", config, 0, torch.device("cpu")) as run:
        learner = Learner(config, run)
        assert learner.stages == ["play", "see", "play", "see", "judge", "play", "judge"]
        for _ in range(5):
            learner.advance()
        earlier = learner.validation.best
        assert earlier is not None
    with Run(tmp_path, "unsupervised", config, 0, torch.device("cpu")) as run:
        agent = unsupervised.train(config, run)
    for ours, kept in ((agent.encoder, earlier.encoder), (agent.head, earlier.head)):
        torch.testing.assert_close(ours.state_dict(), kept.state_dict())


def test_eyes_learn_from_clumsy_play_and_from_the_latest(tmp_path: Path) -> None:
    lessons = []
    with Run(tmp_path, "unsupervised", TINY, 0, torch.device("cpu")) as run:
        learner = Learner(TINY, run)
        learner.advance()
        for rounds in (1, 2, 4, 9):
            learner.experience = learner.experience[:1] * rounds
            lessons.append(learner.lesson)
    assert lessons == [[0], [0, 1], [0, 1, 2, 3], [0, 4, 7, 8]]


def test_a_checkpoint_of_another_encoder_is_refused(tmp_path: Path) -> None:
    for width in ("small", "nature"):
        with Run(tmp_path, "unsupervised", TINY, 0, torch.device("cpu")) as run:
            learner = Learner(replace(TINY, encoder=width), run)
            if width == "small":
                run.checkpoint(learner.state())
            else:
                with pytest.raises(UserError, match="not of this run"):
                    learner.restore()


def test_a_training_of_another_version_is_refused(tmp_path: Path) -> None:
    with Run(tmp_path, "unsupervised", TINY, 0, torch.device("cpu")) as run:
        learner = Learner(TINY, run)
        learner.advance()
        learner.training = {"modules": {"encoder": {}}}
        with pytest.raises(UserError, match="not of this run"):
            learner.see()


def test_refuses_what_cannot_work() -> None:
    with pytest.raises(UserError, match="--rounds"):
        unsupervised.Config(rounds=0)
    with pytest.raises(UserError, match="--validations"):
        unsupervised.Config(validations=-1)
    with pytest.raises(UserError, match="--refresh-after"):
        unsupervised.Config(refresh_after=(0, 2))
    with pytest.raises(UserError, match="--self-cells"):
        unsupervised.Config(round_steps=1_000, self_cells=1_000)
    with pytest.raises(UserError, match="--self-cells 2 is too few"):
        unsupervised.Config(self_cells=2)
    with pytest.raises(UserError, match="at most 166 cells"):
        unsupervised.Config(round_steps=1_000, self_cells=167)
    with pytest.raises(UserError, match="at least 2048 steps or at most 46 games"):
        unsupervised.Config(games=64, round_steps=1_500, self_cells=10)
    with pytest.raises(UserError, match="at most 1735 steps"):
        check_memory(24_000, 5, 4, available=100_000_000)
    check_memory(1_735, 5, 4, available=100_000_000)
    with pytest.raises(UserError, match="--rounds 1000000000"):
        check_memory(6_000, 1_000_000_000, 4)
    assert free_memory() > 1e8
    with pytest.raises(UserError, match="nothing moves"):
        represent.MovingResidual(np.full((40, 2, 84, 84), 7, np.uint8), np.random.default_rng(0))
    with pytest.raises(ValueError, match="empty"):
        empty = np.zeros((0, 2))
        Experience(np.zeros((0, 2, 3, 3)), empty.astype(int), empty, empty.astype(bool), empty.astype(bool))


@pytest.mark.parametrize(("lives", "score"), [(10, 300.0), (2, 864.0), (0, 864.0)])
def test_no_round_scores_more_than_a_game_holds(lives: int, score: float) -> None:
    steps = 20
    lost = (np.arange(steps) < lives)[:, None]
    over = np.arange(steps)[:, None] == steps - 1
    points = np.full((steps, 1), 30.0, np.float32)
    assert Experience(np.zeros((steps, 1, 3, 3)), np.zeros((steps, 1), int), points, lost, over).score == score


def test_keypoints_that_are_no_numbers_are_refused_with_the_flag() -> None:
    steps, games = 12, 2
    mask = np.zeros((steps, games), np.bool_)
    pictures, age = np.zeros((steps + 4, games, 84, 84), np.uint8), np.full((steps + 1, games), 9)
    rollout = Transitions(pictures, age, mask.astype(np.int64), mask.astype(np.float32), mask, mask)
    head = PlannerHead("small", 2, 0, 1, 0)
    torch.nn.init.constant_(head.eyes.to_pixels.weight, float("nan"))
    with pytest.raises(UserError, match="--learning-rate"):
        read_all(Encoder("small"), head, rollout, lambda: None)


@pytest.mark.parametrize("make", [lambda: Prediction(256, torch.tensor([0.5, 0.5])), lambda: Contrast(256)])
def test_an_objective_gets_moments_of_many_stretches_and_the_next_ones_if_it_sees_them(make: type[Objective]) -> None:
    steps, games = 50, 5
    pictures = np.random.default_rng(0).integers(0, 256, (steps + 4, games, 84, 84), dtype=np.uint8)
    mask = np.zeros((steps, games), np.bool_)
    age, taken = np.full((steps + 1, games), 9), np.ones((steps, games), np.int64)
    rollout = Transitions(pictures, age, taken, mask.astype(np.float32), mask, mask)
    objective = make()

    def begin() -> represent.KeypointTraining:
        return represent.KeypointTraining(
            Encoder("small"), KeypointHead("small", 3), rollout,
            represent.MovingResidual(pictures, np.random.default_rng(0)), np.random.default_rng(1),
            total_steps=1, batch=16, learning_rate=1e-3, objective=objective,
            readings=np.zeros((steps, games, 2, 3), np.float32),
        )  # fmt: skip

    training = begin()
    for _ in range(20):
        t, game = training._draw_moments()
        assert len(t) == 96, "six for each observation that is redrawn"
        moments = t.reshape(-1, objective.together, objective.seen)
        now = moments[..., 0]
        assert (moments[..., -1] == now + objective.seen - 1).all() and now.max() + 1 < steps
        assert (np.ptp(now, axis=1) < SECONDS).all(), "one stretch"
        assert all(len(set(row)) == objective.together for row in now.tolist()), "each moment once"
        assert (np.ptp(game.reshape(len(moments), -1), axis=1) == 0).all(), "one game"
    assert training.observations == 16 + 96
    before = training.encoder.linear.weight.clone()
    training.advance()
    assert not torch.equal(training.encoder.linear.weight, before), "the feature vector learns"
    resumed = begin()
    resumed.restore(training.state())
    assert resumed.losses == training.losses, "what is logged goes on, too"


def test_what_stands_still_is_no_residual_and_what_moves_is() -> None:
    pictures = np.full((60, 1, 84, 84), 50, np.uint8)
    pictures[:, :, 5, 5] = 200  # a digit: always there
    for row in range(60):
        pictures[row, 0, 40, 10 + row] = 150
    residual = represent.MovingResidual(pictures, np.random.default_rng(0))(np.array([30]), np.array([0]))
    assert residual[0, 40, 40] == pytest.approx(100 / 255)
    residual[0, 40, 40] = 0
    assert not residual.any()


def test_information_is_zero_for_chance_and_log_two_a_landing_for_a_rule() -> None:
    offset = np.repeat([-10.0, 10.0], 50)
    zero = np.zeros(100)
    for returned, nats in ((offset > 0, 100 * np.log(2)), (np.tile([True, False], 50), 0.0)):
        landings = Landings(zero, zero.astype(int), offset, np.zeros((100, 2)), zero, returned, zero)
        assert landings.information == pytest.approx(nats)
