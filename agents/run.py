"""The run folder: where a training run keeps what it is, what it cost, how it went, and how to go on.

A run survives Ctrl-C, SIGTERM and `kill -9`: everything is written to a temporary file first and renamed, the last two
checkpoints are kept, and a lock keeps a second run out. Checkpoints are safetensors plus JSON; nothing is pickled.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import BytesIO, StringIO
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.tensorboard import SummaryWriter

from agents.agent import Agent
from agents.files import (
    Tree,
    UserError,
    locked,
    pack,
    read_json,
    read_object,
    sweep,
    unpack,
    write_atomically,
    write_json,
)
from agents.progress import Progress
from agents.provenance import provenance

FORMAT = 1  # of the run folder; raise it when older folders can no longer be continued
CHECKPOINT_SECONDS = 20.0  # between two checkpoints: what `kill -9` can cost at most, plus one tick
_TOO_MANY = 2**40
STOPS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what `kill` and a machine that shuts down send
_TRAINING = 1  # keeps training's random streams apart from the judge's, whatever the seeds


class Interrupted(Exception):
    """Ctrl-C or SIGTERM, after the checkpoint was written."""


@dataclass
class Ledger:
    """What learning cost."""

    labels: int = 0
    """States for which somebody said what to do."""
    agent_steps: int = 0
    """Actions taken in the game by whoever gathered the experience."""
    frames: int = 0
    """Emulator frames, 4 a step."""
    rewards_read: int = 0
    """Steps whose score the learner looked at: to learn from it, or to choose among its agents."""
    gradient_steps: int = 0
    samples: int = 0
    """Observations that went through a gradient step, with repetition."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def require_positive(config: Any, *names: str) -> None:
    """Raise `UserError` for the first named field that is no finite number above zero, or beyond any memory."""
    for name in names:
        value, flag = getattr(config, name), name.replace("_", "-")
        if not 0 < value < math.inf:
            raise UserError(f"--{flag} must be positive, got {value}; give a finite number above 0")
        if isinstance(value, int) and value >= _TOO_MANY:
            raise UserError(f"--{flag} {value} is more than any memory holds; give a number below {_TOO_MANY}")


class Run:
    """One training run and its folder. Use it as a context: entering locks the folder, leaving releases it.

    Args:
        folder: `runs/<profile>/<paradigm>/seed_<n>`.
        paradigm: the module's name.
        config: the paradigm's frozen dataclass. A folder that holds another config is refused.
        seed: the training seed.
        device: `cpu` or `cuda`.
    """

    def __init__(self, folder: Path, paradigm: str, config: Any, seed: int, device: torch.device) -> None:
        self.folder, self.paradigm, self.config, self.seed, self.device = folder, paradigm, config, seed, device
        self.ledger = Ledger()
        self._rows: list[dict[str, float]] = []
        self._interrupted = self._new = False

    # -- the folder ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Run:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self.folder, "another run")
            sweep(self.folder)
            sweep(self.folder / "checkpoints")
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot write there ({error.strerror}); choose another --runs folder"
            ) from error
        self._identify()
        self._clock, self._cpu_clock = time.perf_counter(), _cpu_seconds()
        self._last_checkpoint = self._clock
        self.progress = Progress(f"{self.paradigm}, seed {self.seed}")
        self._writer = SummaryWriter(str(self.folder / "tensorboard"), flush_secs=30)
        self._previous_handlers = {number: signal.signal(number, self._on_interrupt) for number in STOPS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self.progress.close()
        self._writer.close()
        if error is not None and self._new and not self._rows and not (self.folder / "checkpoints").exists():
            for name in ("config.json", "provenance.json"):  # nothing was learnt: other numbers may be tried here
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
            (self.folder / ".lock").unlink(missing_ok=True)
            with suppress(OSError):  # something else is there
                self.folder.rmdir()
        self._lock.close()
        if error is None and self._interrupted:  # it came after the last tick
            raise Interrupted

    def _identify(self) -> None:
        identity = {
            "paradigm": self.paradigm,
            "seed": self.seed,
            "format": FORMAT,
            "config": asdict(self.config),
        }
        path = self.folder / "config.json"
        if path.exists():
            found, wanted = read_json(path), json.loads(json.dumps(identity))
            if found != wanted:
                raise UserError(f"{path}: this folder holds a run with {_difference(found, wanted)}; "
                                "move or delete the folder, or choose another --runs folder")  # fmt: skip
        else:
            self._new = True
            write_json(path, identity)
        path = self.folder / "provenance.json"
        self._provenance = {} if self._new else read_object(path)
        if not self._provenance:
            self._provenance = provenance(self.device)
            write_json(path, self._provenance)

    def note(self, name: str, measure: Callable[[], Any]) -> None:
        """Add a measurement to `provenance.json`, unless it is there from before an interruption."""
        if name not in self._provenance:
            self._tell_time()
            self._provenance[name] = measure()
            write_json(self.folder / "provenance.json", self._provenance)
            self._clock, self._cpu_clock = time.perf_counter(), _cpu_seconds()  # measuring is not learning

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:  # a second one does not wait for the checkpoint
            raise KeyboardInterrupt
        self._interrupted = True

    def finish(self, agent: Agent, path: Path) -> None:
        """Write the last ledger and the agent with its record; the file's presence says that the run is done."""
        self._tell_time()
        write_json(self.folder / "ledger.json", asdict(self.ledger))
        agent.facts = {"seed": self.seed, "config": asdict(self.config), "ledger": asdict(self.ledger)}
        agent.facts["provenance"] = self._provenance
        agent.save(path)

    # -- randomness ----------------------------------------------------------------------------------------------

    def stream(self, name: str) -> np.random.SeedSequence:
        """Return the stream of this training seed that goes by `name`: the same one at every call."""
        return np.random.SeedSequence([_TRAINING, self.seed, zlib.crc32(name.encode())])

    # -- what it costs and how it goes -----------------------------------------------------------------------------

    def _tell_time(self) -> None:
        now, cpu_now = time.perf_counter(), _cpu_seconds()
        self.ledger.wall_seconds += now - self._clock
        self.ledger.cpu_seconds += cpu_now - self._cpu_clock
        self._clock, self._cpu_clock = now, cpu_now

    def log(self, **metrics: float) -> None:
        """Add a row to `metrics.csv` and to TensorBoard, stamped with the ledger's steps, frames and time."""
        self._tell_time()
        stamp = {
            "agent_steps": self.ledger.agent_steps,
            "frames": self.ledger.frames,
            "gradient_steps": self.ledger.gradient_steps,
            "wall_seconds": round(self.ledger.wall_seconds, 2),
        }
        self._rows.append({**stamp, **{name: float(value) for name, value in metrics.items()}})
        step = max(self.ledger.agent_steps, 1)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = StringIO()
        lines = csv.DictWriter(text, columns, lineterminator="\n")
        lines.writeheader()
        lines.writerows(self._rows)
        write_atomically(self.folder / "metrics.csv", text.getvalue().encode())
        write_json(self.folder / "ledger.json", asdict(self.ledger))

    def tick(self, done: float, total: float, note: str, state: Callable[[], Tree]) -> None:
        """Move the progress bar, and write a checkpoint when one is due.

        Call it at every point from which `state` could go on, at least every few seconds.

        Raises:
            Interrupted: Ctrl-C was pressed, or SIGTERM came; the checkpoint is written.
        """
        self.progress.show(done, total, note)
        if self._interrupted or time.perf_counter() - self._last_checkpoint > CHECKPOINT_SECONDS:
            self.checkpoint(state())
        if self._interrupted:
            self._interrupted = False  # heard
            raise Interrupted

    # -- what outlives the process -------------------------------------------------------------------------------

    def checkpoint(self, state: Tree) -> None:
        """Write a checkpoint now; the last two are kept."""
        self._tell_time()
        self._last_checkpoint = time.perf_counter()
        kept = self._checkpoints()
        number = 1 + (int(kept[-1].stem) if kept else 0)
        content = pack({"state": state, "ledger": asdict(self.ledger), "rows": self._rows})
        write_atomically(self.folder / "checkpoints" / f"{number:06d}.safetensors", content)
        for old in kept[:-1]:
            old.unlink()

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("[0-9]*.safetensors"))

    def restore(self) -> Tree | None:
        """Return the newest checkpoint that can be read, and take its ledger and metrics; None where there is none.

        Raises:
            UserError: it can be read, but is of another version.
        """
        kept_paths = self._checkpoints()
        for path in reversed(kept_paths):
            try:
                kept = unpack(path)
            except (UserError, KeyError, TypeError, ValueError) as error:
                if isinstance(error.__cause__, OSError):
                    raise  # the disk's fault: the checkpoint may be whole
                last = "there is no other, so training begins anew"
                what = last if path == kept_paths[0] else "falling back to the checkpoint before it"
                self.progress.say(f"{path} cannot be read ({error}); {what}")
                path.unlink()
                continue
            with self.resuming():
                state, self._rows, self.ledger = kept["state"], list(kept["rows"]), Ledger(**kept["ledger"])
            self._clock, self._cpu_clock = time.perf_counter(), _cpu_seconds()
            self.progress.say(f"resuming {self.folder} after {self.ledger.wall_seconds:.0f} s of training")
            return state
        return None

    @contextmanager
    def resuming(self) -> Iterator[None]:
        """Around whatever takes back what `restore` returned.

        Raises:
            UserError: it does not fit: it is of another run or of another version.
        """
        try:
            yield
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else repr(error)
            raise UserError(
                f"{self.folder}/checkpoints: not of this run, or of another version ({reason}); "
                "move the run folder away to train anew"
            ) from error

    def save_arrays(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep bulk data once, compressed, so that checkpoints need not repeat it."""
        buffer = BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomically(self.folder / "checkpoints" / f"{name}.npz", buffer.getvalue())

    def load_arrays(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return what `save_arrays` kept under `name`, or None if it is missing or cannot be read."""
        path = self.folder / "checkpoints" / f"{name}.npz"
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, MemoryError):
            raise  # the machine's fault: the file may be whole
        except Exception as error:  # zipfile, zlib and numpy each raise their own
            self.progress.say(f"{path} cannot be read ({error})")
            path.unlink()
            return None


def _cpu_seconds() -> float:
    """Of this process, its threads, and its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _difference(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return "another version's format"
    for name in ("paradigm", "seed"):
        if found.get(name) != wanted[name]:
            return f"{name} {found.get(name)!r} instead of {wanted[name]!r}"
    old, new = found.get("config"), wanted["config"]
    if not isinstance(old, dict):
        return "other contents"
    changed = [
        f"{k} = {old.get(k)!r} instead of {new.get(k)!r}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)
    ]
    return "; ".join(changed) or "other contents"
