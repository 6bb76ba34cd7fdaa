"""What RAM is said to hold is what the game shows."""

from __future__ import annotations

import numpy as np
import pytest

from envs.breakout import CLASSIC, LEARNT_ACTIONS, LEFT, NOOP, RIGHT, STICKY, Game, Protocol
from envs.game_state import PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST, GameState


def chase(game: Game, generator: np.random.Generator) -> int:
    """Follow the ball crudely, now and then at random: enough to hit bricks and to lose lives."""
    state = GameState.from_ram(game.ram)
    gap = state.ball_x - 7 - (state.paddle_x + state.paddle_target) / 2
    if generator.random() < 0.1:
        return int(generator.choice(LEARNT_ACTIONS))
    return NOOP if abs(gap) < 8 else RIGHT if gap > 0 else LEFT


@pytest.mark.parametrize("protocol", [CLASSIC, STICKY], ids=lambda protocol: protocol.name)
def test_score_lives_and_bricks_agree_with_the_game_in_every_step(protocol: Protocol) -> None:
    game, generator = Game(5, protocol), np.random.default_rng(5)
    shown = 0
    while not game.over and game.steps < 1200:
        game.step(chase(game, generator))
        state = GameState.from_ram(game.ram)
        assert (state.score, state.lives) == (game.score, game.lives)
        centres = game.screen[60:96:6, 12:156:8].any(axis=2)  # a pixel in the middle of each brick's place
        shown += int((centres != state.bricks).sum())
    assert game.score >= 10, "the game must be worth reading"
    assert shown <= 0.0005 * 108 * game.steps, "only the ball, or a brick's last frame, may differ"


def test_a_fresh_wall_has_108_bricks_worth_432_points() -> None:
    game = Game(0, CLASSIC)
    game.step(NOOP)
    bricks = GameState.from_ram(game.ram).bricks
    assert bricks.sum() == 108
    assert (bricks.sum(axis=1) * [7, 7, 4, 4, 1, 1]).sum() == 432


def test_the_paddle_goes_half_the_way_to_its_target_each_frame() -> None:
    game, generator = Game(1, CLASSIC), np.random.default_rng(1)
    errors = []
    for _ in range(100):
        action = game.ale.getMinimalActionSet()[int(generator.choice(LEARNT_ACTIONS))]
        for _ in range(int(generator.integers(1, 12))):
            before = GameState.from_ram(game.ram)
            game.ale.act(action)
            after = GameState.from_ram(game.ram).paddle_x
            middle = (before.paddle_x + before.paddle_target) / 2
            errors.append(abs(after - np.clip(middle, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST)))
    assert max(errors) <= 1.5
    assert np.mean(errors) < 0.7


@pytest.mark.parametrize("ram", [np.zeros(127, np.uint8), np.zeros(128, np.int64)])
def test_other_memory_is_refused(ram: np.ndarray) -> None:
    with pytest.raises(ValueError, match="RAM must be"):
        GameState.from_ram(ram)
