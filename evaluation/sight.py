"""What a planner knows of ball and paddle as it plays, held against the RAM."""

from __future__ import annotations

import numpy as np
import torch

from agents import tracker
from agents.agent import Agent
from agents.planner import PlannerHead
from agents.tracker import Floats
from envs.breakout import Mask
from envs.game_state import PADDLE_TOP
from evaluation.mixed_play import PIXELS, Film
from evaluation.probed import Sight

BELOW_BRICKS = 96  # px: a ball whose centre is lower is in front of nothing
NEAR = 8.0  # px in x and in y: what is taken to be further away is something else
AS_WELL = 0.9  # of the best slot's share: two slots can be on one thing, and then either may stand for it


def watch(agent: Agent, film: Film) -> tuple[Floats, Floats]:
    """Show a planner a film `(T, N, ...)`; returns its slots' readings `(T, N, K, 3)` and its states `(T, N, 10)`."""
    head = agent.head
    assert isinstance(head, PlannerHead)
    games = film.pictures.shape[1]
    state, start = tracker.unknown(games), np.ones(games, np.bool_)
    readings, states = [], []
    for t in range(len(film.pictures)):
        pictures = film.observation(t)
        readings.append(head.read(agent.encoder, torch.from_numpy(pictures).to(agent.device)))
        state = head.observe(state, readings[-1], pictures, start)
        states.append(state)
        start[:] = False
    return np.stack(readings), np.stack(states)


def look(readings: Floats, states: Floats, head: PlannerHead, film: Film) -> Sight:
    """Hold what a planner takes ball and paddle to be, `watch`'s results, against the truth.

    A slot marks its thing at a place of its own choice, the same one always: its median offset is taken off.
    """
    self_slot, world_slot = head.get_buffer("roles").tolist()
    between = film.in_play & (film.truth[..., 1] > BELOW_BRICKS) & (film.truth[..., 1] < PADDLE_TOP)
    seen = states[..., tracker.UNSEEN] < 1
    ball = _centred(states[..., [tracker.WORLD_X, tracker.WORLD_Y]] * PIXELS - film.truth[..., :2], between & seen)
    paddle = _centred(states[..., [tracker.SELF_X]] * PIXELS[0] - film.truth[..., 2:3], film.in_play)
    found: Mask = seen & (ball < NEAR).all(axis=-1)
    follows, finds = [], []
    for slot in range(readings.shape[2]):
        place = readings[..., slot, :2] * PIXELS
        at_paddle = _centred(place[..., :1] - film.truth[..., 2:3], film.in_play)[film.in_play]
        at_ball = _centred(place - film.truth[..., :2], between)[between]
        follows.append((at_paddle < NEAR).all(axis=1).mean())
        finds.append((at_ball < NEAR).all(axis=1).mean())
    return Sight(
        ball_x=_median(ball[between & seen, 0]),
        ball_y=_median(ball[between & seen, 1]),
        paddle_x=_median(paddle[film.in_play, 0]),
        found_below=float(found[between].mean()),
        found=float(found[film.in_play].mean()),
        roles_right=bool(follows[self_slot] > AS_WELL * max(follows) and finds[world_slot] > AS_WELL * max(finds)),
    )


def _centred(away: Floats, where: Mask) -> Floats:
    """Take the median, where `(T, N)` it counts, off `(T, N, D)`; returns what is left without its sign."""
    middle = np.median(away[where], axis=0) if where.any() else 0
    return np.asarray(np.abs(away - middle))


def _median(errors: Floats) -> float:
    return float(np.median(errors)) if len(errors) else float("inf")
