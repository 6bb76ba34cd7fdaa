"""The scripted expert: reads RAM, foresees the ball, plans the paddle; and says what each action would cost.

- *Ball*: the path does not depend on the paddle, so a copy of the emulator plays no-ops until the ball comes down to
  the paddle's line; the real ball is then only compared with that path, and a new one is flown where it left it.
- *Paddle*: it has inertia. Each frame its target T moves by 5.7 px while RIGHT or LEFT is held, and the paddle goes
  half the way to T. Every sequence of the next five actions is tried under that law, so an action's *cost* is how
  far, in px, the best sequence that begins with it leaves the paddle from where it should be when the ball lands.
- *Loops*: with the paddle's centre under every ball the game can repeat for ever. After some steps without a point,
  every contact's aim is tried in the emulator's copy, and the one that wins most is taken.

Costs are better labels than actions are: where all three do, they say so, and where one loses the ball, too. That an
imitator should be labelled on its own states is Ross et al. (2011), "A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning" (DAgger); costs instead of actions are Ross and Bagnell (2014), AggreVaTe.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from ale_py import ALEInterface, LoggerMode, roms

from agents.policy import State
from envs.breakout import FIRE, FRAME_SKIP, LEARNT_ACTIONS, LEFT, NOOP, RIGHT, Actions, Bytes, Game, Mask
from envs.game_state import BALL_HEIGHT, BALL_WIDTH, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST, GameState

PADDLE_SPEED = 5.7  # px a frame that T moves while an action is held
TARGET_RANGE = (4.0, 194.0)  # px
PLANNED_STEPS = 5  # actions of each sequence that is tried
PROMPTNESS = 0.15  # px of cost for each px that the paddle is away from its aim on the way there, on average
LANDING_Y = 186  # px, the ball's top edge on the last frame before it bounces off the paddle
LONGEST_FLIGHT = 600  # frames foreseen at most; a ball above the bricks can stay there for long
DRY_STEPS = 60  # steps without a point before aims are tried
OFFSETS = {12: (5.0, 1.0, 9.0, 3.0, 7.0), 16: (7.0, 1.0, 13.0, 4.0, 10.0)}  # px, ball minus paddle, by paddle width

Floats = npt.NDArray[np.float64]

_SIGN = {NOOP: 0.0, RIGHT: 1.0, LEFT: -1.0}
# Every sequence of planned actions, `(243, 5)`; its first action is the row's third.
_SEQUENCES = np.array(list(product([_SIGN[action] for action in LEARNT_ACTIONS], repeat=PLANNED_STEPS)))


def landing_costs(paddle: Floats, target: Floats, frames: npt.NDArray[np.int64], aim: Floats) -> Floats:
    """How far the paddle will be from `aim` when the ball lands, for each first action at its best continuation.

    A ball further away than five steps counts as five steps away: the paddle goes there and waits. It goes at once,
    for what is put off is easily missed (a seventh of the mean distance on the way there is added to the cost).

    Args:
        paddle, target: `(B,)` px, the paddle's left edge and T.
        frames: `(B,)` until the ball lands.
        aim: `(B,)` px, where the left edge should then be.

    Returns:
        `(B, 3)` px, one for each of NOOP, RIGHT, LEFT.
    """
    x = np.repeat(paddle[:, None], len(_SEQUENCES), axis=1)  # (B, 243)
    t = np.repeat(target[:, None], len(_SEQUENCES), axis=1)
    distance, path = np.zeros(x.shape), np.zeros(x.shape)
    horizon = np.clip(frames, 1, PLANNED_STEPS * FRAME_SKIP)
    for frame in range(int(horizon.max(initial=1))):
        x = np.clip((x + t) / 2, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST)
        t = np.clip(t + PADDLE_SPEED * _SEQUENCES[:, frame // FRAME_SKIP], *TARGET_RANGE)
        away = np.abs(x - aim[:, None])
        path += np.where(frame < horizon, 1.0, 0.0)[:, None] * away
        lands = horizon == frame + 1
        distance[lands] = away[lands]
    cost = distance + PROMPTNESS * path / horizon[:, None]
    return np.asarray(cost.reshape(len(paddle), len(LEARNT_ACTIONS), -1).min(axis=2))


@dataclass(frozen=True)
class Labels:
    """What the demonstrator says about B states. All places across are those of centres: 160 - x in a mirror.

    Attributes:
        costs: `(B, 3)` px of landing error for each of NOOP, RIGHT, LEFT; aim: the paddle's centre under the ball.
        landing: `(B,)` px, where across the ball lands.
        paddle, target: `(B,)` px, where across the paddle is and where it is drawn to (T).
        ball_x, ball_y: `(B,)` px.
        frames: `(B,)` until the ball lands.
        known: `(B,)` bool; elsewhere (no ball, or none that comes down in sight) costs are 0 and the ball's figures
            mean nothing.
    """

    costs: Floats
    landing: Floats
    paddle: Floats
    target: Floats
    ball_x: Floats
    ball_y: Floats
    frames: Floats
    known: Mask


@dataclass(frozen=True)
class _Flight:
    """The ball's path from emulator frame `start` until it lands (or until foresight ends)."""

    start: int
    origin: Any  # the emulator's state at `start`
    path: list[tuple[int, int]]  # (x, y) of every frame, px
    lands: bool


class _Foresight:
    """A second emulator, without sticky actions, in which futures are tried."""

    def __init__(self) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        rom = roms.get_rom_path("breakout")
        assert rom is not None, "ale-py ships the cartridge"
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()

    def fly(self, game: Game) -> _Flight:
        origin = game.ale.cloneState()
        self._ale.restoreState(origin)
        path = self._follow()
        return _Flight(game.frames, origin, path, _landed(path))

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

    def points(self, flight: _Flight, aim: float) -> int:
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


class _Watch:
    """One game as the demonstrator follows it."""

    def __init__(self, game: Game, foresight: _Foresight) -> None:
        self._game, self._foresight = game, foresight
        self._flight: _Flight | None = None
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

    def _as_foreseen(self, flight: _Flight) -> bool:
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
        return _aim(where[0], (self.state.paddle_width - BALL_WIDTH) / 2) if where else float(self.state.paddle_x)

    def winning_aim(self) -> float:
        """The same, but after a while without points the aim that wins most by the next contact."""
        where = self.landing
        if where is None or self._game.steps - self._scored_at < DRY_STEPS:
            return self.central_aim()
        if self._offset is None:
            self._offset = self._best_offset(where[0])
        return _aim(where[0], self._offset)

    def _best_offset(self, landing_x: int) -> float:
        assert self._flight is not None
        offsets = OFFSETS[self.state.paddle_width]
        points = [self._foresight.points(self._flight, _aim(landing_x, offset)) for offset in offsets]
        # Where no aim wins anything, another one each time leads out of the loop.
        return offsets[int(np.argmax(points))] if max(points) else offsets[self._contacts * 7 % 11 % len(offsets)]


def _aim(landing_x: float, offset: float) -> float:
    return float(np.clip(landing_x - offset, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST))


class Demonstrator:
    """The scripted expert as a policy.

    Args:
        games: the games that it will be asked about, in the order of the observations' rows.
    """

    def __init__(self, games: list[Game]) -> None:
        self._foresight = _Foresight()
        self._games = list(games)
        self._watches = [_Watch(game, self._foresight) for game in games]

    def predict(
        self,
        observation: Bytes,
        state: State = None,
        episode_start: Mask | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, State]:
        """See `Policy.predict`; looks at the games' RAM, not at the observation."""
        if len(observation) != len(self._games):
            raise ValueError(f"the demonstrator plays {len(self._games)} games, got {len(observation)} observations")
        return self.actions(np.ones(len(self._games), np.bool_)), None

    def actions(self, where: Mask) -> Actions:
        """The best action where asked `(N,)`, NOOP elsewhere."""
        watches = self._look()
        aims = [watch.winning_aim() if asked else 0.0 for watch, asked in zip(watches, where, strict=True)]
        best = np.asarray(LEARNT_ACTIONS)[self._costs(aims).argmin(axis=1)]
        in_play = np.array([watch.state.ball_in_play for watch in watches])
        return np.where(where, np.where(in_play, best, FIRE), NOOP)

    def labels(self) -> Labels:
        """Judge every action in every game as it stands now."""
        watches = self._look()
        costs = self._costs([watch.central_aim() for watch in watches])
        landings = [watch.landing or (0, 0) for watch in watches]
        states = [watch.state for watch in watches]
        known = np.array([watch.landing is not None for watch in watches])
        half = np.array([s.paddle_width / 2 for s in states])
        return Labels(
            costs=costs * known[:, None],
            landing=np.array([x + BALL_WIDTH / 2 for x, _ in landings]),
            paddle=half + [s.paddle_x for s in states],
            target=half + [s.paddle_target for s in states],
            ball_x=np.array([s.ball_x + BALL_WIDTH / 2 for s in states]),
            ball_y=np.array([s.ball_y + BALL_HEIGHT / 2 for s in states]),
            frames=np.array([float(frames) for _, frames in landings]),
            known=known,
        )

    def replace(self, place: int, game: Game) -> None:
        """Follow another game from now on, in the place of one that is over."""
        self._games[place] = game
        self._watches[place] = _Watch(game, self._foresight)

    def _look(self) -> list[_Watch]:
        for watch in self._watches:
            watch.look()
        return self._watches

    def _costs(self, aims: list[float]) -> Floats:
        states = [watch.state for watch in self._watches]
        return landing_costs(
            np.array([s.paddle_x for s in states], float),
            np.array([s.paddle_target for s in states], float),
            np.array([watch.landing[1] if watch.landing else 0 for watch in self._watches]),
            np.array(aims),
        )
