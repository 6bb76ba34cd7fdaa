"""What the demonstrator foresees: the ball's flights, from one landing on the paddle to the next, as a tree.

The ball's path does not depend on the paddle until it lands, so a copy of the emulator plays no-ops until then; the
real ball is only compared with that path. Where the ball meets the paddle decides how it leaves, and there are two to
five ways to leave: each is found and flown in the copy, too. So a flight's children are the flights that can follow
it, and the points along the branches say which way of meeting the ball is worth most. The tree is searched breadth
first until a brick falls, and it is kept: what follows a landing has been foreseen before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from ale_py import ALEInterface, ALEState, LoggerMode, roms

from envs.breakout import NOOP, Game
from envs.game_state import BALL_WIDTH, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST, GameState

LANDING_Y = 186  # px, the ball's top edge on the first frame in which the paddle catches it
LOST_Y = 193  # px, from where on it does not
MIDDLE = 80  # px
LONGEST_FLIGHT = 600  # frames foreseen at most; a ball above the bricks can stay there for long
PATIENCE = 0.8  # worth of a point that one more landing stands before

# RAM bytes: ball, paddle, half the paddle's width, and where on the paddle the ball fell.
_BALL_X, _BALL_Y, _PADDLE_X, _PADDLE_TARGET, _HALF_WIDTH, _FELL_ON = 99, 101, 72, 70, 108, 109
_FASTEST_FALL = 4  # px a frame
_WITHOUT_PADDLE = np.delete(np.arange(128), [_PADDLE_X, _PADDLE_TARGET, _FELL_ON])


@dataclass(eq=False)
class Flight:
    """The ball's path from emulator frame `start` until it lands (or until foresight ends).

    Attributes:
        path: (x, y) of every frame, px.
        points: won on it.
        paddle_width: when it ends, px.
        eve: the emulator's state one frame before it lands; None if it does not.
        offsets: ball minus paddle, px, at the landing before, that lead to this flight.
        falls: where the ball is from the landing on, frame by frame, if the paddle is not there, until it is lost.
        children: the flights that can follow.
    """

    start: int
    path: list[tuple[int, int]]
    points: int
    paddle_width: int
    eve: ALEState | None
    offsets: tuple[int, ...] = ()
    falls: list[tuple[int, int]] | None = None  # until asked for, see Foresight.fall
    children: list[Flight] | None = None  # until asked for, see Foresight.branch

    @property
    def lands(self) -> bool:
        return self.eve is not None

    @property
    def end(self) -> int:
        """The frame of the landing."""
        return self.start + len(self.path) - 1

    def passes(self, frame: int, place: tuple[int, int]) -> bool:
        """Tell whether the ball is at `place` in that frame, caught by nobody."""
        known = self.path[:-1] + (self.falls or self.path[-1:])
        return self.start <= frame < self.start + len(known) and known[frame - self.start] == place

    def worth(self) -> float:
        """Points on this flight and on the best that is known to follow it."""
        return self.points + PATIENCE * max((child.worth() for child in self.children or ()), default=0.0)


class Foresight:
    """A second emulator, without sticky actions, in which futures are tried."""

    def __init__(self) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        rom = roms.get_rom_path("breakout")
        assert rom is not None, "ale-py ships the cartridge"
        self._ale.loadROM(rom)
        self._noop = self._ale.getMinimalActionSet()[NOOP]

    def fly(self, game: Game) -> Flight:
        """Follow the game's ball until it lands."""
        self._ale.restoreState(game.ale.cloneState())
        return self._follow(game.frames, [self._ball()], 0, ())

    def _follow(self, start: int, path: list[tuple[int, int]], points: float, offsets: tuple[int, ...]) -> Flight:
        eve = None
        while len(path) < LONGEST_FLIGHT and path[-1][1] > 9:
            low = path[-1][1] >= LANDING_Y - _FASTEST_FALL
            before = self._ale.cloneState() if low else None
            points += self._ale.act(self._noop)
            path.append(self._ball())
            if path[-1][1] >= LANDING_Y > path[-2][1]:
                eve = before
                break
        return Flight(start, path, int(points), 2 * int(self._ale.getRAM()[_HALF_WIDTH]), eve, offsets)

    def _ball(self) -> tuple[int, int]:
        ram = self._ale.getRAM()
        return int(ram[_BALL_X]) - 49, int(ram[_BALL_Y]) + 9

    def fall(self, flight: Flight) -> list[tuple[int, int]]:
        """Find where the ball is from the landing on if the paddle is not there."""
        if flight.falls is None:
            flight.falls = []
            elsewhere = PADDLE_LEFT_MOST if flight.path[-1][0] > MIDDLE else PADDLE_RIGHT_MOST
            if flight.eve is not None:
                self._ale.restoreState(flight.eve)
                while not flight.falls or LANDING_Y <= flight.falls[-1][1] < LOST_Y:
                    self._put_paddle(elsewhere)
                    self._ale.act(self._noop)
                    flight.falls.append(self._ball())
                flight.falls.pop()
        return flight.falls

    def branch(self, flight: Flight) -> list[Flight]:
        """Find the flights that can follow this one."""
        if flight.children is None:
            flight.children = []
            for offsets in self._ways(flight):
                points = self._bounce(flight, offsets[len(offsets) // 2])
                flight.children.append(self._follow(flight.end, [flight.path[-1], self._ball()], points, offsets))
        return flight.children

    def _ways(self, flight: Flight) -> list[tuple[int, ...]]:
        """Group the offsets from which the ball leaves in the same way."""
        ways = dict[bytes, list[int]]()
        for offset in range(1 - BALL_WIDTH, flight.paddle_width) if flight.lands else ():
            if PADDLE_LEFT_MOST <= flight.path[-1][0] - offset <= PADDLE_RIGHT_MOST:
                self._bounce(flight, offset)
                ways.setdefault(self._ale.getRAM()[_WITHOUT_PADDLE].tobytes(), []).append(offset)
        return [tuple(offsets) for offsets in ways.values()]

    def _bounce(self, flight: Flight, offset: int) -> float:
        """Let the ball land on a paddle that rests there, and leave it; return the points."""
        assert flight.eve is not None
        self._ale.restoreState(flight.eve)
        self._put_paddle(flight.path[-1][0] - offset)
        return float(self._ale.act(self._noop) + self._ale.act(self._noop))

    def _put_paddle(self, x: int) -> None:
        """Have the paddle's left edge at `x` on the next frame."""
        self._ale.setRAM(_PADDLE_X, x + 47)
        self._ale.setRAM(_PADDLE_TARGET, 188 - x)

    def search(self, flight: Flight, flights: int) -> None:
        """Branch breadth first until points are found, or for about so many flights."""
        queue = deque([flight])
        while queue and flights > 0:
            here = queue.popleft()
            known = here.children is not None
            children = self.branch(here)
            flights -= 0 if known else len(children)
            if any(child.points for child in children):
                return
            queue.extend(children)


class Watch:
    """One game as the demonstrator follows it."""

    def __init__(self, game: Game, foresight: Foresight) -> None:
        self._game, self._foresight = game, foresight
        self.state = GameState.from_ram(game.ram)
        self.flight: Flight | None = None
        self._before: Flight | None = None  # the flight that the present one follows

    def look(self) -> None:
        """Compare the game with what was foreseen, and look ahead anew where they differ."""
        self.state = GameState.from_ram(self._game.ram)
        if not self.state.ball_in_play:
            self.flight = self._before = None
        elif self.flight is None or not self._fits(self.flight):
            self.flight = self._foreseen() or self._foresight.fly(self._game)

    def _fits(self, flight: Flight) -> bool:
        return flight.passes(self._game.frames, (self.state.ball_x, self.state.ball_y))

    def _foreseen(self) -> Flight | None:
        """The flight that the ball turned out to be on, among those that could follow."""
        if self.flight is not None and self._game.frames > self.flight.end:
            self._before = self.flight
        follow = self._before.children if self._before is not None else None
        return next((child for child in follow or () if child is not self.flight and self._fits(child)), None)

    @property
    def landing(self) -> tuple[int, int] | None:
        """Where (px, left edge of the ball) and in how many frames, if that can be foreseen."""
        if self.flight is None or not self.flight.lands or self.flight.end < self._game.frames:
            return None
        return self.flight.path[-1][0], self.flight.end - self._game.frames

    def central_aim(self) -> float:
        """The paddle's left edge, px, that has its centre under the ball where that lands."""
        where = self.landing
        return aim_under(where[0], (self.state.paddle_width - BALL_WIDTH) / 2) if where else float(self.state.paddle_x)


def aim_under(landing_x: float, offset: float) -> float:
    return float(np.clip(landing_x - offset, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST))
