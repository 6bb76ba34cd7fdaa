"""The flags of every command, and how they are read: what a user gets wrong becomes one sentence."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import torch
import tyro

from agents.files import UserError
from harness.curve import COUNTS
from paradigms import reinforcement, supervised, unsupervised

ProtocolName = Literal["classic", "sticky"]
SEEDS = 2**31  # scikit-learn takes 32 bits, and is given seeds with a little added
Parsed = TypeVar("Parsed")
Config = TypeVar("Config")


@dataclass(frozen=True)
class Common:
    """What every stage of a comparison is told."""

    profile: str = "quick"
    """How much of everything: smoke (5 to 10 minutes in all), quick (5 to 30 minutes each on 2 cores), standard (about
    2 hours each on 2 cores) or full (a GPU, or a night)."""
    device: str = "auto"
    """Where networks compute: auto (cuda if there is one), cpu or cuda."""
    runs: Path = Path("runs")
    """Folder that holds the run folders."""


@dataclass(frozen=True)
class Stage(Common):
    """What a stage over several training seeds is told."""

    seeds: tuple[int, ...] = (0,)
    """Training seeds, one or several."""


Staged = TypeVar("Staged", bound=Stage)


@dataclass(frozen=True)
class Curve(Stage):
    """What the label curve is told."""

    counts: tuple[int, ...] = COUNTS
    """Budgets of labels, each trained by plain cloning and by DAgger with every seed (labels)."""


@dataclass(frozen=True)
class Training(Common, Generic[Config]):
    """What one training run is told; the paradigm's own numbers follow, with the profile's as defaults."""

    config: Annotated[Config, tyro.conf.OmitArgPrefixes] = tyro.MISSING
    seed: int = 0
    """The training seed."""


TRAINING: dict[str, Any] = {
    "supervised": Training[supervised.Config],
    "unsupervised": Training[unsupervised.Config],
    "reinforcement": Training[reinforcement.Config],
}


@dataclass(frozen=True)
class Judging:
    """Judge an agent over full games on the judge's own seeds."""

    agent: tyro.conf.Positional[str]
    """An agent file, or `random`, or `demonstrator`."""
    games: int = 30
    """How many games."""
    protocol: ProtocolName = "classic"
    """classic (no sticky actions) or sticky (each frame repeats the last action with probability 0.25)."""
    seed: int = 1000
    """The judge's seed; decides the games."""
    sampled: bool = False
    """Draw actions from the agent's distribution instead of taking the best."""
    workers: int = 2
    """Processes; they change the time and not the result."""
    device: str = "auto"
    """Where networks compute: auto, cpu or cuda."""
    json: Path | None = None
    """Write the result into this file; other protocols and modes of the same agent stay in it."""


@dataclass(frozen=True)
class Probing:
    """Read ball, paddle and bricks from agents' frozen features, beside controls, held against RAM."""

    agents: tyro.conf.Positional[tuple[str, ...]]
    """Agent files."""
    games: int = 24
    """Games of mixed play to probe on; a third is held out for the test."""
    steps: int = 1_200
    """The longest of those games, in agent steps."""
    seed: int = 77
    """Decides those games; they are never the judge's."""
    device: str = "auto"
    """Where networks compute: auto, cpu or cuda."""
    json: Path | None = None
    """Write what was found into this file, as a list, and not as probe.json beside each agent file."""


@dataclass(frozen=True)
class Clustering(Probing):
    """Cluster what agents make of the same states, choose the number of cells, and hold the cells against RAM."""

    games: int = 24
    """Games of mixed play whose states are clustered."""
    json: Path | None = None
    """Write what was found into this file, as a list."""


@dataclass(frozen=True)
class Mapping:
    """Draw the atlas of a planner's states into atlas.json beside its file; the report shows it."""

    agent: tyro.conf.Positional[Path]
    """An agent file of the unsupervised arm."""


@dataclass(frozen=True)
class Filming:
    """Film the middle one of an agent's games; several agents side by side."""

    agents: tyro.conf.Positional[tuple[str, ...]]
    """Agent files, or `random`, or `demonstrator`."""
    out: Path = Path("replay.mp4")
    """The film, H.264 in an .mp4; what was judged is kept beside it."""
    games: int = 5
    """Games per agent, of which the middle one is filmed."""
    protocol: ProtocolName = "classic"
    """classic or sticky."""
    seed: int = 1000
    """The judge's seed; decides the games."""
    seconds: float = 180.0
    """The longest film, in seconds."""


@dataclass(frozen=True)
class Exporting:
    """Write recorded labels as a Minari data set."""

    labels: tyro.conf.Positional[Path]
    """Folder of a recorded data set."""
    out: tyro.conf.Positional[Path]
    """New folder for the Minari data set, e.g. ada-v0."""


@dataclass(frozen=True)
class Importing:
    """Make a data set to train on (`breakout train supervised --labels FOLDER`) out of a Minari one."""

    minari: tyro.conf.Positional[Path]
    """Folder of the Minari data set; its pictures must be as the agents see them."""
    out: tyro.conf.Positional[Path]
    """New folder for the labels."""


@dataclass(frozen=True)
class Reporting:
    """Write the report of what a folder of runs holds, or its numbers alone."""

    runs: tyro.conf.Positional[Path]
    """A profile's folder, e.g. runs/quick."""
    single_file: bool = False
    """Pack the videos into the page, to send it as one file."""
    table: Path | None = None
    """Write the numbers as Markdown into this file instead."""


def parse(kind: type[Parsed], command: str, words: Sequence[str], default: Parsed | None = None) -> Parsed:
    """Parse flags by a dataclass; what tyro has to complain of becomes one line."""
    for before, word in pairwise([command, *words]):
        if word == "" or re.fullmatch("--[a-z-]+=", word):  # as a path it would be the working folder
            raise UserError(f"{command}: the value after {word or before} is empty; give one or leave it out")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            if default is None:
                return tyro.cli(kind, prog=f"breakout {command}", args=words)
            return tyro.cli(kind, prog=f"breakout {command}", args=words, default=default)
    except SystemExit as stop:
        if not stop.code:
            raise
    text = re.sub(r"\x1b\[[0-9;]*m", "", complaint.getvalue())
    sentence = " ".join(re.sub(r"[╭╮╰╯─│]|-{3,}", " ", text).split())
    raise UserError(f"{command}: {sentence or 'the flags cannot be read'}")


def parse_stage(kind: type[Staged], command: str, words: Sequence[str]) -> Staged:
    """Parse the flags of a stage over training seeds, of which there must be some."""
    a = parse(kind, command, words)
    if not a.seeds:
        raise UserError("--seeds is empty; give at least one training seed, e.g. --seeds 0")
    for seed in a.seeds:
        valid_seed(seed, "--seeds")
    return a


def early_flag(words: Sequence[str], name: str, default: str) -> str:
    """Read one flag before the others: the profile decides their defaults. The last one counts, as everywhere."""
    found = default
    for word, following in pairwise([*words, ""]):
        if word == name:
            found = following
        elif word.startswith(f"{name}="):
            found = word.split("=", 1)[1]
    return found


def valid_seed(seed: int, flag: str = "--seed") -> int:
    """Return a seed that everything can take, or complain."""
    if not 0 <= seed < SEEDS:
        raise UserError(f"{flag} {seed}: a seed must be 0 or more and below {SEEDS}")
    return seed


def device_named(name: str) -> torch.device:
    """Return the device that `--device` asks for."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device here; use --device cpu (make: DEVICE=cpu)")
    return torch.device(name)
