"""Probes: the truth is where the picture shows it, readers read what is there and no more, keypoints are held to it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agents.files import UserError
from agents.planner import PlannerHead
from agents.progress import Progress
from evaluation.probe import BELOW_BRICKS, PIXELS, Floats, Frames, gather, look, read_out
from evaluation.probed import VARIABLES, Probe, Sight, read_probe, write_probe
from evaluation.report import write_report


@pytest.fixture(scope="module")
def frames() -> Frames:
    return gather(5, games=12, steps=120, progress=Progress("test"))


def test_the_truth_is_where_the_picture_shows_it(frames: Frames) -> None:
    background = np.median(frames.observations[:, -1], axis=0)
    below = frames.in_play & (frames.truth[:, 1] > BELOW_BRICKS) & (frames.truth[:, 1] < 180)
    column, row = (frames.truth[below][:, :2] / PIXELS).astype(int).T
    lit = frames.observations[below, -1, row, column] > background[row, column] + 10
    assert below.sum() > 100
    assert lit.mean() > 0.97
    paddle = (frames.truth[:, 2] / PIXELS[0]).astype(int)
    assert (frames.observations[np.arange(len(paddle)), -1, 76, paddle] > 60).mean() > 0.97


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


def planner(self_slot: int, world_slot: int) -> PlannerHead:
    head = PlannerHead("small", slots=3, memories=0, cells=4, transitions=0)
    head.get_buffer("roles")[:] = head.get_buffer("roles").new_tensor([self_slot, world_slot])
    head.get_buffer("thresholds")[:] = 0.5
    return head


def test_keypoints_are_held_to_the_truth_and_may_mark_a_thing_at_its_edge(frames: Frames) -> None:
    readings: Floats = np.ones((len(frames.truth), 3, 3))
    readings[:, 0, :2] = frames.truth[:, [2, 2]] / PIXELS
    readings[:, 1, :2] = frames.truth[:, :2] / PIXELS + 3  # 3 pixels off, always
    readings[:, 2, :2] = np.random.default_rng(0).uniform(0, 84, (len(readings), 2))
    sight = look(readings, planner(0, 1), frames)
    assert (sight.ball_x, sight.ball_y, sight.paddle_x) == pytest.approx((0, 0, 0), abs=1e-6)
    assert (sight.found_below, sight.found, sight.roles_right) == (1, 1, True)
    assert not look(readings, planner(0, 2), frames).roles_right
    assert not look(readings, planner(1, 0), frames).roles_right
    unsure = np.arange(len(readings)) % 2 == 0
    readings[unsure, 1, 2] = 0.1
    readings[unsure, 2] = [*readings[0, 1, :2], 0.9]  # sure, and elsewhere
    halved = look(readings, planner(0, 1), frames)
    assert halved.found == pytest.approx(0.5, abs=0.1)
    assert halved.ball_x == pytest.approx(0, abs=1e-6), "what a slot is not sure of is no error of its places"


def test_a_ball_over_two_slots_is_called_split(frames: Frames) -> None:
    readings: Floats = np.ones((len(frames.truth), 3, 3))
    readings[:, 0, :2] = frames.truth[:, [2, 2]] / PIXELS
    left = frames.truth[:, 0] < np.median(frames.truth[:, 0])
    for slot, here in ((1, left), (2, ~left)):
        readings[:, slot, :2] = frames.truth[:, :2] / PIXELS
        readings[~here, slot, 2] = 0.1
    sight = look(readings, planner(0, 1), frames)
    assert sight.split == pytest.approx(1 - sight.found_below)
    assert 0.2 < sight.split < 0.8


def test_a_probe_survives_its_file_and_stands_in_the_report(
    frames: Frames, tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    folder = write_run(tmp_path, "unsupervised")
    features = read_out(frames.truth, frames)
    sight = Sight(0.1, 0.2, 0.3, 0.95, 0.9, True, 0.01)
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
