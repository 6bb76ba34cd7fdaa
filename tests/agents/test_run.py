"""A run folder survives what happens to runs."""

import csv
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.files import UserError, new_folder, pack, read_json, unpack, write_atomically
from agents.run import STOPS, Interrupted, Run, require_positive


@dataclass(frozen=True)
class Config:
    steps: int = 10


@dataclass(frozen=True)
class SeveralConfig(Config):
    rounds: tuple[int, ...] = (1, 3)


def open_run(folder: Path, seed: int = 0, steps: int = 10) -> Run:
    return Run(folder, "supervised", Config(steps), seed, torch.device("cpu"))


def test_trees_come_back_as_they_were(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.randn(3))
    optimiser = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimiser.step()
    generator = np.random.default_rng(4)
    tree = {
        "optimiser": optimiser.state_dict(),
        "generator": generator.bit_generator.state,
        "plain": [1, 2.5, "x", None, True, (np.arange(3, dtype=np.int16), np.float64(2.0))],
        "layout": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    (tmp_path / "tree").write_bytes(pack(tree))
    again = unpack(tmp_path / "tree")
    fresh = torch.optim.Adam([torch.nn.Parameter(torch.zeros(3))])
    fresh.load_state_dict(again["optimiser"])
    assert torch.equal(fresh.state_dict()["state"][0]["exp_avg"], optimiser.state_dict()["state"][0]["exp_avg"])
    other = np.random.default_rng()
    other.bit_generator.state = again["generator"]
    assert other.random() == generator.random()
    assert again["plain"][:5] == tree["plain"][:5]
    assert isinstance(again["plain"][5], tuple)
    assert again["plain"][5][0].dtype == np.int16
    assert torch.equal(again["layout"], tree["layout"])


def test_the_newest_checkpoint_comes_back_and_a_broken_one_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tmp_path) as run:
        assert run.restore() is None
        for number in (1, 2, 3):
            run.ledger.agent_steps = 100 * number
            run.log(score=number)
            run.checkpoint({"number": number})
    checkpoints = sorted((tmp_path / "checkpoints").glob("*"))
    assert len(checkpoints) == 2, "the last two are kept"
    with open_run(tmp_path) as run:
        assert run.restore() == {"number": 3}
        assert run.ledger.agent_steps == 300
    checkpoints[-1].write_bytes(checkpoints[-1].read_bytes()[:-5])
    with open_run(tmp_path) as run:
        assert run.restore() == {"number": 2}
        run.log(score=2.5)
    with (tmp_path / "metrics.csv").open() as file:
        scores = [row["score"] for row in csv.DictReader(file)]
    assert scores == ["1.0", "2.0", "2.5"], "metrics after the checkpoint that was resumed are taken back"
    checkpoints[0].write_bytes(b"")
    said: list[str] = []
    with open_run(tmp_path) as run:
        monkeypatch.setattr(run.progress, "say", said.append)
        assert run.restore() is None
    assert "training begins anew" in said[-1]


def test_what_cannot_be_read_at_the_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: BaseException) -> Callable[..., None]:
        def reading(*_: object, **__: object) -> None:
            raise error

        return reading

    with open_run(tmp_path) as run:
        run.checkpoint({"number": 1})
        run.save_arrays("round_0", pictures=np.zeros(3))
    before = sorted((tmp_path / "checkpoints").iterdir())
    with open_run(tmp_path) as run, monkeypatch.context() as patch:
        patch.setattr("agents.files.safe_open", fail(OSError(5, "Input/output error")))
        with pytest.raises(UserError, match="Input/output error"):
            run.restore()
        for error in (MemoryError(), OSError(5, "Input/output error")):
            patch.setattr("numpy.load", fail(error))
            with pytest.raises(type(error)):
                run.load_arrays("round_0")
    assert sorted((tmp_path / "checkpoints").iterdir()) == before


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_writes_a_checkpoint_first(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)  # shells ignore it for what runs in the background
    with open_run(tmp_path) as run:
        run.tick(1, 10, "", lambda: {"done": 1})
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted):
            run.tick(2, 10, "", lambda: {"done": 2})
    assert signal.getsignal(number) is before
    with open_run(tmp_path) as run:
        assert run.restore() == {"done": 2}


def test_a_folder_is_kept_from_a_second_run_and_from_another_config(tmp_path: Path) -> None:
    with open_run(tmp_path), pytest.raises(UserError, match="another run is using"), open_run(tmp_path):
        pass
    with pytest.raises(UserError, match=r"steps = 10 instead of 11"), open_run(tmp_path, steps=11):
        pass
    with pytest.raises(UserError, match="seed 0 instead of 1"), open_run(tmp_path, seed=1):
        pass
    identity = tmp_path / "config.json"
    identity.write_text(identity.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(UserError, match="another version"), open_run(tmp_path):
        pass
    identity.write_text('{"format": 1, "paradigm": "supervised", "seed": 0, "config": [1]}')
    with pytest.raises(UserError, match="other contents"), open_run(tmp_path):
        pass
    identity.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"), open_run(tmp_path):
        pass


def test_a_start_that_is_cut_short_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(device: torch.device) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("agents.run.provenance", killed)
        with pytest.raises(KeyboardInterrupt), open_run(tmp_path):
            pass
    with open_run(tmp_path) as run:
        run.note("yardstick", lambda: 1)
    assert read_json(tmp_path / "provenance.json")["yardstick"] == 1


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda path: path.mkdir(), "Is a directory"),
    (lambda path: None, "No such file"),
    (lambda path: path.write_text("[" * 100_000), "not valid JSON"),
])  # fmt: skip
def test_what_is_no_json_is_named(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(tmp_path / "config.json")
    with pytest.raises(UserError, match=rf"config\.json: .*{said}"):
        read_json(tmp_path / "config.json")


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt), new_folder(Path("made")) as folder:
        write_atomically(folder / "half", b"")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with new_folder(Path("made")) as folder:
        write_atomically(folder / "whole", b"")
        assert not Path("made").exists()
    assert [path.name for path in Path("made").iterdir()] == ["whole"]
    Path("loop").symlink_to("loop")
    with pytest.raises(UserError, match="loop: a link"), new_folder(Path("loop")):
        pass
    with pytest.raises(UserError, match="made: exists already"), new_folder(Path("made")):
        pass


def test_a_stop_after_the_last_tick_is_not_forgotten(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), open_run(tmp_path):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_learnt_nothing_leaves_its_folder_to_other_numbers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too much"), open_run(tmp_path):
        raise UserError("too much")
    with open_run(tmp_path, steps=11) as run:
        run.checkpoint({})
    with pytest.raises(UserError, match="too much"), open_run(tmp_path, steps=11):
        raise UserError("too much")
    with pytest.raises(UserError, match="steps = 11 instead of 10"), open_run(tmp_path):
        pass


def test_only_what_differs_is_named(tmp_path: Path) -> None:
    several = SeveralConfig()
    with Run(tmp_path, "supervised", several, 0, torch.device("cpu")):
        pass
    with (
        pytest.raises(UserError) as refused,
        Run(tmp_path, "supervised", replace(several, steps=11), 0, torch.device("cpu")),
    ):
        pass
    assert "rounds" not in str(refused.value)


def test_provenance_may_be_lost_but_not_be_something_else(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.checkpoint({})
    (tmp_path / "provenance.json").unlink()
    with open_run(tmp_path) as run:
        run.note("speed", lambda: 3)
    assert read_json(tmp_path / "provenance.json")["speed"] == 3
    (tmp_path / "provenance.json").write_text("[]")
    with pytest.raises(UserError, match=r"provenance\.json: should hold one JSON object"), open_run(tmp_path):
        pass


def test_a_checkpoint_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    with open_run(tmp_path) as run, pytest.raises(UserError, match=r"not of this run.*stage"), run.resuming():
        raise KeyError("stage")


def test_arrays_are_kept_without_pickle(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.save_arrays("round_1", pictures=np.arange(6, dtype=np.uint8))
        kept = run.load_arrays("round_1")
        assert kept is not None
        assert kept["pictures"].tolist() == list(range(6))
        assert run.load_arrays("round_2") is None
        path = tmp_path / "checkpoints" / "round_1.npz"
        path.write_bytes(path.read_bytes()[:40])
        assert run.load_arrays("round_1") is None


def test_streams_have_names_and_differ_between_seeds(tmp_path: Path) -> None:
    def draw(seed: int, name: str) -> int:
        return int(open_run(tmp_path, seed).stream(name).generate_state(1)[0])

    assert draw(0, "games") == draw(0, "games")
    assert len({draw(0, "games"), draw(1, "games"), draw(0, "noise")}) == 3


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full_disk(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_a_pipe_is_left_alone(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    real.write_text("old")
    link.symlink_to(real)
    os.mkfifo(pipe)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    with pytest.raises(UserError, match="no ordinary file"):
        write_atomically(pipe, b"new")
    assert pipe.is_fifo()


def test_what_a_killed_write_left_is_swept_away(tmp_path: Path) -> None:
    left = [tmp_path / ".metrics.csv.815", tmp_path / "checkpoints" / ".000001.safetensors.815"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with open_run(tmp_path) as run:
        run.checkpoint({})
    assert not any(path.exists() for path in left)
    assert (tmp_path / ".lock").exists()


def test_what_is_measured_on_the_side_is_no_training_time(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.note("yardstick", lambda: time.sleep(0.5))
        run.log(score=1.0)
        assert run.ledger.wall_seconds < 0.4


def test_numbers_that_must_be_positive() -> None:
    require_positive(Config(1), "steps")
    with pytest.raises(UserError, match="--steps must be positive, got 0"):
        require_positive(Config(0), "steps")
    with pytest.raises(UserError, match="--steps must be positive, got inf; give a finite number"):
        require_positive(SimpleNamespace(steps=float("inf")), "steps")


def test_ledger_and_provenance_are_written(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.ledger.frames = 8
        run.log(score=1.0)
    assert read_json(tmp_path / "ledger.json")["frames"] == 8
    assert read_json(tmp_path / "provenance.json")["versions"]["torch"] == torch.__version__
