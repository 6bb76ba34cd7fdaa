"""What a Breakout game's RAM says: ball, paddle, bricks, lives and score, in pixels of the 210 x 160 screen.

For the demonstrator, for labels and for probes; never for a learner. The addresses follow Anand et al. (2019),
"Unsupervised State Representation Learning in Atari", where those are right; bricks 30-35, the score and the
paddle's target were found by experiment, and `tests/envs/test_game_state.py` holds them against whole games.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BRICK_ROWS, BRICK_COLUMNS = 6, 18
PADDLE_TOP = 189  # px from the top of the screen
PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST = 8, 144  # px, left edge; at 144 half of the paddle is inside the wall
PADDLE_WIDTH = 16  # px, until the ball has touched the ceiling
BALL_WIDTH, BALL_HEIGHT = 2, 4  # px
FRAME_COUNTER = [90, 91]  # addresses, low byte first; it counts from before a game's first step

# Bytes 0-35 are six groups of six: within a group one byte a row, the bottom row first. Each entry gives a
# group's first column and, column by column, its lowest bit of the two that make a brick.
_GROUPS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (15, (0, 2, 4)),
    (11, (6, 4, 2, 0)),
    (9, (4, 6)),
    (5, (0, 2, 4, 6)),
    (1, (6, 4, 2, 0)),
    (0, (6,)),
)


def _brick_bits() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Address and bit mask of every brick, both `(6, 18)`, top row first."""
    address = np.zeros((BRICK_ROWS, BRICK_COLUMNS), np.int64)
    mask = np.zeros((BRICK_ROWS, BRICK_COLUMNS), np.uint8)
    for group, (first_column, bits) in enumerate(_GROUPS):
        for column, bit in enumerate(bits, first_column):
            address[:, column] = 6 * group + np.arange(BRICK_ROWS)[::-1]
            mask[:, column] = 0b11 << bit
    return address, mask


_ADDRESS, _MASK = _brick_bits()


@dataclass(frozen=True)
class GameState:
    """One frame of the game. RAM may run one frame ahead of the screen.

    Attributes:
        ball_x, ball_y: left and top edge of the ball, px; meaningless unless `ball_in_play`.
        ball_in_play: False while the game waits for FIRE.
        paddle_x: the paddle's left edge, px, 8 to 144.
        paddle_width: 16 px, or 12 px from the ball's first touch of the ceiling until the life ends.
        paddle_target: where the paddle is drawn to, px, 4 to 194: on the next frame its left edge is
            the mean of `paddle_x` and this, clipped to its range.
        bricks: `(6, 18)` bool, top row first, True where a brick stands.
        lives: 5 to 0.
        score: points.
    """

    ball_x: int
    ball_y: int
    ball_in_play: bool
    paddle_x: int
    paddle_width: int
    paddle_target: int
    bricks: npt.NDArray[np.bool_]
    lives: int
    score: int

    @classmethod
    def from_ram(cls, ram: npt.NDArray[np.uint8]) -> GameState:
        """Read the `(128,)` uint8 RAM of an Atari 2600 that runs Breakout."""
        if ram.shape != (128,) or ram.dtype != np.uint8:
            raise ValueError(f"RAM must be (128,) uint8, got {ram.shape} {ram.dtype}")
        byte = ram.tolist()
        return cls(
            ball_x=byte[99] - 49,
            ball_y=byte[101] + 9,
            ball_in_play=byte[101] != 0,
            paddle_x=byte[72] - 47,
            paddle_width=2 * byte[108],
            paddle_target=188 - byte[70] if byte[70] else 194,  # 0: somewhere in the dead zone past the wall
            bricks=(ram[_ADDRESS] & _MASK) != 0,
            lives=byte[57],
            score=100 * (byte[76] & 15) + 10 * (byte[77] >> 4) + (byte[77] & 15),
        )
