"""The commands of `breakout`, a function each: it reads its flags, has the work done, and says what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from agents.demonstrations import open_dataset, read_demonstrations, write_episode
from agents.files import UserError, check_writable, filled, new_folder, read_json, write_json
from agents.minari_io import read_minari, write_minari
from agents.run import require_positive
from evaluation import clusters
from evaluation.clusters import Clusters
from evaluation.evaluate import evaluate
from evaluation.probe import probe
from evaluation.probed import Probe, write_probe
from evaluation.replay import film, take_from
from evaluation.report import write_report, write_table
from evaluation.runs import LABELLED
from harness import bench, record
from harness.compare import (
    cluster_table,
    compare,
    draw_atlas,
    film_all,
    judge_all,
    probe_tables,
    score_table,
    short_name,
    train,
)
from harness.curve import label_curve
from harness.flags import (
    TRAINING,
    Clustering,
    Common,
    Curve,
    Exporting,
    Filming,
    Importing,
    Judging,
    Mapping,
    Probing,
    Reporting,
    Stage,
    Training,
    device_named,
    early_flag,
    parse,
    parse_stage,
    valid_seed,
)
from harness.profiles import PARADIGMS, Arm, Config, profile_named
from harness.race import race
from harness.shallow import study_table, train_shallow
from paradigms import supervised
from paradigms.supervised.cloned import require_same

# Flags that make a variant of an arm, which has a run folder of its own.
VARIANTS = (
    ("--learner", "regressor", "supervised_regressor"),
    ("--algorithm", "ppo", "reinforcement_ppo"),
)
# What a data set leaves nothing to decide about.
WITHOUT_DEMONSTRATOR = ("demonstrated_rounds", "round_labels", "label_share", "games", "near_share", "reading_weight")


def train_command(words: Sequence[str]) -> None:
    """train one paradigm, or a variant of it"""
    name, flags = (words[0], words[1:]) if words else ("", [])
    profile = profile_named(early_flag(flags, "--profile", Common.profile))
    arms = {paradigm: Arm(paradigm, getattr(profile, paradigm)) for paradigm in PARADIGMS} | profile.variants()
    if name in ("--help", "-h"):
        print(f"usage: breakout train {{{','.join(arms)}}} [flags]\n\neach has its own flags and --help")
        return
    if name not in arms:
        raise UserError(f"train {name or '(nothing)'}: choose one of {', '.join(arms)}")
    for flag, word, variant in VARIANTS:
        if early_flag(flags, flag, "") == word and arms[variant].paradigm == name:
            name = variant
    arm = arms[name]
    a = parse(TRAINING[arm.paradigm], f"train {name}", flags, default=Training(config=arm.config))
    for flag, word, variant in VARIANTS:
        if arms[variant].paradigm == arm.paradigm and (name == variant) != (getattr(a.config, flag[2:]) == word):
            raise UserError(
                f"train {name} {flag} {getattr(a.config, flag[2:])}: these contradict each other; leave one out"
            )
    config, folder = a.config, a.runs / a.profile / name / f"seed_{a.seed}"
    if isinstance(config, supervised.Config) and config.labels != "demonstrator":
        path = os.path.normpath(config.labels)  # as tab completion leaves it, or not
        config = replace(config, labels=path if path != "demonstrator" else str(Path(path).absolute()))
        folder = a.runs / a.profile / (LABELLED + Path(os.path.realpath(path)).name) / f"seed_{a.seed}"
        check_labels(config, arm.config, folder)
    elif isinstance(config, supervised.Config) and name == "supervised_cloning":
        if early_flag(flags, "--demonstrated-rounds", ""):
            raise UserError("--demonstrated-rounds has no meaning in plain cloning: all are; leave it out")
        config = replace(config, demonstrated_rounds=config.rounds)
    print(train(Arm(arm.paradigm, config), folder, valid_seed(a.seed), device_named(a.device)))


def check_labels(config: supervised.Config, default: Config, folder: Path) -> None:
    """Say what is wrong with a data set, or with flags beside it, before there is a run folder."""
    for unused in WITHOUT_DEMONSTRATOR:
        if getattr(config, unused) != getattr(default, unused):
            raise UserError(f"--{unused.replace('_', '-')} has no meaning with --labels FOLDER; leave it out")
    done = (folder / "agent.safetensors").exists()
    if not done or Path(config.labels).exists():
        data = read_demonstrations(Path(config.labels))
        if done:
            require_same(data, folder)


def evaluate_command(words: Sequence[str]) -> None:
    """judge an agent file, `random` or `demonstrator`"""
    a = parse(Judging, "evaluate", words)
    device = device_named(a.device).type
    found = evaluate(a.agent, a.protocol, a.games, a.seed, not a.sampled, a.workers, device, a.json)
    Console().print(score_table([found]))


def check_json(path: Path, kind: type[Probe | Clusters]) -> None:
    """Refuse a file that is not named like one of figures, such as an agent, or holds something else than a list."""
    check_writable(path)
    if path.suffix != ".json":
        raise UserError(f"--json {path}: the figures are JSON; give a name that ends in .json")
    held = read_json(path) if path.exists() else []
    try:
        for one in held if isinstance(held, list) else [held]:
            filled(kind, one)
    except ValueError as error:
        raise UserError(f"--json {path}: holds something else, which would be written over; give another") from error


def probe_command(words: Sequence[str]) -> None:
    """see what can be read from agents' features"""
    a = parse(Probing, "probe", words)
    if not a.agents:
        raise UserError("probe needs at least one agent file")
    if a.json is not None:
        check_json(a.json, Probe)
    elif len({Path(agent).parent.resolve() for agent in a.agents}) < len(a.agents):
        raise UserError("two of these agents share a folder, which holds one probe.json: name a file with --json")
    else:
        for agent in a.agents:
            check_writable(Path(agent).with_name("probe.json"))
    found = probe(a.agents, valid_seed(a.seed), a.games, a.steps, device_named(a.device).type)
    for agent, one in zip(a.agents, found, strict=True):
        if a.json is None:
            write_probe(Path(agent).with_name("probe.json"), one)
    if a.json is not None:
        write_json(a.json, [asdict(one) for one in found])
    for table in probe_tables(found):
        Console().print(table)


def clusters_command(words: Sequence[str]) -> None:
    """see which states agents hold to be alike"""
    a = parse(Clustering, "clusters", words)
    if not a.agents:
        raise UserError("clusters needs at least one agent file")
    if a.json is not None:
        check_json(a.json, Clusters)
    found = clusters.cluster(a.agents, valid_seed(a.seed), a.games, a.steps, device_named(a.device).type)
    if a.json is not None:
        clusters.write_clusters(a.json, found)
    Console().print(cluster_table(found))


def atlas_command(words: Sequence[str]) -> None:
    """draw the atlas of a planner's states"""
    a = parse(Mapping, "atlas", words)
    print(draw_atlas(a.agent))


def replay_command(words: Sequence[str]) -> None:
    """film agents"""
    a = parse(Filming, "replay", words)
    if not a.agents:
        raise UserError("replay needs at least one agent: a file, `random` or `demonstrator`")
    if a.out.suffix != ".mp4":
        raise UserError(f"--out {a.out}: the film is H.264 in an .mp4; give a name that ends in .mp4")
    require_positive(a, "seconds")
    check_writable(a.out)
    described = a.out.with_suffix(".json")
    if described.exists() and not isinstance(read_json(described), dict):
        raise UserError(f"--out {a.out}: {described} is not of a film, and would be written over; give another name")
    takes = []
    for number, agent in enumerate(a.agents):
        judged = a.out.with_suffix(f".{number}.evaluation.json")
        evaluate(agent, a.protocol, a.games, a.seed, json_path=judged)
        name = short_name(agent)
        takes.append(take_from(judged, Path(agent).stem if name == agent else name, a.protocol))
    film(takes, a.out, a.seconds)
    print(a.out)


def report_command(words: Sequence[str]) -> None:
    """write the report of a folder of runs"""
    a = parse(Reporting, "report", words)
    if a.table is None:
        print(write_report(a.runs, single_file=a.single_file))
    else:
        write_table(a.runs, a.table)
        print(a.table)


def compare_command(words: Sequence[str]) -> None:
    """train all three, judge, film, report"""
    a = parse_stage(Stage, "compare", words)
    page = compare(profile_named(a.profile), a.runs / a.profile, a.seeds, device_named(a.device))
    print(f"report: {page.resolve().as_uri()}")


def judge_command(words: Sequence[str]) -> None:
    """judge everything that a profile has trained"""
    a = parse_stage(Stage, "judge", words)
    evaluations = judge_all(profile_named(a.profile), a.runs / a.profile, a.seeds, device_named(a.device))
    Console().print(score_table(evaluations))


def film_command(words: Sequence[str]) -> None:
    """film everything that a profile has judged"""
    a = parse_stage(Stage, "film", words)
    film_all(profile_named(a.profile), a.runs / a.profile, a.seeds)


def curve_command(words: Sequence[str]) -> None:
    """train and judge imitators with tenfold more labels each time"""
    a = parse_stage(Curve, "curve", words)
    label_curve(profile_named(a.profile), a.runs / a.profile, a.counts, a.seeds, device_named(a.device))
    print(write_report(a.runs / a.profile))


def shallow_command(words: Sequence[str]) -> None:
    """fit naive Bayes and kernel machines to the imitator's labels"""
    a = parse_stage(Stage, "shallow", words)
    profile_named(a.profile)  # says which there are
    Console().print(study_table(train_shallow(a.runs / a.profile, a.seeds, device_named(a.device))))


def race_command(words: Sequence[str]) -> None:
    """measure how long our reinforcement and stock PPO take to 15 points"""
    a = parse_stage(Stage, "race", words)
    table = race(profile_named(a.profile), a.runs / a.profile, a.seeds, device_named(a.device))
    Console().print(table)


def record_command(words: Sequence[str]) -> None:
    """play with the keyboard, and keep every key as a label"""
    record.record(parse(record.Config, "record", words))


def export_command(words: Sequence[str]) -> None:
    """write recorded labels as a Minari data set"""
    a = parse(Exporting, "export", words)
    write_minari(read_demonstrations(a.labels), a.out)
    print(a.out)


def import_command(words: Sequence[str]) -> None:
    """make labels to train on out of a Minari data set"""
    a = parse(Importing, "import", words)
    with new_folder(a.out) as folder:
        facts, episodes = read_minari(a.minari)
        open_dataset(folder, facts)
        for number, episode in enumerate(episodes):
            write_episode(folder, number, episode)
    print(a.out)


def bench_command(words: Sequence[str]) -> None:
    """measure this machine"""
    bench.bench(parse(bench.Config, "bench", words))
