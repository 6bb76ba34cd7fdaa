"""Controls: the trained agent with one thing taken from it, so that a score says what that thing was worth.

- *shuffled*: every memory has the landing of another, and every cell of self stands for another: what was clustered
  and remembered no longer says anything about the state at hand;
- *random*: the same cells, memories and plans, but in each cell the actions have changed places by lot.

Both come from the finished agent's tables at no cost, and play with the same eyes, planner and code.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch

from agents.agent import Agent
from agents.planner import PlannerHead

Control = Literal["shuffled", "random"]
CONTROLS: tuple[Control, ...] = get_args(Control)


def control_of(agent: Agent, control: Control, seed: int) -> Agent:
    """Return an agent with the same eyes and a deprived planner.

    Args:
        agent: a trained agent of the unsupervised arm.
        seed: of the lots that are drawn.
    """
    if not isinstance(agent.head, PlannerHead):
        raise ValueError(f"an agent with a planner is needed, got a head of kind {agent.head.kind!r}")
    head = deprived(agent.head, control, np.random.default_rng(seed))
    return Agent(agent.encoder, head, agent.paradigm, agent.facts | {"control": control}, agent.device)


def deprived(head: PlannerHead, control: Control, generator: np.random.Generator) -> PlannerHead:
    """Return a copy of a planner with its cells shuffled, or with its actions in random places."""
    copy = PlannerHead(**head.settings())
    copy.load_state_dict(head.state_dict())
    shuffle_cells(copy, generator) if control == "shuffled" else randomise_actions(copy, generator)
    return copy


def shuffle_cells(head: PlannerHead, generator: np.random.Generator) -> None:
    """Deal landings out anew among memories, and centres among the cells of each last action."""
    order = torch.from_numpy(generator.permutation(len(head.get_buffer("landings"))))
    for name in ("landings", "kinds"):
        buffer = head.get_buffer(name)
        buffer.copy_(buffer[order])
    for centres in head.get_buffer("cells"):
        centres.copy_(centres[torch.from_numpy(generator.permutation(len(centres)))])


def randomise_actions(head: PlannerHead, generator: np.random.Generator) -> None:
    """Let the three actions change places by lot, in each cell by a lot of its own."""
    transitions = head.get_buffer("transitions")  # (E, 3): action, cell, next cell
    cells = head.get_buffer("cells").shape[:2].numel()
    places = torch.from_numpy(generator.permuted(np.tile(np.arange(3, dtype=np.int16), (cells, 1)), axis=1))
    transitions[:, 0] = places[transitions[:, 1].long(), transitions[:, 0].long()]
