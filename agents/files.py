"""Files that are written whole or not at all, and trees of tensors on disk without pickle."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import IO, Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

Tree = Any
"""Nested dicts, lists and tuples of tensors, arrays, str, int, float, bool and None."""


Filled = TypeVar("Filled")


class UserError(Exception):
    """Something the user can mend: one sentence that names the file or flag and the fix."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: readers and crashes never see half of it. A link is followed.

    Raises:
        UserError: there is a device or a pipe, which would be replaced, or a link to itself.
    """
    path = _resolved(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is no ordinary file; pass another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:
        raise UserError(f"{path}: a link that leads to itself; pass another path") from error


def sweep(folder: Path) -> None:
    """Remove what `write_atomically` left in `folder` where it was killed. Nobody else may be writing there."""
    for left in folder.glob(".*.*.[0-9]*"):
        left.unlink()


def check_writable(path: Path) -> None:
    """Make the folder of a file that is to be written after long work.

    Raises:
        OSError: it cannot be made.
        UserError: nothing can be written there.
    """
    path = _resolved(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: cannot write there; pass another path")


def locked(folder: Path, what: str) -> IO[str]:
    """Keep every other process out of `folder`, until the file that is returned is closed.

    Raises:
        UserError: `what` is there already.
    """
    lock = (folder / ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise UserError(f"{folder}: {what} is using this folder; wait for it or end it first") from error
    return lock


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a new folder, whole or not at all: under the name given, which becomes `target` at the end.

    Raises:
        UserError: `target` exists.
    """
    place = _resolved(target)
    if place.exists():
        raise UserError(f"{target}: exists already; choose another folder")
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a person can read, atomically."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path, cure: str = "delete it and run again") -> Any:
    """Read JSON, with or without a byte order mark.

    Args:
        cure: what to do about a file that is no JSON.

    Raises:
        UserError: the file is not JSON, or not there, or a folder.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy or make it again") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); {cure}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is no file.

    Raises:
        UserError: the file is not JSON, or holds something else.
    """
    content = read_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: should hold one JSON object; delete it and run again")
    return content


def pack(tree: Tree) -> bytes:
    """Turn a tree into one safetensors document."""
    tensors: dict[str, torch.Tensor] = {}

    def plain(node: Tree) -> Any:
        if isinstance(node, torch.Tensor | np.ndarray):
            key = f"{len(tensors)}"
            tensor = torch.from_numpy(np.array(node)) if isinstance(node, np.ndarray) else node.detach().cpu()
            tensors[key] = tensor.clone(memory_format=torch.contiguous_format)
            return {"array" if isinstance(node, np.ndarray) else "tensor": key}
        if isinstance(node, dict):  # keys need not be text: optimisers number their parameters
            return {"dict": [[key, plain(value)] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return {type(node).__name__: [plain(value) for value in node]}
        if isinstance(node, np.generic):
            return node.item()
        if node is None or isinstance(node, str | int | float | bool):
            return node
        raise TypeError(f"cannot keep a {type(node).__name__} in a checkpoint")

    document = json.dumps(plain(tree))
    return save(tensors, metadata={"tree": document})


def number_like(value: Any) -> bool:
    """Whether it is a number that arithmetic holds: finite, and not of hundreds of digits."""
    return isinstance(value, int | float) and -1e300 < value < 1e300


def filled(kind: type[Filled], plain: Any) -> Filled:
    """Make a dataclass out of what JSON holds, nested ones, tuples and dicts included.

    Raises:
        ValueError: a field is missing or unknown, or holds something else than it should; or the dataclass says so.
    """
    made: Filled = _filled(kind, plain, kind.__name__)
    return made


def _filled(hint: Any, plain: Any, where: str) -> Any:
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        if not isinstance(plain, dict) or plain.keys() != hints.keys():
            raise ValueError(f"{where} should have {', '.join(hints)} and nothing else")
        make: Any = hint
        return make(**{name: _filled(hints[name], value, f"{where}.{name}") for name, value in plain.items()})
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(plain, list):
        each = args[:1] * len(plain) if args[1:] == (...,) else args
        if len(each) != len(plain):
            raise ValueError(f"{where} should have {len(each)} items, not {len(plain)}")
        return tuple(_filled(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(each, plain, strict=True)))
    if origin is dict and isinstance(plain, dict):
        return {key: _filled(args[1], value, f"{where}[{key!r}]") for key, value in plain.items()}
    if origin is UnionType:  # something, or None
        return None if plain is None else _filled(args[0], plain, where)
    if type(plain) is hint or (hint is float and type(plain) is int):
        if hint in (int, float) and not number_like(plain):
            raise ValueError(f"{where} should be a finite number, not {plain!r:.40}")
        return plain
    raise ValueError(f"{where} should be {getattr(hint, '__name__', hint)}, not {plain!r:.40}")


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return a file's metadata and its tensors.

    Raises:
        UserError: it is cut short, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole .safetensors file ({error}); make or copy it again") from error


def unpack(path: Path) -> Tree:
    """Read what `pack` made.

    Raises:
        UserError: the file is cut short or foreign.
    """
    metadata, tensors = read_safetensors(path)
    try:
        document = json.loads(metadata["tree"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not a checkpoint; delete it to start from the one before") from error

    def full(node: Any) -> Tree:
        if not isinstance(node, dict):
            return node
        ((kind, value),) = node.items()
        if kind == "tensor":
            return tensors[value]
        if kind == "array":
            return tensors[value].numpy()
        if kind == "dict":
            return {key: full(child) for key, child in value}
        children = [full(child) for child in value]
        return tuple(children) if kind == "tuple" else children

    return full(document)
