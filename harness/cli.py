"""The `breakout` command. Mistakes of the user end with exit code 2 and one line; Ctrl-C with 130 and nothing lost."""

from __future__ import annotations

import contextlib
import errno
import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import torch
import tyro
from rich.console import Console

from agents.demonstrations import open_dataset, read_demonstrations, write_episode
from agents.files import UserError, write_json
from agents.minari_io import read_minari, write_minari
from agents.run import Interrupted
from evaluation import clusters
from evaluation.atlas import write_atlas
from evaluation.evaluate import evaluate
from evaluation.probe import probe
from evaluation.probed import write_probe
from evaluation.replay import film, take_from
from evaluation.report import write_report, write_table
from evaluation.runs import LABELLED
from harness import bench, record
from harness.compare import FILM_PROTOCOL, cluster_table, compare, film_all, judge_all, probe_tables, score_table, train
from harness.curve import COUNTS, label_curve
from harness.profiles import PARADIGMS, Arm, profile_named
from harness.shallow import study_table, train_shallow
from paradigms import reinforcement, supervised, unsupervised

ProtocolName = Literal["classic", "sticky"]
Parsed = TypeVar("Parsed")
Config = TypeVar("Config")


@dataclass(frozen=True)
class Common:
    """What every stage of a comparison is told."""

    profile: str = "quick"
    """How much of everything: smoke (a few minutes in all), quick (about 5 minutes each on 2 cores), standard (at most
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

# Flags that make a variant of an arm, which has a run folder of its own.
VARIANTS = (
    ("--learner", "regressor", "supervised_regressor"),
    ("--algorithm", "pqn", "reinforcement_pqn"),
)


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
    """Write the result into this file, or merge it in."""


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


def train_command(words: Sequence[str]) -> None:
    """train one paradigm, or a variant of it"""
    name, flags = (words[0], words[1:]) if words else ("", [])
    profile = profile_named(_flag(flags, "--profile", Common.profile))
    arms = {paradigm: Arm(paradigm, getattr(profile, paradigm)) for paradigm in PARADIGMS} | profile.variants()
    if name in ("--help", "-h"):
        print(f"usage: breakout train {{{','.join(arms)}}} [flags]\n\neach has its own flags and --help")
        return
    if name not in arms:
        raise UserError(f"train {name or '(nothing)'}: choose one of {', '.join(arms)}")
    for flag, word, variant in VARIANTS:
        if _flag(flags, flag, "") == word:
            name = variant
    arm = arms[name]
    a = _parse(TRAINING[arm.paradigm], f"train {name}", flags, default=Training(config=arm.config))
    if arm.paradigm == "supervised" and a.config.labels != "demonstrator":
        name = LABELLED + Path(a.config.labels).resolve().name
    folder = a.runs / a.profile / name / f"seed_{a.seed}"
    print(train(Arm(arm.paradigm, a.config), folder, _seed(a.seed), _device(a.device)))


def evaluate_command(words: Sequence[str]) -> None:
    """judge an agent file, `random` or `demonstrator`"""
    a = _parse(Judging, "evaluate", words)
    device = _device(a.device).type
    found = evaluate(a.agent, a.protocol, a.games, a.seed, not a.sampled, a.workers, device, a.json)
    Console().print(score_table([found]))


def probe_command(words: Sequence[str]) -> None:
    """see what can be read from agents' features"""
    a = _parse(Probing, "probe", words)
    if not a.agents:
        raise UserError("probe needs at least one agent file")
    found = probe(a.agents, _seed(a.seed), a.games, a.steps, _device(a.device).type)
    for agent, one in zip(a.agents, found, strict=True):
        if a.json is None:
            write_probe(Path(agent).with_name("probe.json"), one)
    if a.json is not None:
        write_json(a.json, [asdict(one) for one in found])
    for table in probe_tables(found):
        Console().print(table)


def clusters_command(words: Sequence[str]) -> None:
    """see which states agents hold to be alike"""
    a = _parse(Clustering, "clusters", words)
    if not a.agents:
        raise UserError("clusters needs at least one agent file")
    found = clusters.cluster(a.agents, _seed(a.seed), a.games, a.steps, _device(a.device).type)
    if a.json is not None:
        clusters.write_clusters(a.json, found)
    Console().print(cluster_table(found))


def atlas_command(words: Sequence[str]) -> None:
    """draw the atlas of a planner's states"""
    a = _parse(Mapping, "atlas", words)
    judged = a.agent.with_name("evaluation.json")
    record = take_from(judged, str(a.agent), FILM_PROTOCOL).record if judged.exists() else None
    print(write_atlas(a.agent, record))


def replay_command(words: Sequence[str]) -> None:
    """film agents"""
    a = _parse(Filming, "replay", words)
    if not a.agents:
        raise UserError("replay needs at least one agent: a file, `random` or `demonstrator`")
    if a.out.suffix != ".mp4":
        raise UserError(f"--out {a.out}: the film is H.264 in an .mp4; give a name that ends in .mp4")
    takes = []
    for number, agent in enumerate(a.agents):
        judged = a.out.with_suffix(f".{number}.evaluation.json")
        evaluate(agent, a.protocol, a.games, a.seed, json_path=judged)
        takes.append(take_from(judged, agent, a.protocol))
    film(takes, a.out, a.seconds)
    print(a.out)


def report_command(words: Sequence[str]) -> None:
    """write the report of a folder of runs"""
    a = _parse(Reporting, "report", words)
    if a.table is None:
        print(write_report(a.runs, single_file=a.single_file))
    else:
        write_table(a.runs, a.table)
        print(a.table)


def compare_command(words: Sequence[str]) -> None:
    """train all three, judge, film, report"""
    a = _stage("compare", words)
    page = compare(profile_named(a.profile), a.runs / a.profile, a.seeds, _device(a.device))
    print(f"report: {page.resolve().as_uri()}")


def judge_command(words: Sequence[str]) -> None:
    """judge everything that a profile has trained"""
    a = _stage("judge", words)
    evaluations = judge_all(profile_named(a.profile), a.runs / a.profile, a.seeds, _device(a.device))
    Console().print(score_table(evaluations))


def film_command(words: Sequence[str]) -> None:
    """film everything that a profile has judged"""
    a = _stage("film", words)
    film_all(profile_named(a.profile), a.runs / a.profile, a.seeds)


def curve_command(words: Sequence[str]) -> None:
    """train and judge imitators with tenfold more labels each time"""
    a = _parse(Curve, "curve", words)
    for seed in a.seeds:
        _seed(seed)
    label_curve(profile_named(a.profile), a.runs / a.profile, a.counts, a.seeds, _device(a.device))
    print(write_report(a.runs / a.profile))


def shallow_command(words: Sequence[str]) -> None:
    """fit naive Bayes and kernel machines to the imitator's labels"""
    a = _stage("shallow", words)
    Console().print(study_table(train_shallow(a.runs / a.profile, a.seeds, _device(a.device))))


def record_command(words: Sequence[str]) -> None:
    """play with the keyboard, and keep every key as a label"""
    record.record(_parse(record.Config, "record", words))


def export_command(words: Sequence[str]) -> None:
    """write recorded labels as a Minari data set"""
    a = _parse(Exporting, "export", words)
    write_minari(read_demonstrations(a.labels), a.out)
    print(a.out)


def import_command(words: Sequence[str]) -> None:
    """make labels to train on out of a Minari data set"""
    a = _parse(Importing, "import", words)
    if a.out.exists():
        raise UserError(f"{a.out}: exists already; choose another folder")
    facts, episodes = read_minari(a.minari)
    open_dataset(a.out, facts)
    for number, episode in enumerate(episodes):
        write_episode(a.out, number, episode)
    print(a.out)


def bench_command(words: Sequence[str]) -> None:
    """measure this machine"""
    bench.bench(_parse(bench.Config, "bench", words))


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "compare": compare_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "probe": probe_command,
    "clusters": clusters_command,
    "atlas": atlas_command,
    "replay": replay_command,
    "report": report_command,
    "judge": judge_command,
    "film": film_command,
    "curve": curve_command,
    "shallow": shallow_command,
    "record": record_command,
    "export": export_command,
    "import": import_command,
    "bench": bench_command,
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    command, *rest = list(sys.argv[1:] if words is None else words) or ["--help"]
    try:
        if command in ("--help", "-h"):
            print("usage: breakout COMMAND [--help] [flags]\n")
            print("\n".join(f"  {name:10} {function.__doc__}" for name, function in COMMANDS.items()))
        elif command not in COMMANDS:
            raise UserError(f"{command}: no such command; choose one of {', '.join(COMMANDS)}")
        else:
            COMMANDS[command](rest)
    except UserError as error:
        _leave(2, f"breakout: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT):
            raise
        where = error.filename or "the disk"
        _leave(2, f"breakout: {where}: {error.strerror}; make room or choose another folder; finished work is kept")
    except torch.cuda.OutOfMemoryError:
        _leave(2, "breakout: the GPU's memory is full; lower --minibatch or --batch, or use --device cpu")
    except Interrupted:
        _leave(130, "stopped; everything is kept, and the same command goes on from here")
    except KeyboardInterrupt:
        _leave(130, "stopped")


def _leave(code: int, message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)


def _parse(kind: type[Parsed], command: str, words: Sequence[str], default: Parsed | None = None) -> Parsed:
    """Parse flags by a dataclass; what tyro has to complain of becomes one line."""
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
    sentence = " ".join(re.sub(r"[╭╮╰╯─│]", " ", text).split())
    raise UserError(f"{command}: {sentence or 'the flags cannot be read'}")


def _stage(command: str, words: Sequence[str]) -> Stage:
    a = _parse(Stage, command, words)
    if not a.seeds:
        raise UserError("--seeds is empty; give at least one training seed, e.g. --seeds 0")
    for seed in a.seeds:
        _seed(seed)
    return a


def _flag(words: Sequence[str], name: str, default: str) -> str:
    """Read one flag before the others: the profile decides their defaults."""
    for word, following in pairwise([*words, ""]):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.split("=", 1)[1]
    return default


def _seed(seed: int) -> int:
    if seed < 0:
        raise UserError(f"--seed {seed}: a seed must be 0 or more")
    return seed


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device here; use --device cpu (make: DEVICE=cpu)")
    return torch.device(name)
