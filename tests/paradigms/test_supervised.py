"""The supervised arm: its losses by hand, its mirror, its pool, and a tiny run that learns, breaks off and goes on."""

from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, cast

import numpy as np
import pytest
import torch

from agents.agent import Agent, load_agent
from agents.demonstrator import Demonstrator
from agents.files import UserError
from agents.policy import State
from agents.run import Interrupted, Run
from envs.breakout import CLASSIC, LEARNT_ACTIONS, Actions, Bytes, Game, Mask
from paradigms.supervised import Config, train
from paradigms.supervised.gather import Field, Gatherer, Harvest, Order, _Album
from paradigms.supervised.labelled import NEAR, Labelled, Pool
from paradigms.supervised.losses import imitation_losses, sample_weights, soft_labels
from paradigms.supervised.train import Learner, _Training

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TINY = Config(
    rounds=2,
    demonstrated_rounds=1,
    round_labels=500,
    games=4,
    samples=1_600,
    batch=32,
    average=0.9,
    validation_games=1,
    validation_steps=60,
)


@pytest.fixture(scope="module")
def states() -> Labelled:
    gathered, _, _ = Field(4, np.random.SeedSequence(1)).gather(None, 2_000)
    return gathered


def test_soft_labels_share_what_is_equally_cheap() -> None:
    labels = soft_labels(torch.tensor([[4.0, 4.0, 20.0], [0.0, 0.5, 0.5]]))
    torch.testing.assert_close(labels[0], torch.tensor([0.5, 0.5, 0.0]), atol=1e-6, rtol=0)
    odds = np.exp(-1.0)  # half a pixel at a temperature of half a pixel
    torch.testing.assert_close(labels[1, 1] / labels[1, 0], torch.tensor(float(odds), dtype=torch.float32))


def test_weights_grow_with_what_is_at_stake_and_shrink_with_distance() -> None:
    costs = torch.tensor([[1.0, 1.0, 1.0], [1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])[:, None].repeat(1, 3, 1)
    weights = sample_weights(costs, torch.tensor([10.0, 10.0, NEAR + 1.0]))
    torch.testing.assert_close(weights[:, 0], torch.tensor([0.15, 1.15, 0.23]))
    torch.testing.assert_close(weights[:, 1:], 0.3 * weights[:, :1].repeat(1, 2), msg="the sides count less")


def test_the_loss_equals_a_hand_calculation() -> None:
    # The labels are (1, 0, 0) to within 1e-8 and the learner says 1/3 each: a divergence of log 3, times 0.15 + 10/3.
    losses = imitation_losses(
        logits=torch.zeros(1, 3, 3),
        reading=torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.0, 0.0]]),
        costs=torch.tensor([[[0.0, 10.0, 10.0]]]).repeat(1, 3, 1),
        true_reading=torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.1]]),
        frames=torch.tensor([5.0]),
    )
    assert float(losses.classification) == pytest.approx(1.6 * (0.15 + 10 / 3) * np.log(3), rel=1e-4)
    assert float(losses.regression) == pytest.approx((0.5 + 0.1) / 6, rel=1e-5)


def test_a_perfect_learner_has_no_loss() -> None:
    costs = torch.tensor([[0.0, 1.0, 3.0], [7.0, 2.0, 2.0]])[:, None].repeat(1, 3, 1)
    reading = torch.rand(2, 6)
    losses = imitation_losses(-costs / 0.5, reading, costs, reading, torch.tensor([3.0, 50.0]))
    assert float(losses.classification) == pytest.approx(0.0, abs=1e-6)
    assert float(losses.regression) == 0.0


def test_a_mirror_exchanges_right_and_left_and_the_sides(states: Labelled) -> None:
    pool = Pool(10_000, 0.5, CPU)
    pool.add(states)
    batch = pool.draw(16, np.random.default_rng(0))
    mirrored = batch.mirrored()
    torch.testing.assert_close(mirrored.costs[:, 1], batch.costs[:, 2][:, [0, 2, 1]])
    torch.testing.assert_close(mirrored.observation[..., 0], batch.observation[..., -1])
    torch.testing.assert_close(mirrored.reading[:, :4], -batch.reading[:, :4])
    torch.testing.assert_close(mirrored.reading[:, 4:], batch.reading[:, 4:])
    for once, twice in zip(batch, mirrored.mirrored(), strict=True):
        torch.testing.assert_close(once, twice)


def test_labelled_observations_are_those_of_the_game() -> None:
    field = Field(4, np.random.SeedSequence(2))
    twins = [Game(game.seed, game.protocol) for game in field._games]
    states, _, _ = field.gather(None, 40)
    rows = iter(range(len(states.stack)))
    demonstrator = Demonstrator(twins)
    known = demonstrator.labels().known
    for place in np.flatnonzero(known):  # the very first states: every game as it began
        np.testing.assert_array_equal(states.pictures[states.stack[next(rows)]], twins[place].observation)


def test_few_labels_keep_few_pictures() -> None:
    states, steps, _ = Field(4, np.random.SeedSequence(3), share=0.05).gather(None, 30)
    assert steps > 10 * len(states.stack)
    assert set(states.stack.flat) == set(range(len(states.pictures))), "a picture that no label needs, or a missing one"


def test_pictures_that_nothing_needs_are_not_kept_meanwhile() -> None:
    album = _Album([np.full((4, 1, 1), place, np.uint8) for place in (10, 20)])
    album.keep(np.array([1]))
    for moment in range(50):
        album.turn(0, np.full((1, 1, 1), 30 + moment, np.uint8))
        album.turn(1, np.full((1, 1, 1), 30 + moment, np.uint8))
    assert len(album.pictures) == 4 + 4 + 4, "two windows, and what was kept"
    assert [int(album.pictures[number].item()) for number in album.window[0]] == [76, 77, 78, 79]
    assert [int(album.pictures[number].item()) for number in range(4, 8)] == [20] * 4


def test_gathering_goes_on_until_something_can_be_trained_on() -> None:
    states, _, _ = Field(4, np.random.SeedSequence(20), share=0.03).gather(None, 1)
    assert not states.held_out.all()


def test_a_learner_drives_knowing_what_it_did_before() -> None:
    class Player:
        told: ClassVar[list[tuple[list[int] | None, list[int], list[bool]]]] = []

        def predict(self, observations: Bytes, state: State, episode_start: Mask) -> tuple[Actions, State]:
            dry, last = (np.zeros(len(observations)), None) if state is None else state
            self.told.append((last if last is None else last.tolist(), dry.tolist(), episode_start.tolist()))
            chosen = np.full(len(observations), 1 + len(self.told) % 2)
            return np.asarray(LEARNT_ACTIONS)[chosen], (dry + 1, chosen)

    Field(4, np.random.SeedSequence(5)).gather(cast(Agent, Player()), 20)
    assert Player.told[0] == (None, [0] * 4, [True] * 4)
    assert [last for last, *_ in Player.told[1:4]] == [[2] * 4, [1] * 4, [2] * 4]
    assert all(dry == [0] * 4 for _, dry, _ in Player.told), "it drives by its central aim"
    assert not any(Player.told[1][2])


def test_plain_cloning_is_validated_like_the_others(tmp_path: Path) -> None:
    config = replace(TINY, demonstrated_rounds=2, validated_rounds=2, samples=800)
    with Run(tmp_path, "supervised", config, 0, CPU) as run:
        train(config, run)
        assert run.ledger.rewards_read > 0
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert sum(bool(row["score"]) for row in rows) == 2


@pytest.mark.parametrize("learner", ["classifier", "regressor"])
def test_weights_that_are_no_longer_numbers_stop_the_run(
    learner: Literal["classifier", "regressor"], tmp_path: Path
) -> None:
    config = replace(TINY, learner=learner, learning_rate=1e30)
    with Run(tmp_path, "supervised", config, 0, CPU) as run, pytest.raises(UserError, match="no longer numbers"):
        train(config, run)


def test_ctrl_c_never_reaches_who_gathers() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Gatherer(TINY) as gatherer:
        assert signal.getsignal(signal.SIGINT) is before
        os.kill(gatherer._process.pid or 0, signal.SIGINT)
        gatherer.send(Order(None, True, 5, np.random.SeedSequence(0), []))
        states = gatherer.receive().states
        assert states is not None and len(states.stack) >= 5
        os.kill(gatherer._process.pid or 0, signal.SIGKILL)
        with pytest.raises(UserError, match="died"):
            gatherer.receive()
        gatherer.send(Order(None, True, 5, np.random.SeedSequence(0), []))
        with pytest.raises(UserError, match="died"):
            gatherer.receive()


def test_who_gathers_may_die_in_the_middle_of_a_harvest() -> None:
    with Gatherer(TINY) as gatherer:
        gatherer.send(Order(None, True, 150, np.random.SeedSequence(0), []))  # more than a pipe holds
        assert gatherer.ready(60)
        os.kill(gatherer._process.pid or 0, signal.SIGKILL)
        with pytest.raises(UserError, match="died"):
            gatherer.receive()


def test_the_ball_in_the_picture_is_where_the_label_says(states: Labelled) -> None:
    checked = 0
    for stack, reading in zip(states.stack[::7], states.reading[::7], strict=True):
        height, across = reading[4] * 72 + 105, reading[3] * 72 + 80  # px of the screen
        if 110 < height < 175:  # in the open, where only the ball is bright
            window = states.pictures[stack[-1]][38:72, 5:79]  # between the walls; a row is 2.5 px
            row, column = np.unravel_index(window.argmax(), window.shape)
            assert abs((row + 38.5) * 2.5 - height) < 8
            assert abs((column + 5.5) * 160 / 84 - across) < 6
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize("pictures", [10**17, 10**22])
def test_more_pictures_than_torch_can_count_are_too_many(pictures: int) -> None:
    with pytest.raises(MemoryError):
        Pool(pictures, 0.7, CPU)


def test_what_is_held_out_is_never_drawn(states: Labelled) -> None:
    pool = Pool(10_000, 0.7, CPU)
    pool.add(states)
    assert len(pool.held_out) > 50
    assert set(pool.held_out) == set(np.flatnonzero(states.held_out))
    assert not set(pool._all) & set(pool.held_out)
    assert not set(pool._near) & set(pool.held_out)
    assert set(pool._near) < set(pool._all)


def test_pictures_are_kept_once(states: Labelled) -> None:
    assert len(states.pictures) < 1.6 * len(states.stack), "not four to a state"


def test_labelled_states_that_do_not_fit_are_refused(states: Labelled) -> None:
    arrays = states.arrays()
    with pytest.raises(ValueError, match="costs must be"):
        Labelled(**(arrays | {"costs": arrays["costs"][:-1]}))
    with pytest.raises(ValueError, match="picture that is not there"):
        Labelled(**(arrays | {"stack": arrays["stack"] + len(states.pictures)}))


def test_fitting_carries_over_to_games_never_trained_on(states: Labelled, tmp_path: Path) -> None:
    with Run(tmp_path, "supervised", TINY, 0, CPU) as run:
        learner, pool = Learner(TINY, run), Pool(10_000, 0.7, CPU)
        pool.add(states)
        before = learner.held_out(pool)
        for _ in range(300):
            learner.step(pool.draw(64, learner.generator))
        after = learner.held_out(pool)
    assert after["heldout_landing_error_px"] < 0.5 * before["heldout_landing_error_px"]
    near = (states.frames <= NEAR) & states.held_out
    at_random = (states.costs[near, 0].mean(axis=1) - states.costs[near, 0].min(axis=1)).mean()
    assert after["heldout_regret_px"] < 0.85 * at_random


def test_a_tiny_run_breaks_off_goes_on_and_yields_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = Learner.step, []

    def step_and_interrupt(self: Learner, batch: object) -> tuple[float, float]:
        calls.append(1)
        if len(calls) == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch)

    monkeypatch.setattr(Learner, "step", step_and_interrupt)
    with Run(tmp_path, "supervised", TINY, 0, CPU) as run, pytest.raises(Interrupted):
        train(TINY, run)
    assert 30 <= len(calls) < 100
    with Run(tmp_path, "supervised", TINY, 0, CPU) as run:
        agent = train(TINY, run)
        run.finish(agent, tmp_path / "agent.safetensors")
        ledger = run.ledger
    assert len(calls) == ledger.gradient_steps == 100, "nothing is fitted twice or left out"
    assert ledger.samples == 100 * 32
    assert 1_000 <= ledger.labels < 1_100
    assert 0 < ledger.rewards_read <= 2 * 60, "the score of validation games, broken off, and of no others"
    assert ledger.frames == 4 * ledger.agent_steps > 4_000
    observation = Game(1, CLASSIC).observation[None]
    assert load_agent(tmp_path / "agent.safetensors").predict(observation)[0] == agent.predict(observation)[0]
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert "heldout_loss" in header and "score" in header


def test_a_resumed_run_computes_as_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter((torch.bfloat16, torch.float32))
    monkeypatch.setattr("paradigms.supervised.averaged.fastest_precision", lambda *_: next(measured))
    with Run(tmp_path, "supervised", TINY, 0, CPU) as run:
        began, resumed = Learner(TINY, run), Learner(TINY, run)
    resumed.load(began.state())
    assert resumed.precision is torch.bfloat16


def test_the_step_size_falls_over_the_last_part() -> None:
    config = Config(learning_rate=2e-3, decay=0.5)
    assert [config.learning_rate_at(done) for done in (0.0, 0.5, 0.75, 1.0)] == [2e-3, 2e-3, 1e-3, 0.0]
    assert Config(learning_rate=2e-3).learning_rate_at(1.0) == 2e-3


@pytest.mark.parametrize(("name", "value"), [("round_labels", 0), ("near_share", 1.0), ("average", -0.1), ("games", 3)])
def test_numbers_that_make_no_sense_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} must be"):
        Config(**{name: value})


def test_the_best_in_validation_is_the_agent(tmp_path: Path) -> None:
    with Run(tmp_path, "supervised", TINY, 0, CPU) as run:
        training = _Training(TINY, run)
        for number, scores in enumerate(([3, 5], [9, 9], [4, 8])):
            training.players = {"encoder": {}, "head": {"number": np.array(number)}}
            training._judge(Harvest(None, 10, 10, scores, [99]))
    assert training.best is not None
    assert training.best["head"]["number"] == 1
