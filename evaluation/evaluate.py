"""One judge for all: full games, unclipped, on seeds that no learner ever meets.

Every agent, whatever taught it, plays the same games through the same code. The games are played in fixed chunks,
each a batch of its own, so that neither the number of workers nor their pace can change a result.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import importlib
import inspect
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import torch

from agents.agent import load_agent
from agents.demonstrator import Demonstrator
from agents.files import UserError, check_writable
from agents.policy import Policy, RandomPolicy
from agents.progress import Progress
from agents.rollout import GameRecord, play
from envs.breakout import PROTOCOLS, Actions, Game, game_seeds
from evaluation.decided import Referee
from evaluation.record import Evaluation, judged, read_evaluations, read_games, summary_of, write_evaluation

CHUNK = 5  # games side by side; part of the result, since a network's last bits depend on its batch
REPORT_SECONDS = 0.5  # between two messages of a worker
SCRIPTED = {"random": RandomPolicy, "demonstrator": Demonstrator}


@dataclass(frozen=True)
class Task:
    """One chunk of games for one worker."""

    agent: str
    protocol: str
    seeds: tuple[int, ...]
    policy_seed: int
    deterministic: bool
    device: str


def evaluate(
    agent: str | Path,
    protocol: str,
    games: int = 30,
    seed: int = 1000,
    deterministic: bool = True,
    workers: int = 2,
    device: str = "cpu",
    json_path: Path | None = None,
) -> Evaluation:
    """Judge an agent, or return what was found before about this very agent file in these very games.

    Args:
        agent: an agent file, `random` or `demonstrator`.
        protocol: `classic` or `sticky`.
        games: how many, each with a seed of its own.
        seed: the judge's; decides the games.
        deterministic: play the best action, or sample. The random policy is always sampled.
        workers: processes; they change the time and nothing else.
        device: where the agent computes.
        json_path: an `evaluation.json` to look in first, and to merge the result into.

    Raises:
        UserError: an argument or the agent file is not usable.
    """
    deterministic = deterministic and agent != "random"
    _check(protocol, games, seed, workers)
    if json_path is not None and json_path.suffix != ".json":
        raise UserError(f"--json {json_path}: the games go into an .npz beside it; give a name that ends in .json")
    fingerprint = fingerprint_of(agent)
    if json_path is not None and json_path.exists():
        for known in read_evaluations(json_path):
            asked = (fingerprint, protocol, games, seed, deterministic)
            found = (known.fingerprint, known.protocol, len(known.games), known.judge_seed, known.deterministic)
            records = read_games(json_path, known)
            if found == asked and records is not None:
                return _summed_up_again(json_path, known, records)
    if json_path is not None:
        check_writable(json_path)
    evaluation, records = judge(agent, protocol, games, seed, deterministic, workers, device, fingerprint)
    if json_path is not None:
        write_evaluation(json_path, evaluation, records)
    return evaluation


def judge(
    agent: str | Path,
    protocol: str,
    games: int,
    seed: int,
    deterministic: bool,
    workers: int,
    device: str,
    fingerprint: str,
) -> tuple[Evaluation, list[GameRecord]]:
    """Play the games and sum them up; see `evaluate`. Returns the games with their actions beside it."""
    start = time.perf_counter()
    paradigm, training_seed = _origin(agent, device)
    tasks = split(str(agent), protocol, games, seed, deterministic, device)
    with closing(Progress(f"judging {agent}, {protocol}")) as progress:
        records = [record for chunk in _play_all(tasks, workers, games, progress) for record in chunk]
    evaluation = Evaluation(
        agent=str(agent),
        paradigm=paradigm,
        protocol=protocol,
        training_seed=training_seed,
        games=judged(records),
        summary=summary_of(records, seed),
        deterministic=deterministic,
        judge_seed=seed,
        fingerprint=fingerprint,
        steps=sum(record.steps for record in records),
        wall_seconds=round(time.perf_counter() - start, 2),
    )
    return evaluation, records


def _summed_up_again(path: Path, known: Evaluation, records: Sequence[GameRecord]) -> Evaluation:
    """Games are kept, statistics are made anew: another version may have others."""
    evaluation = replace(known, summary=summary_of(records, known.judge_seed))
    if evaluation != known:
        write_evaluation(path, evaluation, records)
    return evaluation


def split(agent: str, protocol: str, games: int, seed: int, deterministic: bool, device: str) -> list[Task]:
    """Cut `games` games into chunks of `CHUNK`, each with its games' seeds and a seed for a policy that draws."""
    root = np.random.SeedSequence(seed)
    seeds = game_seeds(root, games, judge=True)
    starts = range(0, games, CHUNK)
    draws = np.random.SeedSequence([seed, 1]).generate_state(len(starts))
    return [
        Task(agent, protocol, tuple(seeds[first : first + CHUNK]), int(draw), deterministic, device)
        for first, draw in zip(starts, draws, strict=True)
    ]


def fingerprint_of(agent: str | Path) -> str:
    """Return the sha256 of what plays: an agent file's bytes, or a scripted policy's sources."""
    if str(agent) in SCRIPTED:
        files = sources_of(SCRIPTED[str(agent)].__module__)
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    load_agent(agent)  # says what is wrong with the file, if anything
    return hashlib.sha256(Path(agent).read_bytes()).hexdigest()


def sources_of(module: str) -> list[Path]:
    """Return the files of a module and of all of ours that it imports, directly or not, sorted by module."""
    found, unread = dict[str, Path](), [module]
    while unread:
        name = unread.pop()
        if name in found:
            continue
        found[name] = Path(inspect.getfile(importlib.import_module(name)))
        imports = [n for n in ast.walk(ast.parse(found[name].read_bytes())) if isinstance(n, ast.ImportFrom)]
        unread += [str(n.module) for n in imports if str(n.module).startswith(("agents.", "envs."))]
    return [found[name] for name in sorted(found)]


def make_policy(agent: str, policy_seed: int, device: str, games: list[Game]) -> Policy:
    """Make what plays `games`."""
    if agent == "random":
        return RandomPolicy(policy_seed)
    if agent == "demonstrator":
        return Demonstrator(games)
    loaded = load_agent(agent, device)
    loaded.reseed(policy_seed)
    return loaded


def play_task(task: Task, tell: Callable[[int, int], None]) -> list[GameRecord]:
    """Play one chunk; `tell` hears now and then how many games are over and the sum of their scores."""
    last = time.perf_counter()

    def on_step(games: list[Game], actions: Actions) -> None:
        nonlocal last
        if time.perf_counter() - last > REPORT_SECONDS:
            last = time.perf_counter()
            tell(sum(game.over for game in games), sum(game.score for game in games if game.over))

    def make(games: list[Game]) -> Policy:
        policy = make_policy(task.agent, task.policy_seed, task.device, games)
        repeats = task.deterministic and not PROTOCOLS[task.protocol].sticky
        return Referee(policy, games, loops=repeats)

    return play(make, task.seeds, PROTOCOLS[task.protocol], deterministic=task.deterministic, on_step=on_step)


def _check(protocol: str, games: int, seed: int, workers: int) -> None:
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}: unknown; choose {' or '.join(PROTOCOLS)}")
    for flag, number in (("--games", games), ("--workers", workers)):
        if number < 1:
            raise UserError(f"{flag} must be positive, got {number}; give a number above 0")
    if seed < 0:
        raise UserError(f"--seed must not be negative, got {seed}; give 0 or more")


def _origin(agent: str | Path, device: str) -> tuple[str, int | None]:
    if str(agent) in SCRIPTED:
        return str(agent), None
    loaded = load_agent(agent, device)
    return loaded.paradigm, loaded.facts.get("seed")


# -- processes -------------------------------------------------------------------------------------------------------

Message = tuple[int, int, int]  # chunk, games over, sum of their scores
_messages: SimpleQueue[Message]  # set once in each worker, by _start_worker


def _play_all(tasks: Sequence[Task], workers: int, games: int, progress: Progress) -> list[list[GameRecord]]:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    messages: SimpleQueue[Message] = context.SimpleQueue()
    heard: dict[int, tuple[int, int]] = {}
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _start_worker, (messages,)) as pool:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # for the workers, until they can go quietly
        futures = [pool.submit(_work, number, task) for number, task in enumerate(tasks)]
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            while not all(future.done() for future in futures):
                wait(
                    [future for future in futures if not future.done()],
                    timeout=REPORT_SECONDS,
                    return_when=FIRST_COMPLETED,
                )
                heard |= {number: (over, points) for number, over, points in _waiting(messages)}
                over, points = (sum(column) for column in zip((0, 0), *heard.values(), strict=True))
                progress.show(over, games, f"{over} of {games} games, mean so far {points / max(over, 1):.1f}")
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise UserError(
                "a process that plays was ended from outside, perhaps for want of memory; give fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():  # else leaving waits until they have played to the end
                worker.terminate()
            raise


def _waiting(messages: SimpleQueue[Message]) -> Iterator[Message]:
    while not messages.empty():
        yield messages.get()


def _start_worker(messages: SimpleQueue[Message]) -> None:
    global _messages
    _messages = messages
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the workers too: they go without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    atexit.register(os._exit, 0)  # that thread still holds modules, which ale-py's bindings would complain about


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int, task: Task) -> list[GameRecord]:
    records = play_task(task, lambda over, points: _messages.put((number, over, points)))
    _messages.put((number, len(records), sum(record.score for record in records)))
    return records
