"""Films: decoded again, they have the size, the length and the game that they should."""

import json

import imageio_ffmpeg
import numpy as np
import pytest

from agents.files import UserError
from agents.policy import RandomPolicy
from agents.rollout import GameRecord, play
from envs.breakout import CLASSIC, Game
from evaluation.replay import FRAMES_PER_SECOND, STILL_SECONDS, Take, film, median_game, take_from

STILL = STILL_SECONDS * FRAMES_PER_SECOND


@pytest.fixture(scope="module")
def takes():
    records = [play(lambda games, s=s: RandomPolicy(s), [s], CLASSIC)[0] for s in (11, 13)]
    return [Take(f"Random {r.seed}", "classic", r, "the only game") for r in records]


def frames(path):
    """All pictures of a film, `(T, height, width, 3)`, and what the file says about itself."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    return about, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


def test_a_film_shows_the_game_whole_and_the_facts_beside_it(takes, tmp_path):
    take, path = takes[0], tmp_path / "replay.mp4"
    shown = film([take], path)
    about, pictures = frames(path)
    assert (about["codec"], about["pix_fmt"][:7], about["fps"]) == ("h264", "yuv420p", 15)
    assert about["size"] == (3 * (160 + 70), 3 * 210)
    assert len(pictures) == take.record.steps + 1 + STILL
    assert shown.complete
    game = Game(take.record.seed, CLASSIC)
    for action in take.record.actions[:40]:
        game.step(action)
    expected = game.screen.repeat(3, axis=0).repeat(3, axis=1).astype(int)
    assert np.abs(pictures[40][:, :480] - expected).mean() < 4  # the codec's loss; another step differs by more below
    assert np.abs(pictures[-1][:, 480:].astype(int) - pictures[40][:, 480:]).max() > 100  # "game over" is written out


def test_it_starts_at_once_in_a_browser(takes, tmp_path):
    path = tmp_path / "replay.mp4"
    film([takes[0]], path, max_seconds=1)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_a_long_game_stops_at_the_limit_and_says_so(takes, tmp_path):
    path = tmp_path / "replay.mp4"
    shown = film([takes[0]], path, max_seconds=2)
    assert (shown.complete, shown.steps, shown.total_steps) == (False, 30, takes[0].record.steps)
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 31 + STILL
    assert json.loads(path.with_suffix(".json").read_text())["complete"] is False


def test_several_stand_side_by_side(takes, tmp_path):
    path = tmp_path / "together.mp4"
    shown = film([takes[0], takes[1], takes[0]], path, max_seconds=2)
    about, pictures = frames(path)
    assert about["size"] == (2 * 2 * (160 + 70), 2 * 2 * 210)  # a grid of two columns and two rows
    left, right = pictures[20][:420, :320], pictures[20][420:, :320]
    assert np.abs(left.astype(int) - right).mean() < 4  # the same game twice
    assert shown.scores == tuple(takes[i].record.score for i in (0, 1, 0))


def test_a_game_that_comes_to_another_score_is_not_filmed(takes, tmp_path):
    r = takes[0].record
    wrong = Take("x", "classic", GameRecord(r.seed, r.score + 1, r.steps, r.lives_left, r.truncated, r.actions), "")
    with pytest.raises(UserError, match=f"judged with {r.score + 1} points"):
        film([wrong], tmp_path / "replay.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("scores", "place"), [([5], 0), ([9, 1, 5], 2), ([9, 1, 5, 7], 2), ([3, 3, 3], 0)])
def test_the_middle_game(scores, place):
    assert median_game(scores) == place


def test_the_judged_game_in_the_middle_is_taken(tmp_path, write_judged):
    write_judged(tmp_path, "supervised", 0, "sticky", [30, 10, 20])
    take = take_from(tmp_path / "evaluation.json", "Supervised", "sticky")
    assert (take.record.score, take.record.actions) == (20, bytes([1, 2, 2]))
    assert "median of 3 judged games (sticky, greedy)" in take.rule


def test_missing_games_are_named(tmp_path, write_judged):
    write_judged(tmp_path, "supervised", 0, "sticky", [30, 10, 20])
    with pytest.raises(UserError, match=r"evaluation\.json: .* --protocol classic"):
        take_from(tmp_path / "evaluation.json", "Supervised", "classic")
    (tmp_path / "evaluation.npz").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"evaluation\.npz"):
        take_from(tmp_path / "evaluation.json", "Supervised", "sticky")
