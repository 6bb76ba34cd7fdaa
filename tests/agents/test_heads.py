"""What heads that score actions share: the choice, and the way out of a loop."""

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.encoder import Encoder
from agents.heads import CIRCLING, STUCK, ActionHead, blurred, choose, growing
from agents.values import ValueHead
from envs.breakout import FRAME_SKIP, MAX_FRAMES


def pictures() -> np.ndarray:
    """Two games in which the ball moves and the score stands: `(2, 4, 84, 84)`."""
    seen = np.zeros((2, 4, 84, 84), np.uint8)
    seen[:, 0::2, 40, 40] = 255
    return seen


@pytest.mark.parametrize("head", [ActionHead(256), ValueHead(256)])
def test_a_greedy_agent_leaves_its_circle_and_is_greedy_again_after_a_point(head: ActionHead | ValueHead) -> None:
    torch.manual_seed(0)
    torch.nn.init.zeros_(head.linear.weight)
    with torch.no_grad():
        head.linear.bias.copy_(torch.tensor([0.02, 0.0, -9.0]))  # NOOP a little better than RIGHT; LEFT is fatal
    agent, state, actions = Agent(Encoder(), head, "supervised"), None, []
    for step in range(2 * CIRCLING):
        action, state = agent.predict(pictures(), state, np.full(2, step == 0))
        actions.append(action)
    taken = np.array(actions)  # (steps, 2 games)
    assert (taken[:CIRCLING] == 0).all(), "greedy while points may still come"
    later = taken[CIRCLING:]
    assert set(np.unique(later)) == {0, 2}, "both of the good actions, never the bad one"
    assert (later[:, 0] == later[:, 1]).all(), "what was seen decides, no lots of one's own"
    scored = pictures()
    scored[0, -1, 2, 2] = 7  # the first of both games wins a point
    _, (dry,) = agent.predict(scored, state, np.zeros(2, np.bool_))
    assert dry.tolist() == [0, 2 * CIRCLING]
    _, (dry,) = agent.predict(pictures(), (dry,), np.array([False, True]))
    assert dry.tolist() == [1, 0], "a new game begins anew"


@pytest.mark.parametrize("head", [ActionHead(256), ValueHead(256)])
def test_who_cannot_leave_a_circle_at_last_takes_what_looks_bad(head: ActionHead | ValueHead) -> None:
    torch.nn.init.zeros_(head.linear.weight)
    with torch.no_grad():
        head.linear.bias.copy_(torch.tensor([0.0, 0.0, -3.0]))
    agent, start = Agent(Encoder(), head, "supervised"), np.zeros(2, np.bool_)

    def taken(since: int) -> set[int]:
        return {int(agent.predict(pictures(), (np.full(2, since + n),), start)[0][0]) for n in range(CIRCLING)}

    assert taken(STUCK - CIRCLING) == {0, 2}
    assert taken(20 * STUCK) == {0, 2, 3}


def test_the_blur_grows_from_its_first_thousand_steps_on() -> None:
    assert growing(0.5, np.array([0, 1_000, 1_300, 1_900])).tolist() == [[0.5], [0.5], [1.0], [2.0]]


def test_a_blurred_choice_is_a_draw_from_the_softmax() -> None:
    dry = np.arange(CIRCLING, MAX_FRAMES // FRAME_SKIP)
    scores = np.tile([1.0, 0.0, 2.0], (len(dry), 1))
    shares = np.bincount(blurred(scores, dry, 0.5).argmax(axis=1), minlength=3) / len(dry)
    expected = np.exp(scores[0] / 0.5) / np.exp(scores[0] / 0.5).sum()
    assert np.abs(shares - expected).max() < 0.01
    assert blurred(scores[:1], dry[-1:] * 10, 0.5).shape == (1, 3), "longer games than the cap go on"


def test_sampled_play_draws_from_the_softmax_at_once() -> None:
    scores = np.tile([1.0, 0.0, 2.0], (20_000, 1))
    dry = np.zeros(len(scores), np.int64)
    shares = np.bincount(choose(scores, dry, False, np.random.default_rng(0)), minlength=3) / len(scores)
    assert np.abs(shares - np.exp(scores[0]) / np.exp(scores[0]).sum()).max() < 0.01
    assert (choose(scores, dry, True, np.random.default_rng(0)) == 2).all()
