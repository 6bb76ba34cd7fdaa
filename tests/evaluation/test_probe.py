"""Probes: the truth is where the picture shows it, readers read what is there and no more, keypoints are held to it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import tracker
from agents.agent import Agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.planner import PlannerHead
from agents.progress import Progress
from agents.tracker import Floats
from evaluation.mixed_play import EVERY, PIXELS, Film, Frames, gather
from evaluation.probe import principal_components, read_out
from evaluation.probed import VARIABLES, Probe, Sight, read_probe, write_probe
from evaluation.report import write_report
from evaluation.sight import BELOW_BRICKS, look, watch


@pytest.fixture(scope="module")
def gathered() -> tuple[Frames, Film]:
    return gather(5, games=12, steps=120, progress=Progress("test"))


@pytest.fixture
def frames(gathered: tuple[Frames, Film]) -> Frames:
    return gathered[0]


@pytest.fixture
def film(gathered: tuple[Frames, Film]) -> Film:
    return gathered[1]


def test_the_truth_is_where_the_picture_shows_it(frames: Frames) -> None:
    background = np.median(frames.observations[:, -1], axis=0)
    below = frames.in_play & (frames.truth[:, 1] > BELOW_BRICKS) & (frames.truth[:, 1] < 180)
    column, row = (frames.truth[below][:, :2] / PIXELS).astype(int).T
    lit = frames.observations[below, -1, row, column] > background[row, column] + 10
    assert below.sum() > 100
    assert lit.mean() > 0.97
    paddle = (frames.truth[:, 2] / PIXELS[0]).astype(int)
    assert (frames.observations[np.arange(len(paddle)), -1, 76, paddle] > 60).mean() > 0.97


def test_there_are_no_more_components_than_frames(frames: Frames) -> None:
    few = int((~frames.held_out).sum())
    assert principal_components(frames, few + 1).shape == (len(frames.observations), few)


def test_readers_read_what_is_there_and_nothing_where_nothing_is(frames: Frames) -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(len(frames.truth), 8))
    known = noise.copy()
    known[:, 3] = frames.truth[:, 0] / 5  # ball x, and nothing else
    readouts = {readout.variable: readout for readout in read_out(known, frames)}
    assert tuple(readouts) == VARIABLES
    assert readouts["ball x"].linear_error < 1
    assert readouts["ball x"].linear_r2 > 0.99
    assert readouts["paddle x"].linear_r2 < 0.5
    blind = {readout.variable: readout for readout in read_out(noise, frames)}
    assert blind["ball x"].linear_r2 < 0.2
    assert blind["ball x"].linear_error > 10


def test_a_few_things_lost_do_not_bend_the_linear_reader(frames: Frames) -> None:
    generator = np.random.default_rng(0)
    known = generator.normal(size=(len(frames.truth), 8))
    known[:, 3] = frames.truth[:, 0] / 5
    lost = generator.random(len(known)) < 0.15
    known[lost, 3] = generator.permutation(known[lost, 3])
    assert read_out(known, frames)[0].linear_error < 1


def planner(self_slot: int, world_slot: int) -> PlannerHead:
    head = PlannerHead("small", slots=3, memories=0, cells=4, transitions=0)
    head.get_buffer("roles")[:] = head.get_buffer("roles").new_tensor([self_slot, world_slot])
    head.get_buffer("thresholds")[:] = 0.5
    return head


def seen(film: Film, away: float = 0.0) -> tuple[Floats, Floats]:
    """What a planner would read and know whose eyes are true, but for `away` pixels that are always the same."""
    readings: Floats = np.ones((*film.in_play.shape, 3, 3))
    readings[..., 0, :2] = film.truth[..., [2, 2]] / PIXELS
    readings[..., 1, :2] = film.truth[..., :2] / PIXELS + away
    readings[..., 2, :2] = np.random.default_rng(0).uniform(0, 84, (*film.in_play.shape, 2))
    states: Floats = np.zeros((*film.in_play.shape, tracker.COLUMNS))
    states[..., tracker.SELF_X] = readings[..., 0, 0]
    states[..., [tracker.WORLD_X, tracker.WORLD_Y]] = readings[..., 1, :2]
    return readings, states


def test_a_planner_is_held_to_the_truth_and_may_mark_a_thing_at_its_edge(film: Film) -> None:
    readings, states = seen(film, away=3)
    sight = look(readings, states, planner(0, 1), film)
    assert (sight.ball_x, sight.ball_y, sight.paddle_x) == pytest.approx((0, 0, 0), abs=1e-6)
    assert (sight.found_below, sight.found, sight.roles_right) == (1, 1, True)
    assert not look(readings, states, planner(0, 2), film).roles_right
    assert not look(readings, states, planner(1, 0), film).roles_right
    readings[..., 2, :] = readings[..., 0, :]
    readings[::20, :, 0, :2] = 0  # self's slot is on the paddle, but for a twentieth; another one always
    assert look(readings, states, planner(0, 1), film).roles_right
    readings[::4, :, 0, :2] = 0
    assert not look(readings, states, planner(0, 1), film).roles_right
    states[::2, :, tracker.UNSEEN] = 3
    states[::2, :, tracker.WORLD_X] = 0
    halved = look(readings, states, planner(0, 1), film)
    assert halved.found == pytest.approx(0.5, abs=0.1)
    assert halved.ball_x == pytest.approx(0, abs=1e-6), "where it does not see the ball, it errs about no place"
    states[..., tracker.UNSEEN] = 0
    assert look(readings, states, planner(0, 1), film).found == pytest.approx(0.5, abs=0.1)


def test_a_film_shows_what_the_games_showed(frames: Frames, film: Film) -> None:
    first = frames.observations[frames.held_out][: film.pictures.shape[1]]
    assert (film.observation(0) == first).all()
    second = frames.observations[frames.held_out][film.pictures.shape[1] :][: film.pictures.shape[1]]
    assert (film.observation(EVERY) == second).all()


def test_a_planner_is_watched_through_its_own_eyes(film: Film) -> None:
    agent = Agent(Encoder("small"), planner(0, 1), "unsupervised", device=torch.device("cpu"))
    short = Film(film.pictures[:7], film.truth[:7], film.in_play[:7])
    readings, states = watch(agent, short)
    assert readings.shape == (*short.in_play.shape, 3, 3)
    assert states.shape == (*short.in_play.shape, tracker.COLUMNS)
    assert np.isfinite(states).all()


def test_a_probe_survives_its_file_and_stands_in_the_report(
    frames: Frames, tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    folder = write_run(tmp_path, "unsupervised")
    features = read_out(frames.truth, frames)
    sight = Sight(0.1, 0.2, 0.3, 0.95, 0.9, True)
    found = Probe("agent", "0", 77, 100, 12, {"features": features, "PCA of pixels": features}, sight)
    write_probe(folder / "probe.json", found)
    assert read_probe(folder / "probe.json") == found
    page = write_report(tmp_path).read_text()
    assert "What they see" in page
    assert "PCA of pixels" in page
    (folder / "probe.json").write_text('{"agent": 3}')
    with pytest.raises(UserError, match=r"probe\.json"):
        write_report(tmp_path)


def test_refuses_what_cannot_be_probed() -> None:
    with pytest.raises(UserError, match="give at least 12"):
        gather(0, games=3, steps=500, progress=Progress("test"))
    with pytest.raises(UserError, match="--steps 50"):
        gather(0, games=12, steps=50, progress=Progress("test"))
