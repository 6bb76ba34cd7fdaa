"""Controls of the unsupervised arm: alike in everything but the one thing that is taken away."""

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.encoder import Encoder
from agents.heads import ActionHead
from agents.planner import PlannerHead
from paradigms.unsupervised.controls import control_of, deprived


@pytest.fixture
def head() -> PlannerHead:
    generator = torch.Generator().manual_seed(0)
    head = PlannerHead("small", slots=2, memories=40, cells=12, transitions=300)
    for name in ("memories", "landings", "cells", "probabilities"):
        buffer = head.get_buffer(name)
        buffer.copy_(torch.rand(buffer.shape, generator=generator).to(buffer.dtype))
    head.get_buffer("kinds").copy_(torch.randint(0, 4, (40,), generator=generator))
    transitions = head.get_buffer("transitions")
    transitions[:, 0] = torch.randint(0, 3, (300,), generator=generator)
    transitions[:, 1:] = torch.randint(0, 36, (300, 2), generator=generator)
    return head


def as_set(tensor: torch.Tensor) -> list[tuple[float, ...]]:
    return sorted(map(tuple, tensor.float().tolist()))


def test_shuffling_keeps_every_landing_and_centre_but_not_where_they_belong(head: PlannerHead) -> None:
    shuffled = deprived(head, "shuffled", np.random.default_rng(0))
    for name, before in head.state_dict().items():
        after = shuffled.state_dict()[name]
        if name in ("landings", "kinds"):
            assert as_set(after.view(40, -1)) == as_set(before.view(40, -1))
            assert not torch.equal(after, before)
        elif name == "cells":
            for last in range(3):
                assert as_set(after[last]) == as_set(before[last])
                assert not torch.equal(after[last], before[last])
        else:
            torch.testing.assert_close(after, before, msg=name)


def test_actions_by_lot_keep_each_cells_followers_and_change_what_leads_there(head: PlannerHead) -> None:
    changed = deprived(head, "random", np.random.default_rng(0))
    before, after = head.get_buffer("transitions"), changed.get_buffer("transitions")
    assert torch.equal(before[:, 1:], after[:, 1:])
    moved = 0
    for cell in range(36):
        here = before[:, 1] == cell
        pairs = {(int(a), int(b)) for a, b in zip(before[here, 0], after[here, 0], strict=True)}
        old, new = [a for a, _ in pairs], [b for _, b in pairs]
        assert len(set(old)) == len(old) == len(set(new)), "each action has one new place, and no two the same"
        moved += sum(a != b for a, b in pairs)
    assert moved > 30


def test_a_control_says_what_it_is_and_needs_a_planner(head: PlannerHead) -> None:
    agent = Agent(Encoder("small"), head, "unsupervised", {"seed": 3})
    assert control_of(agent, "random", 3).facts == {"seed": 3, "control": "random"}
    with pytest.raises(ValueError, match="planner"):
        control_of(Agent(Encoder("small"), ActionHead(256), "supervised"), "random", 0)
