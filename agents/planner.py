"""The head of the unsupervised agent: it plays by planning on what it counted.

Everything in it is experience, none of it physics:

- *memories*: states seen, each with where and when the world's thing came down to the agent's line afterwards.
  Where it will land now is a vote of the most alike memories, as in Pritzel et al. (2017), "Neural Episodic Control";
- *cells* (k-means) of the agent's own states, and counts of which cell followed which under which action;
- *returns*: for each kind of fall (k-means of velocities) and each offset between landing and self, how often the
  thing came back without a life lost, and the points that followed.

The plan (`plans.py`) is what to do until the next landing, worked out once from the counts; play looks it up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import tracker
from agents.components import PrincipalComponents
from agents.encoder import Encoder, Width
from agents.heads import CIRCLING, Head, blurred
from agents.keypoints import KeypointHead
from agents.plans import AIMS, KINDS, OFFSETS, Plans
from agents.policy import State
from agents.tracker import Floats
from envs.breakout import LEARNT_ACTIONS, Actions, Mask, ball_must_be_served, score_changed

Eyes = KeypointHead | PrincipalComponents
EYES: dict[str, type[Eyes]] = {eyes.kind: eyes for eyes in (KeypointHead, PrincipalComponents)}
TEMPERATURE = 0.02  # of a draw among the actions: a chance of one in fifty to come back


class PlannerHead(Head):
    """Plays by planning on counts.

    Args:
        width: of the encoder below.
        slots: keypoints it reads.
        memories: landings it remembers.
        cells: of its own state, for each last action.
        transitions: pairs of cells that followed each other at least once.
        eyes: what reads the pictures: `keypoints`, or as a control `components`.
    """

    kind = "planner"

    def __init__(
        self, width: Width, slots: int, memories: int, cells: int, transitions: int, eyes: str = KeypointHead.kind
    ) -> None:
        super().__init__()
        self.eyes = EYES[eyes](width, slots)
        shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "roles": ((2,), torch.int64),  # the slots of self and world
            "thresholds": ((2,), torch.float32),  # their confidences from which they count as seen
            "memories": ((memories, 5), torch.float16),  # scaled x, y, dx, dy, steps unseen
            "landings": ((memories, 2), torch.float16),  # x of the landing; steps until it
            "kinds": ((memories,), torch.uint8),  # of the fall that landed
            "cells": ((3, cells, 2), torch.float32),  # centres, scaled, by last action
            "transitions": ((transitions, 3), torch.int16),  # action, cell, next cell
            "probabilities": ((transitions,), torch.float32),
            "returns": ((KINDS, len(OFFSETS)), torch.float32),  # chance of coming back, by offset
            "points": ((KINDS, len(OFFSETS)), torch.float32),  # points that followed, by offset
            "aims": ((AIMS,), torch.float32),  # offsets
        }
        for name, (shape, dtype) in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        self._plans: Plans | None = None
        self.last_readings: Floats = np.zeros((0, slots, 3), np.float32)
        """`(N, K, 3)`, of the latest `act`; an explorer keeps them."""
        self.last_values: Floats = np.zeros((0, len(LEARNT_ACTIONS)))
        """`(N, 3)`, what each action was worth to the latest `act`."""

    def settings(self) -> dict[str, Any]:
        memories, transitions = len(self.get_buffer("memories")), len(self.get_buffer("transitions"))
        cells = self.get_buffer("cells").shape[1]
        return {
            "width": self.eyes.width,
            "slots": self.eyes.slots,
            "memories": memories,
            "cells": cells,
            "transitions": transitions,
            "eyes": self.eyes.kind,
        }

    @property
    def device(self) -> torch.device:
        """Where it reads."""
        return self.get_buffer("roles").device

    def read(self, encoder: Encoder, observation: Tensor) -> Floats:
        """Observations `(N, 4, 84, 84)` -> readings `(N, K, 3)`."""
        with torch.inference_mode():
            readings: Floats = self.eyes.look(encoder, observation).cpu().numpy()
        return readings

    def act(
        self,
        encoder: Encoder,
        observation: Tensor,
        state: State,
        episode_start: Mask,
        deterministic: bool,
        generator: np.random.Generator,
    ) -> tuple[Actions, State]:
        before = tracker.unknown(len(observation)) if state is None else np.asarray(state[0], np.float32)
        pictures = observation.cpu().numpy()
        self.last_readings = self.read(encoder, observation)
        after = self.observe(before, self.last_readings, pictures, episode_start)
        self.last_values = values = self.plans.values(after)  # (N, 3)
        if deterministic:  # a loop that outlasts a little blur meets a larger one
            dry = after[:, tracker.DRY].astype(int)
            values = blurred(values, dry, TEMPERATURE * dry[:, None] / CIRCLING)
        else:
            values = values + TEMPERATURE * generator.gumbel(size=values.shape)
        choice = values.argmax(axis=1)
        after[:, tracker.LAST] = np.where(ball_must_be_served(pictures), 0, choice)
        return np.asarray(LEARNT_ACTIONS)[choice], (after,)

    def observe(self, state: Floats, readings: Floats, pictures: Any, start: Mask) -> Floats:
        """Take in readings `(N, K, 3)` and what the score's digits in the pictures `(N, 4, 84, 84)` tell."""
        roles, thresholds = self.plans.roles, self.plans.thresholds
        world = tracker.attend(state, readings, roles, thresholds, start)
        after = tracker.track(state, readings[:, roles[0]], world, thresholds, start)
        after[:, tracker.DRY] = np.where(score_changed(pictures) | start, 0, after[:, tracker.DRY] + 1)
        rises = after[:, tracker.WORLD_Y] < state[:, tracker.WORLD_Y]  # after a turn out of sight it has no speed yet
        after[:, tracker.TURNS] += (state[:, tracker.WORLD_DY] > 0) & rises & ~start
        return after

    @property
    def plans(self) -> Plans:
        """The tables, worked out from the buffers on first use."""
        if self._plans is None:
            self._plans = Plans({name: buffer.cpu().numpy() for name, buffer in self.named_buffers(recurse=False)})
        return self._plans
