"""Before deep learning: naive Bayes and a kernel machine, on the very labels that taught the CNN.

They read the labelled states of a finished run of the supervised arm and never play a game themselves. What they
decide by is either the pictures, or the features of that run's encoder, or, as a control, those of an encoder that
nobody trained. What the encoder cost stands in its own run's ledger, not in theirs.

Smoothing, kernel width and ridge are chosen on the last fifth of the labels at hand; then all of them are fitted. The
held-out games only say how it went. Fitting takes a minute or two, so an interrupted run begins again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from agents.agent import Agent, load_agent
from agents.encoder import Encoder
from agents.files import UserError, write_json
from agents.run import Run
from agents.shallow import ShallowHead, Sight
from envs.breakout import FRAME_SKIP, LEARNT_ACTIONS
from paradigms.supervised.labelled import NEAR
from paradigms.supervised.machines import bayes_head, fit_bayes, fit_kernel, kernel_head, weigh
from paradigms.supervised.states import Rows, States, read_states

Method = Literal["bayes", "kernel"]
Inputs = Literal["pixels", "features", "untrained"]
Settings = dict[str, float]
Grid = Mapping[str, tuple[float, ...]]

BUDGETS = (100, 1_000, 10_000)  # labels: on the way to all of them, each is tried
GRIDS: dict[str, Grid] = {  # of settings, see `machines`
    "bayes": {"smoothing": (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)},
    "kernel": {"width": (0.03, 0.3, 3.0), "ridge": (0.1, 1.0, 10.0)},
}
MOST_FITTED, MOST_COMPARED = 10_000, 2_500  # states while settings are chosen


@dataclass(frozen=True)
class ShallowConfig:
    """What is fitted, and on what."""

    source: str
    """Run folder of the supervised arm whose labels (and encoder) are used."""
    method: Method = "kernel"
    """bayes (Gaussian naive Bayes) or kernel (ridge regression of the costs with an RBF kernel)."""
    inputs: Inputs = "features"
    """What is decided by: shrunk pictures, the features of the source's encoder, or those of an untrained one."""
    landmarks: int = 1_000
    """States that a kernel machine compares with (states)."""

    @property
    def sight(self) -> Sight:
        """What its head looks at."""
        return "pixels" if self.inputs == "pixels" else "features"


def train(config: ShallowConfig, run: Run) -> Agent:
    """Fit to growing budgets of labels, and log what each buys; return the agent of the last, which is all of them.

    `metrics.csv` and `study.json` hold for each budget the settings chosen, the CPU seconds that choosing and fitting
    took, and how it does in held-out games.
    """
    run.tick(0, 1, "reading labels", dict)
    encoder = _encoder(config, run)
    states = read_states(Path(config.source), config.sight, encoder)
    known = np.flatnonzero(~states.held_out)
    study = []
    budgets = [*(budget for budget in BUDGETS if budget < len(known)), len(known)]
    for number, budget in enumerate(budgets):
        run.tick(1 + number, 2 + len(budgets), f"{budget} labels", dict)
        start = time.process_time()
        rows = known[np.linspace(0, len(known) - 1, budget).astype(int)]
        if budget < len(known) and lacks_an_action(states, rows):
            continue  # so few may lack an action
        head, settings = fit(config, states, rows, np.random.default_rng(run.stream("states")))
        seconds = time.process_time() - start
        ledger = run.ledger
        ledger.labels = ledger.agent_steps = ledger.samples = budget  # each label is a step that somebody played
        ledger.frames = FRAME_SKIP * budget
        study.append({"labels": budget, "cpu_seconds": seconds, **settings, **held_out(head, states)})
        run.log(**study[-1])
    write_json(run.folder / "study.json", study)
    return Agent(encoder, head, run.paradigm, device=run.device)


def _encoder(config: ShallowConfig, run: Run) -> Encoder:
    taught = load_agent(Path(config.source) / "agent.safetensors", run.device).encoder
    if config.inputs == "features":
        return taught
    torch.manual_seed(int(run.stream("weights").generate_state(1)[0]))
    return Encoder(taught.width).to(run.device).eval()  # whoever looks at pixels never asks it


def lacks_an_action(states: States, rows: Rows) -> bool:
    """Whether some action is never the best one."""
    return len(np.unique(states.best[rows])) < len(LEARNT_ACTIONS)


def fit(
    config: ShallowConfig, states: States, rows: Rows, generator: np.random.Generator
) -> tuple[ShallowHead, Settings]:
    """Choose settings on the last fifth of `rows`, then fit to all of them; return the head and the settings.

    Raises:
        UserError: some action is never the best one.
    """
    if lacks_an_action(states, rows):
        raise UserError(f"{config.source}: its {len(rows)} labels never ask for some action; delete it and train that "
                        "arm with more --round-labels")  # fmt: skip
    first = len(rows) * 4 // 5
    fitted, compared = _sample(rows[:first], MOST_FITTED, generator), _sample(rows[first:], MOST_COMPARED, generator)
    tried = [
        (np.average(regret(head, states, compared), weights=weigh(states, compared)), settings)
        for settings, head in heads(config, states, fitted, GRIDS[config.method], generator)
    ]
    _, chosen = min(tried, key=lambda trial: trial[0])
    ((_, head),) = heads(config, states, rows, {name: (value,) for name, value in chosen.items()}, generator)
    return head, chosen


def heads(
    config: ShallowConfig, states: States, rows: Rows, grid: Grid, generator: np.random.Generator
) -> Iterator[tuple[Settings, ShallowHead]]:
    """Fit to `rows` with every combination of settings in `grid`."""
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if config.method == "bayes":
        models = fit_bayes(states, rows, grid["smoothing"])
        for settings, model in zip(combinations, models, strict=True):
            yield settings, bayes_head(model, config.sight)
    else:
        machines = fit_kernel(states, rows, config.landmarks, generator, grid["width"], grid["ridge"])
        for settings, machine in zip(combinations, machines, strict=True):
            yield settings, kernel_head(machine, config.sight)


@torch.inference_mode()
def choices(head: ShallowHead, states: States, rows: Rows) -> Rows:
    """`(B,)`, 0 to 2: which of NOOP, RIGHT, LEFT a head takes."""
    return np.concatenate([head(torch.from_numpy(inputs)).argmax(1).numpy() for _, inputs in states.chunks(rows)])


def regret(head: ShallowHead, states: States, rows: Rows) -> npt.NDArray[np.floating]:
    """`(B,)` px: landing error that a head's choices cost."""
    return states.costs[rows, choices(head, states, rows)]


def held_out(head: ShallowHead, states: States) -> dict[str, float]:
    """How a head does in games never trained on: the same figure as `train.Learner.held_out` has of the CNN."""
    rows = np.flatnonzero(states.held_out & (states.frames <= NEAR))
    if not len(rows):
        return {}
    chosen = choices(head, states, rows)
    return {
        "heldout_regret_px": float(states.costs[rows, chosen].mean()),
        "heldout_accuracy": float((chosen == states.best[rows]).mean()),
        "heldout_moves": float((chosen != 0).mean()),
    }


def _sample(rows: Rows, most: int, generator: np.random.Generator) -> Rows:
    return rows if len(rows) <= most else np.sort(generator.choice(rows, most, replace=False))
