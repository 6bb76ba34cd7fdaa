"""What the demonstrator foresees: where the ball will land, and what each way of meeting it would win.

The ball's path does not depend on the paddle, so a copy of the emulator plays no-ops until the ball comes down to the
paddle's line; the real ball is then only compared with that path, and a new one is flown where it left it. With the
paddle's centre under every ball the game can repeat for ever: after some steps without a point, every contact's aim is
tried in the emulator's copy, and the one that wins most is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ale_py import ALEInterface, LoggerMode, roms

from envs.breakout import LEFT, NOOP, RIGHT, Game
from envs.game_state import BALL_WIDTH, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST, GameState

PADDLE_SPEED = 5.7  # px a frame that the paddle's target T moves while an action is held
LANDING_Y = 186  # px, the ball's top edge on the last frame before it bounces off the paddle
LONGEST_FLIGHT = 600  # frames foreseen at most; a ball above the bricks can stay there for long
DRY_STEPS = 60  # steps without a point before aims are tried
OFFSETS = {12: (5.0, 1.0, 9.0, 3.0, 7.0), 16: (7.0, 1.0, 13.0, 4.0, 10.0)}  # px, ball minus paddle, by paddle width


@dataclass(frozen=True)
class Flight:
    """The ball's path from emulator frame `start` until it lands (or until foresight ends)."""

    start: int
    origin: Any  # the emulator's state at `start`
    path: list[tuple[int, int]]  # (x, y) of every frame, px
    lands: bool


class Foresight:
    """A second emulator, without sticky actions, in which futures are tried."""

    def __init__(self) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        rom = roms.get_rom_path("breakout")
        assert rom is not None, "ale-py ships the cartridge"
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()

    def fly(self, game: Game) -> Flight:
        origin = game.ale.cloneState()
        self._ale.restoreState(origin)
        path = self._follow()
        return Flight(game.frames, origin, path, _landed(path))

    def _follow(self) -> list[tuple[int, int]]:
        """Play no-ops until the ball lands."""
        path = [self._ball()]
        while len(path) < LONGEST_FLIGHT and path[-1][1] > 9 and not _landed(path):
            self._ale.act(self._actions[NOOP])
            path.append(self._ball())
        return path

    def _ball(self) -> tuple[int, int]:
        ram = self._ale.getRAM()
        return int(ram[99]) - 49, int(ram[101]) + 9

    def points(self, flight: Flight, aim: float) -> int:
        """Points won until the next landing if the paddle's left edge is at `aim` px on this one."""
        self._ale.restoreState(flight.origin)
        points = 0
        for _ in flight.path:  # one frame longer than the flight: the bounce
            state = GameState.from_ram(self._ale.getRAM())
            gap = aim - state.paddle_target
            # The last few px are set by hand, one frame ahead: the paddle goes half the way to T.
            if abs(gap) < PADDLE_SPEED:
                self._ale.setRAM(72, int(np.clip(2 * aim - state.paddle_target + 47, 0, 255)))
            action = NOOP if abs(gap) < PADDLE_SPEED else RIGHT if gap > 0 else LEFT
            points += self._ale.act(self._actions[action])
        before = GameState.from_ram(self._ale.getRAM()).score
        self._follow()
        return points + GameState.from_ram(self._ale.getRAM()).score - before


def _landed(path: list[tuple[int, int]]) -> bool:
    return len(path) > 1 and path[-1][1] >= LANDING_Y > path[-2][1]


class Watch:
    """One game as the demonstrator follows it."""

    def __init__(self, game: Game, foresight: Foresight) -> None:
        self._game, self._foresight = game, foresight
        self._flight: Flight | None = None
        self._offset: float | None = None
        self._scored_at = self._score = self._contacts = 0

    def look(self) -> None:
        self.state = GameState.from_ram(self._game.ram)
        if self._game.score != self._score:
            self._score, self._scored_at = self._game.score, self._game.steps
        if not self.state.ball_in_play:
            self._flight = None
        elif self._flight is None or not self._as_foreseen(self._flight):
            self._flight, self._offset = self._foresight.fly(self._game), None
            self._contacts += 1

    def _as_foreseen(self, flight: Flight) -> bool:
        now = self._game.frames - flight.start
        return now < len(flight.path) and flight.path[now] == (self.state.ball_x, self.state.ball_y)

    @property
    def landing(self) -> tuple[int, int] | None:
        """Where (px, left edge of the ball) and in how many frames, if that can be foreseen."""
        if self._flight is None or not self._flight.lands:
            return None
        return self._flight.path[-1][0], len(self._flight.path) - 1 - (self._game.frames - self._flight.start)

    def central_aim(self) -> float:
        """The paddle's left edge, px, that has its centre under the ball where that lands."""
        where = self.landing
        return aim_under(where[0], (self.state.paddle_width - BALL_WIDTH) / 2) if where else float(self.state.paddle_x)

    def winning_aim(self) -> float:
        """The same, but after a while without points the aim that wins most by the next contact."""
        where = self.landing
        if where is None or self._game.steps - self._scored_at < DRY_STEPS:
            return self.central_aim()
        if self._offset is None:
            self._offset = self._best_offset(where[0])
        return aim_under(where[0], self._offset)

    def _best_offset(self, landing_x: int) -> float:
        assert self._flight is not None
        offsets = OFFSETS[self.state.paddle_width]
        points = [self._foresight.points(self._flight, aim_under(landing_x, offset)) for offset in offsets]
        # Where no aim wins anything, another one each time leads out of the loop.
        return offsets[int(np.argmax(points))] if max(points) else offsets[self._contacts * 7 % 11 % len(offsets)]


def aim_under(landing_x: float, offset: float) -> float:
    return float(np.clip(landing_x - offset, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST))
