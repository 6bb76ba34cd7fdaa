"""What tests of several packages stand on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from agents.demonstrations import Episode
from agents.recording import Recording
from envs.breakout import LEFT, NOOP, RIGHT, STICKY, Game, game_seeds
from envs.game_state import GameState

MakeEpisodes = Callable[..., list[Episode]]


def follow(game: Game) -> int:
    """Press towards the ball, as a person would."""
    state = GameState.from_ram(game.ram)
    away = state.ball_x + 1 - (state.paddle_x + state.paddle_width / 2)
    return NOOP if not state.ball_in_play or abs(away) < 6 else RIGHT if away > 0 else LEFT


@pytest.fixture(scope="session")
def people() -> MakeEpisodes:
    """Make recorded games of somebody who follows the ball and presses `lag` steps after the picture."""
    known: dict[tuple[int, int], list[Episode]] = {}

    def make(lag: int = 0, steps: int = 2_000) -> list[Episode]:
        if (lag, steps) not in known:
            known[lag, steps] = _record(lag, steps)
        return known[lag, steps]

    return make


def _record(lag: int, steps: int) -> list[Episode]:
    episodes: list[Episode] = []
    generator = np.random.default_rng(lag)
    root = np.random.SeedSequence(8)
    while sum(len(episode.actions) for episode in episodes) < steps:
        recording, held = Recording(game_seeds(root, 1)[0], STICKY), NOOP
        pressed = deque([NOOP] * lag)
        while not recording.game.over and len(recording) < steps // 3:
            if generator.random() > 0.1:  # a person is slow to change keys
                held = follow(recording.game)
            pressed.append(held)
            recording.step(pressed.popleft())
        episodes.append(recording.episode())
    return episodes
