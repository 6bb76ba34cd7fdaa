"""The comparison: train, judge, probe, film, map, report.

Each stage skips what is done, so a second call goes on where one stopped. The stages speak through the run folders on
disk and through nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.agent import Agent, load_agent
from agents.files import UserError
from agents.run import Run
from envs.breakout import PROTOCOLS, cores
from evaluation.atlas import write_atlas
from evaluation.clusters import COLUMNS, Clusters, rows
from evaluation.evaluate import evaluate, fingerprint_of
from evaluation.probe import GAMES as PROBE_GAMES
from evaluation.probe import SEED as PROBE_SEED
from evaluation.probe import probe
from evaluation.probed import Probe, page_tables, read_probe, write_probe
from evaluation.reading import points
from evaluation.record import Evaluation, read_evaluations
from evaluation.replay import film, take_from
from evaluation.report import write_report
from harness.bench import yardstick
from harness.profiles import Arm, Profile
from paradigms import reinforcement, supervised, unsupervised
from paradigms.supervised import shallow
from paradigms.unsupervised.controls import CONTROLS as CONTROLS_OF_UNSUPERVISED
from paradigms.unsupervised.controls import control_of

JUDGE_SEED = 1000
FILM_PROTOCOL = "classic"
CONTROLS = ("random", "demonstrator")


def train(arm: Arm, folder: Path, seed: int, device: torch.device) -> Path:
    """Train one arm in its run folder, or go on with it, or leave it if it is done; return the agent's file."""
    path = folder / "agent.safetensors"
    with Run(folder, arm.paradigm, arm.config, seed, device) as run:
        if path.exists():
            run.progress.say(f"{folder}: already trained")
        else:
            run.note("yardstick", yardstick)
            run.finish(_learn(arm, run), path)
    return path


def _learn(arm: Arm, run: Run) -> Agent:
    config = arm.config
    if isinstance(config, supervised.Config):
        return supervised.train(config, run)
    if isinstance(config, unsupervised.Config):
        return unsupervised.train(config, run)
    if isinstance(config, shallow.ShallowConfig):
        return shallow.train(config, run)
    return reinforcement.train(config, run)


def train_all(profile: Profile, root: Path, seeds: Sequence[int], device: torch.device) -> None:
    """Train every arm with every seed, one after the other."""
    for seed in seeds:
        for name, arm in profile.arms().items():
            train(arm, root / name / f"seed_{seed}", seed, device)


def derive_controls(root: Path, seeds: Sequence[int]) -> None:
    """Make the controls that cost nothing from every trained agent of the unsupervised arm."""
    for seed, control in product(seeds, CONTROLS_OF_UNSUPERVISED):
        source = root / "unsupervised" / f"seed_{seed}" / "agent.safetensors"
        made = root / f"unsupervised_{control}" / source.parent.name / source.name
        if source.exists() and not _newer(made, source):
            control_of(load_agent(source), control, seed).save(made)


def folders(profile: Profile, root: Path, seeds: Sequence[int]) -> dict[Path, str]:
    """Return who plays in which folder: the controls by name, and every agent that has been trained by its file."""
    found = {root / name / "seed_0": name for name in CONTROLS}
    for name in _names(profile, root):
        for seed in seeds:
            agent = root / name / f"seed_{seed}" / "agent.safetensors"
            if agent.exists():
                found[agent.parent] = str(agent)
    return found


def _names(profile: Profile, root: Path) -> list[str]:
    """The profile's arms, then whatever else has been trained beside them."""
    others = {agent.parents[1].name for agent in root.glob("*/seed_*/agent.safetensors")}
    return [*profile.arms(), *sorted(others - set(profile.arms()))]


def judge_all(profile: Profile, root: Path, seeds: Sequence[int], device: torch.device) -> list[Evaluation]:
    """Judge the controls and every trained agent, both protocols."""

    def judge(folder: Path, agent: str, protocol: str) -> Evaluation:
        games = profile.demonstrator_games if agent == "demonstrator" else profile.games
        path, workers = folder / "evaluation.json", cores()
        return evaluate(agent, protocol, games, JUDGE_SEED, workers=workers, device=device.type, json_path=path)

    derive_controls(root, seeds)
    players = folders(profile, root, seeds).items()
    return [judge(folder, agent, protocol) for folder, agent in players for protocol in PROTOCOLS]


def probe_all(profile: Profile, root: Path, seeds: Sequence[int], device: torch.device) -> None:
    """Probe every trained agent that was not, all on the same frames."""
    arms = profile.arms()  # whatever else lies there looks through an arm's encoder, or through none
    trained = [Path(agent) for folder, agent in folders(profile, root, seeds).items() if folder.parent.name in arms]
    todo = [agent for agent in trained if not _probed(agent)]
    if todo:
        for agent, found in zip(todo, probe(todo, steps=profile.probe_steps, device=device.type), strict=True):
            write_probe(agent.with_name("probe.json"), found)


def _probed(agent: Path) -> bool:
    path = agent.with_name("probe.json")
    if not path.exists():
        return False
    found = read_probe(path)
    return (found.fingerprint, found.seed, found.games) == (fingerprint_of(agent), PROBE_SEED, PROBE_GAMES)


def film_all(profile: Profile, root: Path, seeds: Sequence[int]) -> None:
    """Film every judged agent, and the first seed's arms side by side with the controls."""
    takes = []
    for folder in folders(profile, root, seeds):
        if not (folder / "evaluation.json").exists():
            raise UserError(f"{folder}/evaluation.json is missing; run `make evaluate` before `make replay`")
        name = folder.parent.name if folder.parent.name in CONTROLS else f"{folder.parent.name}, {folder.name}"
        take = take_from(folder / "evaluation.json", name.replace("_", " "), FILM_PROTOCOL)
        if not _newer(folder / "replay.mp4", folder / "evaluation.json"):
            film([take], folder / "replay.mp4", profile.film_seconds)
        first_arm = folder.name == f"seed_{seeds[0]}" and folder.parent.name in profile.arms()
        if first_arm or folder.parent.name in CONTROLS:
            takes.append((take, folder / "evaluation.json"))
    together = root / "together.mp4"
    if not all(_newer(together, judged) for _, judged in takes):
        film([take for take, _ in takes], together, profile.film_seconds)


def draw_atlas(agent: Path) -> Path:
    """Draw the atlas of a planner's states, with moments of its film if it has been judged; return the file's path."""
    judged, itself = agent.with_name("evaluation.json"), fingerprint_of(agent)
    known = read_evaluations(judged) if judged.exists() else []
    filmed = any((e.key, e.fingerprint) == (f"{FILM_PROTOCOL}-greedy", itself) for e in known)
    return write_atlas(agent, take_from(judged, str(agent), FILM_PROTOCOL).record if filmed else None)


def _newer(made: Path, source: Path) -> bool:
    return made.exists() and made.stat().st_mtime >= source.stat().st_mtime


def compare(profile: Profile, root: Path, seeds: Sequence[int], device: torch.device) -> Path:
    """Run all stages; return the report's page."""
    train_all(profile, root, seeds, device)
    evaluations = judge_all(profile, root, seeds, device)
    probe_all(profile, root, seeds, device)
    film_all(profile, root, seeds)
    mapped = root / "unsupervised" / f"seed_{seeds[0]}" / "agent.safetensors"
    if not _newer(mapped.with_name("atlas.json"), mapped):
        draw_atlas(mapped)
    page = write_report(root)
    Console().print(score_table(evaluations))
    return page


def score_table(evaluations: Sequence[Evaluation]) -> Table:
    """Return the scores as a terminal shows them."""
    rows = []
    for e in evaluations:
        low, high = e.spread
        protocol = e.protocol if e.deterministic or e.agent == "random" else f"{e.protocol}, sampled"
        numbers = [points(e.summary.mean), points(e.summary.median), f"{points(low)} to {points(high)}"]
        rows.append((short_name(e.agent), protocol, *numbers, f"{e.summary.distinct_games} of {len(e.games)}"))
    repeat = "" if all(e.independent for e in evaluations) else "*"
    columns = ("agent", "protocol", "mean", "median", f"95% interval{repeat}", "distinct")
    shown = table("Scores of full games, unclipped", columns, rows)
    shown.caption = repeat and "* of games that repeat: from the lowest to the highest"
    return shown


def probe_tables(probes: Sequence[Probe]) -> list[Table]:
    """Return what was probed as a terminal shows it."""
    short = [short_name(one.agent) for one in probes]
    named = [(one.agent if short.count(name) > 1 else name, one) for name, one in zip(short, probes, strict=True)]
    seen, *known = page_tables(named)
    caption = "Median error in screen pixels (bricks: number) of a linear map / a small network; below it R2"
    return [table(caption, seen.columns, seen.rows), *(table(one.caption, one.columns, one.rows) for one in known)]


def cluster_table(found: Sequence[Clusters]) -> Table:
    """Return what was clustered as a terminal shows it."""
    caption = "Cells of features; how far apart two states of one cell are in the game, screen pixels"
    return table(caption, COLUMNS, [row for one in found for row in rows(short_name(one.agent), one)])


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return rows as a terminal shows them: where room is short names fold, headings between words, numbers never."""
    shown = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column(columns[0], overflow="fold")
    for number, column in enumerate(columns[1:], start=1):
        unbroken = [*column.split(), *(line for row in rows for line in row[number].split("\n"))]
        shown.add_column(column, justify="right", min_width=max(map(len, unbroken)))
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def short_name(agent: str) -> str:
    """Call an agent in a run folder by its arm and training seed, and any other as the user did."""
    folder = Path(agent).parent
    return f"{folder.parent.name} {folder.name.removeprefix('seed_')}" if folder.name.startswith("seed_") else agent
