"""The `breakout` command.

Mistakes of the user end with exit code 2 and one line; Ctrl-C and SIGTERM with 130 and nothing lost.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence

import torch

from agents.files import UserError
from agents.run import Interrupted
from harness import commands

# The disk takes no more: it is full, or for other reasons.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
NO_SUCH_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "compare": commands.compare_command,
    "train": commands.train_command,
    "evaluate": commands.evaluate_command,
    "probe": commands.probe_command,
    "clusters": commands.clusters_command,
    "atlas": commands.atlas_command,
    "replay": commands.replay_command,
    "report": commands.report_command,
    "judge": commands.judge_command,
    "film": commands.film_command,
    "curve": commands.curve_command,
    "shallow": commands.shallow_command,
    "race": commands.race_command,
    "record": commands.record_command,
    "export": commands.export_command,
    "import": commands.import_command,
    "bench": commands.bench_command,
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    command, *rest = list(sys.argv[1:] if words is None else words) or ["--help"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` is Ctrl-C by other means
    _nothing_is_said_to_closed_streams()
    try:
        if command in ("--help", "-h"):
            print("usage: breakout COMMAND [--help] [flags]\n")
            print("\n".join(f"  {name:10} {function.__doc__}" for name, function in COMMANDS.items()))
        elif command not in COMMANDS:
            raise UserError(f"{command}: no such command; choose one of {', '.join(COMMANDS)}")
        else:
            COMMANDS[command](rest)
        sys.stdout.flush()
    except UserError as error:
        _leave(2, f"breakout: {error}")
    except BrokenPipeError:  # whoever read the output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as of other programs
    except OSError as error:
        if error.filename is None and error.errno not in FULL_DISK:
            raise
        where = error.filename2 or error.filename or "the disk"  # a rename names where it goes second
        cure = "pass another path" if error.errno in NO_SUCH_PATH else "make room or choose another folder"
        cure = "allow it or choose another path" if isinstance(error, PermissionError) else cure
        _leave(2, f"breakout: {where}: {error.strerror}; {cure}; finished work is kept")
    except torch.cuda.OutOfMemoryError:
        _leave(2, "breakout: the GPU's memory is full; lower --minibatch or --batch, or use --device cpu")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # PyTorch has no type for it
            raise
        _leave(2, "breakout: the memory is full; lower the largest numbers among the flags, or take a smaller data set")
    except Interrupted:
        _leave(130, "stopped; everything is kept, and the same command goes on from here")
    except KeyboardInterrupt:
        _leave(130, "stopped")


def _nothing_is_said_to_closed_streams() -> None:
    """Open the null device where the shell closed standard output or error (`>&-`): Python has None there."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _leave(code: int, message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)
