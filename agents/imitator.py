"""The head of the supervised agent: it classifies actions, and reads from the picture where things are.

It has learnt two things from the demonstrator's labels, and plays by one of them or by both:

- *actions*: the best of NOOP, RIGHT, LEFT, as a classifier sees it;
- *landing*: a regressor's reading of landing, paddle, T and time, given to the demonstrator's own controller, which
  puts the readings of several steps together (`belief.py`);
- *both*: the mean of what they say, as a product of experts has it (Hinton 2002); the classifier, whose labels are
  those of a console that repeats actions, counts as much as it is believed to play on one.

Both know several aims: the paddle's centre under the ball, or a quarter of a paddle beside it, which sends the ball off
to one side. With one aim alone a deterministic game can repeat itself for ever; so after some steps without a point the
aim goes left and right in an order that never repeats (Thue-Morse), until the score moves again. Later still the choice
itself is blurred, more and more, as every head's is (`heads.blurred`), and where the console repeats nothing the paddle
goes to a wall and back while the ball is far: only there do the few places change in which it can rest.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from agents import belief
from agents.costs import TEMPERATURE
from agents.demonstrator import AIMS
from agents.encoder import Encoder, mirror
from agents.heads import CIRCLING, MIRRORED_ORDER, Head, choose, steps_without_a_point
from agents.policy import State
from envs.breakout import LEARNT_ACTIONS, LEFT, RIGHT, Actions, Mask, ball_must_be_served

Plays = Literal["actions", "landing", "both"]

READING = ("landing", "paddle", "target", "ball_x", "ball_y", "frames")
ACROSS = 4  # the first four of them are places across the screen, which a mirror negates
MIDDLE, REACH = 80.0, 72.0  # px: half the screen, and half the width between the walls
MIDDLE_Y = 105.0  # px: half the screen's height
FAR = 60.0  # frames: all later landings are alike
MIRRORED_AIMS = (0, 2, 1)  # in a mirror left is right: the place in AIMS of each aim's image
PATIENCE = 80  # steps without a point before the aim changes; a ball is back within about 40
AIM_STEPS = 40  # steps that an aim is kept for
SIDES = (0, -1, 1)  # of the ball, on which each of AIMS has the paddle's centre
FAR_ENOUGH = 48.0  # frames before a landing in which the paddle gets from a wall to any place
WALL_STEPS = 100  # steps after which it is the other wall's turn
WALLS = np.array([LEARNT_ACTIONS.index(RIGHT), LEARNT_ACTIONS.index(LEFT)])


def mirrored_logits(logits: Tensor) -> Tensor:
    """What logits `(..., aims, actions)` say of the mirror image of what they were made for."""
    return logits[..., MIRRORED_AIMS, :][..., MIRRORED_ORDER]


def mirrored_reading(reading: Tensor) -> Tensor:
    """The same for readings `(..., 6)`."""
    return torch.cat([-reading[..., :ACROSS], reading[..., ACROSS:]], dim=-1)


def aim_after(dry: Actions) -> Actions:
    """Which of AIMS to take after `dry` `(N,)` steps without a point: the centre, later one side or the other."""
    spells = np.maximum(dry - PATIENCE, 0) // AIM_STEPS
    side = np.array([spell.bit_count() % 2 for spell in spells.tolist()], np.int64)
    return np.where(dry < PATIENCE, 0, 1 + side)


class ImitatorHead(Head):
    """Logits for every aim and action, and a reading of the state.

    Args:
        features_dim: length of the encoder's feature vector.
        plays: by its `actions` (a classifier), by the `landing` that it reads (a regressor with a controller), or both.
    """

    kind = "imitator"

    def __init__(self, features_dim: int, plays: Plays = "actions") -> None:
        super().__init__()
        if plays not in get_args(Plays):
            raise ValueError(f"an imitator plays by one of {get_args(Plays)}, not {plays!r}")
        self.plays = plays
        self.actions = nn.Linear(features_dim, len(AIMS) * len(LEARNT_ACTIONS))
        self.reading = nn.Linear(features_dim, len(READING))

    def settings(self) -> dict[str, Any]:
        return {"features_dim": self.reading.in_features, "plays": self.plays}

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(B, D)` -> logits `(B, aims, 3)`, reading `(B, 6)`."""
        x = torch.relu(features)
        return self.actions(x).unflatten(1, (len(AIMS), len(LEARNT_ACTIONS))), self.reading(x)

    def act(
        self,
        encoder: Encoder,
        observation: Tensor,
        state: State,
        episode_start: Mask,
        deterministic: bool,
        generator: np.random.Generator,
    ) -> tuple[Actions, State]:
        logits, reading = self(encoder(observation).features)
        again, seen = self(encoder(mirror(observation)).features)  # averaging over the mirror doubles the score
        dry = steps_without_a_point(observation, state, episode_start)
        aim = aim_after(dry)
        classified = (logits + mirrored_logits(again)).float().cpu().numpy()[np.arange(len(aim)), aim] / 2
        scores, beliefs, to_a_wall = classified, tuple[Any, ...](), np.zeros(len(dry), np.bool_)
        if self.plays != "actions":
            averaged = (reading + mirrored_reading(seen)).double().cpu().numpy() / 2
            beliefs = paddle, fall = believe(averaged, state, episode_start)
            repeats = belief.repeats(paddle)[:, None]
            controlled = -belief.costs(paddle, fall, np.asarray(SIDES)[aim]) / TEMPERATURE
            scores = controlled if self.plays == "landing" else (repeats * classified + controlled) / 2
            to_a_wall = (repeats[:, 0] < 0.5) & (dry >= CIRCLING) & (fall[:, 2] > FAR_ENOUGH)
        choice = choose(scores, dry, deterministic, generator)
        choice = np.where(to_a_wall, WALLS[dry // WALL_STEPS % 2], choice)
        served = ball_must_be_served(observation.cpu().numpy())
        return np.asarray(LEARNT_ACTIONS)[choice], (dry, np.where(served, 0, choice), *beliefs)


def believe(reading: belief.Floats, state: State, start: Mask) -> tuple[belief.Beliefs, belief.Floats]:
    """Go on from `state`, what the last step left, with a reading `(N, 6)`."""
    beliefs, falls = belief.unknown(len(reading))
    done = np.zeros(len(reading), np.int64)
    if state is not None:
        done = np.where(start, 0, state[1])
        beliefs = np.where(start[:, None, None, None], beliefs, state[2])
        falls = np.where(start[:, None], falls, state[3])
    reading = np.nan_to_num(reading).clip(-2, 2)  # of whatever network
    landing, paddle, target = (reading[:, :3] * REACH + MIDDLE).T
    return belief.of_paddle(beliefs, done, paddle, target), belief.of_fall(falls, landing, reading[:, 5] * FAR)
