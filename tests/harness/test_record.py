"""Recording: the session by itself, and the real window under a virtual display with real keys."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pygame
import pytest

from agents.demonstrations import Episode, Facts, read_demonstrations, write_episode
from agents.files import UserError, locked
from envs.breakout import LEFT, NOOP, RIGHT
from evaluation.record import read_evaluations, read_games
from evaluation.runs import read_run
from harness.cli import main
from harness.record import write_games
from harness.session import Session
from harness.window import Window

ADA = Facts("Ada", "classic", 3)
TOOLS = ("Xvfb", "xdotool")
BREAKOUT = [sys.executable, "-c", "from harness.cli import main; main()"]
ROOT = Path(__file__).parents[2]


def lose_a_life(session: Session) -> None:
    lives = session.recording.game.lives
    while session.recording.game.lives == lives:
        session.step(RIGHT)


# -- the session -------------------------------------------------------------------------------------------------------


def test_every_lost_life_is_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    session = Session(tmp_path, ADA)
    session.step(LEFT)
    assert not session.path.exists()
    lose_a_life(session)
    (episode,) = read_demonstrations(tmp_path).episodes
    assert episode.life_lost.tolist().count(True) == 1
    assert not episode.over
    session.step(RIGHT)
    left = session.close()
    assert left is not None
    (episode,) = read_demonstrations(tmp_path).episodes
    assert len(episode.actions) == len(left.actions) == len(session.recording)


def test_undo_takes_labels_back_from_the_disk(tmp_path: Path) -> None:
    session = Session(tmp_path, ADA)
    lose_a_life(session)
    one_life = len(session.recording)
    lose_a_life(session)
    assert session.undo()
    (episode,) = read_demonstrations(tmp_path).episodes
    assert (len(episode.actions), episode.undone) == (one_life, 1)
    assert session.undo()
    assert not session.path.exists(), "nothing is left of the game"
    assert not session.undo()
    assert session.close() is None


def test_games_follow_each_other_and_sessions_too(tmp_path: Path) -> None:
    session = Session(tmp_path, ADA)
    while not session.over:
        lose_a_life(session)
    first_seed = session.recording.seed
    session.next_game()
    assert session.recording.seed != first_seed
    second_seed = session.recording.seed
    lose_a_life(session)
    session.close()
    assert len(session.scores) == 1
    later = Session(tmp_path, ADA)
    assert later.number == 2
    assert later.recording.seed not in (first_seed, second_seed), "another game than those before"
    again = Session(tmp_path / "again", ADA)
    assert again.recording.seed == first_seed, "the seed decides the games"


def test_one_session_at_a_time_writes_into_a_data_set(tmp_path: Path) -> None:
    session = Session(tmp_path, ADA)
    with pytest.raises(UserError, match="another session is using"):
        Session(tmp_path, ADA)
    session.close()
    Session(tmp_path, ADA).close()


def test_an_episode_that_another_session_has_just_ended_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_and_lock(folder: Path, what: str) -> IO[str]:
        other.close()
        return locked(folder, what)

    other = Session(tmp_path, ADA)
    lose_a_life(other)
    with monkeypatch.context() as patch:
        patch.setattr("harness.session.locked", wait_and_lock)
        session = Session(tmp_path, ADA)
    assert session.number == 1
    session.close()


def test_who_leaves_at_once_may_choose_another_protocol(tmp_path: Path) -> None:
    Session(tmp_path, ADA).close()
    Session(tmp_path, Facts("Ada", "sticky", 5)).close()


def test_an_undo_that_leaves_as_many_steps_is_written_too(tmp_path: Path) -> None:
    session = Session(tmp_path, ADA)
    lose_a_life(session)
    for _ in range(30):
        session.step(NOOP)
    assert session.undo()
    (episode,) = read_demonstrations(tmp_path).episodes
    assert episode.undone == 1


def test_the_speed_of_every_step_is_kept(tmp_path: Path) -> None:
    session = Session(tmp_path, ADA, speed=0.5)
    session.step(NOOP)
    session.speed = 0.0
    session.step(NOOP)
    session.close()
    (episode,) = read_demonstrations(tmp_path).episodes
    assert episode.speed.tolist() == [0.5, 0.0]


def test_whole_games_stand_in_the_report_under_the_persons_name(
    tmp_path: Path, people: Callable[..., list[Episode]]
) -> None:
    episodes = people(lag=4)
    folder = tmp_path / "labels"
    Session(folder, Facts("Ada", "sticky", 8))
    for number, episode in enumerate(episodes):
        write_episode(folder, number, episode)
    data = read_demonstrations(folder)
    whole = [episode for episode in data.episodes if episode.over]
    assert whole
    path = tmp_path / "person_ada" / "seed_8" / "evaluation.json"
    write_games(data, path)
    (evaluation,) = read_evaluations(path)
    assert evaluation.scores == [episode.score for episode in whole]
    assert evaluation.summary.mean == pytest.approx(np.mean(evaluation.scores))
    records = read_games(path, evaluation)
    assert records is not None
    assert [np.frombuffer(r.actions, np.uint8).tolist() for r in records] == [e.actions.tolist() for e in whole]
    run = read_run(path.parent)
    assert (run.label, run.trained, run.missing) == ("Person: Ada", False, ())


# -- the window --------------------------------------------------------------------------------------------------------


def run_record(folder: Path, *flags: str, display: str | None) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DISPLAY", "WAYLAND", "SDL"))}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"DISPLAY": display, "SDL_VIDEODRIVER": "x11"} if display else {})
    command = [*BREAKOUT, "record", "--name", "Ada", *flags]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_keeps_everything_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hasty:
        """A window whose person presses Ctrl-C in the terminal, well into a life."""

        def play(self, session: Session, games: int | None) -> None:
            for _ in range(9):
                session.step(RIGHT)
            raise KeyboardInterrupt

        def close(self) -> None:
            pass

    monkeypatch.setattr("harness.record.Window", Hasty)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["record", "--name", "Ada"])
    assert stop.value.code == 130
    said = capsys.readouterr()
    assert "everything is kept" in said.err
    assert "9 labelled states" in said.out
    assert steps_on_disk(tmp_path) == 9


def test_games_of_another_data_set_are_not_replaced_in_the_report(
    tmp_path: Path,
    people: Callable[..., list[Episode]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, report = tmp_path / "x" / "ada", tmp_path / "runs" / "quick" / "person_ada" / "seed_8" / "evaluation.json"
    Session(folder, Facts("Ada", "sticky", 8))
    for number, episode in enumerate(people(lag=4)):
        write_episode(folder, number, episode)
    write_games(read_demonstrations(folder), report)
    before = report.read_bytes()
    with pytest.raises(SystemExit) as stop:
        main(["record", "--name", "Ada", "--seed", "8", "--out", "y/ada"])
    assert stop.value.code == 2
    assert "holds the games of another data set" in capsys.readouterr().err
    assert report.read_bytes() == before


def test_what_was_pressed_before_does_not_end_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()  # keys have names then
    window, session = Window.__new__(Window), Session(tmp_path, ADA)
    window._pygame = pygame
    window._pressed = [pygame.K_LEFT, pygame.K_p]
    window._obey(session)
    assert session.paused
    window._pressed = [pygame.K_LEFT]
    window._obey(session)
    assert not session.paused
    lose_a_life(session)
    window._pressed = [pygame.K_RIGHT, pygame.K_u]
    window._obey(session)
    assert session.paused and session.recording.undone == 1, "a moment to get ready"
    pygame.display.quit()


def test_without_a_display_it_says_so(tmp_path: Path) -> None:
    process = run_record(tmp_path, display=None)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert len(said.strip().splitlines()) == 1
    assert "no display" in said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def display() -> Iterator[str]:
    """A virtual display of its own."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        pytest.skip(f"{' and '.join(absent)} are not installed")
    read, write = os.pipe()
    # Without -noreset the server starts anew whenever its last client leaves, and turns away whoever comes meanwhile.
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x1080x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as numbers:
        yield f":{numbers.readline().strip()}"
    server.terminate()
    server.wait()


class Keyboard:
    """Real keys, pressed on a display."""

    def __init__(self, display: str) -> None:
        self._environment = os.environ | {"DISPLAY": display}

    def __call__(self, *words: str) -> str:
        answer = subprocess.run(["xdotool", *words], env=self._environment, capture_output=True, text=True)
        return answer.stdout.strip()

    def find_window(self, process: subprocess.Popen[str]) -> None:
        for _ in range(600):
            assert process.poll() is None, process.communicate()
            if window := self("search", "--class", "."):
                self("windowfocus", "--sync", window)
                time.sleep(1)  # until it listens: a key pressed before that is lost
                return
            time.sleep(0.1)
        raise AssertionError("no window appeared")


def steps_on_disk(folder: Path) -> int:
    return sum(len(episode.actions) for episode in read_demonstrations(folder / "demonstrations" / "ada").episodes)


def test_a_person_plays_in_the_window(tmp_path: Path, display: str) -> None:
    process = run_record(tmp_path, "--seed", "3", "--speed", "step", display=display)
    key = Keyboard(display)
    key.find_window(process)
    for name in ("space", "Right", "d", "Left", "a", "a"):
        key("key", "--delay", "150", name)
        time.sleep(0.4)
    key("key", "1")
    key("keydown", "Right")
    time.sleep(2.0)
    key("keyup", "Right")
    key("key", "p")
    time.sleep(0.5)
    key("key", "q")
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 2, complained
    assert re.search(r"episode_0000\.npz: episode 0 was left in the middle, after \d+ steps", complained), complained
    assert "Traceback" not in complained
    (episode,) = read_demonstrations(tmp_path / "demonstrations" / "ada").episodes
    assert episode.protocol == "classic"
    stepped = episode.actions[episode.speed == 0]
    assert stepped[1:].tolist() == [RIGHT, RIGHT, LEFT, LEFT, LEFT], "one step for each key"
    running = episode.actions[episode.speed == 1]
    assert len(running) >= 10
    assert (running == RIGHT).mean() > 0.5, "a key that is held down is pressed at every step"
    assert "breakout train supervised --labels demonstrations/ada" in said
    assert f"{episode.labelled} labelled states" in said


@pytest.mark.slow
def test_a_whole_game_in_the_window(tmp_path: Path, display: str) -> None:
    process = run_record(tmp_path, "--games", "1", display=display)
    key = Keyboard(display)
    key.find_window(process)
    for _ in range(240):
        key("key", "space")
        time.sleep(0.5)
        if process.poll() is not None:
            break
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, complained
    assert re.search(r"games played to their end: 1 \(points: \d+\)", said)
    (evaluation,) = read_evaluations(tmp_path / "runs" / "quick" / "person_ada" / "seed_0" / "evaluation.json")
    (episode,) = read_demonstrations(tmp_path / "demonstrations" / "ada").episodes
    assert episode.over
    assert evaluation.scores == [episode.score]
