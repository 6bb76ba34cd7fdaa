"""The paddle as a Markov decision process, solved backwards from the ball's landing.

The console's paddle is a variable resistor. ALE turns it by a fixed amount each frame while RIGHT or LEFT is held; the
game reads it as a target T, and a frame later moves the paddle half the way there. From where the resistor first
stands and from its two ends only a hundred positions can be reached, so the paddle's law is a small table, and exact.
Under sticky actions a new action begins k frames late with probability 0.25^k, which is as exact. Backward induction
over that table (Bellman 1957, "Dynamic Programming") says at every step of a flight which action is best, whatever the
console repeats. T's few phases, the dead zone past the right wall and the way round by a wall need no further rule.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from envs.breakout import CLASSIC, FRAME_SKIP, LEARNT_ACTIONS, LEFT, NOOP, RIGHT, Game
from envs.game_state import PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST, GameState

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Choices = npt.NDArray[np.int8]

PLACES = PADDLE_RIGHT_MOST - PADDLE_LEFT_MOST + 1  # left edges, px
HORIZON = 25  # steps planned; a ball further away counts as that far away
RESTLESSNESS = 1e-6  # what a move costs: enough to rest where nothing is to be won

# ALE's paddle: the resistor's two ends, where it stands at first, and its turn in one frame (PADDLE_DELTA and so on).
_LEAST, _MOST, _FIRST, _TURN = 27_450, 790_196, 408_823, 23_000
_TURNS = {NOOP: 0, RIGHT: -_TURN, LEFT: _TURN}
_LAGS = np.arange(-13, 14)  # px, how far the paddle can be behind T, unless a wall holds it

_MOVES = range(len(LEARNT_ACTIONS))  # actions by their place among the learnt ones


class Law:
    """Where the paddle goes. A state is a resistance and the px that the paddle is behind T: S = R x 27 of them.

    Attributes:
        x, target: `(S,)` px, the paddle's left edge and T.
        frame: `(3, S)` the state after one frame of NOOP, RIGHT, LEFT.
    """

    def __init__(self) -> None:
        resistances, self._targets = np.array(sorted(_measured().items())).T  # (R,)
        rows = np.repeat(np.arange(len(resistances)), len(_LAGS))
        self.target = self._targets[rows]
        self.x = np.clip(self.target - np.tile(_LAGS, len(resistances)), PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST)
        x_next = np.clip((self.x + self.target) >> 1, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST)
        turned = [np.clip(resistances + _TURNS[action], _LEAST, _MOST) for action in LEARNT_ACTIONS]
        self.frame = np.stack([self._state(np.searchsorted(resistances, new)[rows], x_next) for new in turned])

    def _state(self, row: Indices, x: Indices) -> Indices:
        behind = np.clip(self._targets[row] - x, _LAGS[0], _LAGS[-1])
        return np.asarray(row * len(_LAGS) + behind - _LAGS[0])

    def nearest(self, x: int, target: int) -> int:
        """Return a state with this T, or the nearest to it, and the paddle at `x`."""
        row = np.abs(self._targets - target).argmin(keepdims=True)
        return int(self._state(row, np.array([x]))[0])


def _measured() -> dict[int, int]:
    """T, px, at each resistance that can be reached: from the first to both ends, and from either end to the other."""
    ale, targets = Game(0, CLASSIC).ale, dict[int, int]()
    actions = ale.getMinimalActionSet()
    for journey in ((LEFT, RIGHT, LEFT), (RIGHT,)):
        ale.reset_game()
        resistance = _FIRST
        for action in np.repeat((NOOP, *journey), (_MOST - _LEAST) // _TURN + 2).tolist():
            ale.act(actions[action])
            resistance = min(max(resistance + _TURNS[action], _LEAST), _MOST)
            targets[resistance] = GameState.from_ram(ale.getRAM()).paddle_target
    return targets


class Paddle:
    """The paddle's law under a protocol, step by step. A course is what the console really does on four frames.

    Args:
        sticky: probability, each frame, that the console repeats the previous action.

    Attributes:
        chance: `(3, 3, C)` of each course, by what the console did last and by the action.
        path: `(C, 4, S)` the states that a course leads through.
        last: `(C,)` what the console does last on it.
        ends: `(C, S)` where a course leads in a value `(3, S)`: by what the console did last, and by state.
    """

    def __init__(self, sticky: float) -> None:
        self.law = Law()
        chances = dict[tuple[int, ...], dict[tuple[int, int], float]]()
        for before, action, late in product(_MOVES, _MOVES, range(FRAME_SKIP + 1)):
            course = chances.setdefault((before,) * late + (action,) * (FRAME_SKIP - late), {})
            chance = sticky**late * (1 if late == FRAME_SKIP else 1 - sticky)
            course[before, action] = course.get((before, action), 0) + chance
        courses = [course for course, by in chances.items() if any(by.values())]
        self.chance = np.array([[[chances[c].get((b, a), 0.0) for c in courses] for a in _MOVES] for b in _MOVES])
        self.path = np.array([self._states(course) for course in courses])
        self.last = np.array(courses)[:, -1]
        self.ends = self.last[:, None] * len(self.law.x) + self.path[:, -1]  # (C, S), where in a value (3, S)

    def _states(self, course: tuple[int, ...]) -> list[Indices]:
        states = [np.arange(len(self.law.x))]
        for move in course:
            states.append(self.law.frame[move][states[-1]])
        return states[1:]

    def plan(self, goals: Floats, frames: int) -> Plan:
        """Find the best action in each state at each step until the ball is caught or lost.

        Args:
            goals: `(Q, PLACES)` what it is worth to have the paddle at each place when the ball lands, and on each
                frame after that if it was not caught yet; NaN where it is not caught then, and to lose it is worth 0.
            frames: from a step's beginning until the ball lands, at least 1.
        """
        best = dict[int, Choices]()
        value = np.zeros((len(_MOVES), len(self.law.x)))  # by what the console did last
        first = frames % FRAME_SKIP - -(-len(goals) // FRAME_SKIP) * FRAME_SKIP
        for left in range(first, min(frames, HORIZON * FRAME_SKIP) + 1, FRAME_SKIP):
            courses = self._worth(value, goals, left)  # (C, S)
            worth = (self.chance.reshape(-1, len(courses)) @ courses).reshape(*self.chance.shape[:2], -1)  # (3, 3, S)
            worth[:, 1:] -= RESTLESSNESS
            best[left], value = _argmax(worth), worth.max(axis=1)
        return Plan(best, value)

    def _worth(self, value: Floats, goals: Floats, left: int) -> Floats:
        """What each course is worth in each state, `(C, S)`, `left` frames before the landing."""
        worth = value.take(self.ends)
        for frame in range(FRAME_SKIP, 0, -1):
            if 0 <= frame - left < len(goals):
                goal = goals[frame - left][self.law.x[self.path[:, frame - 1]] - PADDLE_LEFT_MOST]
                worth = np.where(np.isnan(goal), worth, goal)
        return np.asarray(worth)


def _argmax(worth: Floats) -> Choices:
    """`worth.argmax(axis=1)` of `(3, 3, S)`, three times as fast."""
    best = (worth[:, 1] > worth[:, 0]).astype(np.int8)
    best[worth[:, 2] > np.maximum(worth[:, 0], worth[:, 1])] = 2
    return best


class Plan:
    """The best actions of a flight.

    Args:
        best: `(3, S)` places among the learnt actions, by frames until the ball lands, by what the console did last
            and by the paddle's state.
        value: `(3, S)` what is to be expected from the first of these steps on.
    """

    def __init__(self, best: dict[int, Choices], value: Floats) -> None:
        self._best, self.value = best, value
        self._longest = max(best)

    def action(self, frames: int, last: int, state: int) -> int:
        """Return the best action `frames` before the landing; NOOP once the ball is lost."""
        while frames > self._longest:
            frames -= FRAME_SKIP
        return LEARNT_ACTIONS[self._best[frames][last, state]] if frames in self._best else NOOP


@lru_cache
def paddle_under(sticky: float) -> Paddle:
    """Make each protocol's paddle once."""
    return Paddle(sticky)


class Hand:
    """Follows one game's paddle, and so knows what RAM does not show: the resistance in the dead zone.

    Attributes:
        state: the paddle's, as its law counts them.
        last: what the console did last, a place among the learnt actions.
    """

    def __init__(self, paddle: Paddle) -> None:
        self._paddle = paddle
        self._steps = -1
        self.state = self.last = 0

    def look(self, game: Game, seen: GameState) -> None:
        """Find the course that leads from the last look, a step ago, to what is seen now."""
        if game.steps == self._steps:
            return
        action = LEARNT_ACTIONS.index(game.action) if game.action in LEARNT_ACTIONS else LEARNT_ACTIONS.index(NOOP)
        state, last = self._paddle.law.nearest(seen.paddle_x, seen.paddle_target), action
        if game.steps == self._steps + 1:
            chance = self._paddle.chance[self.last, action]
            for course in np.argsort(-chance)[: np.count_nonzero(chance)]:
                end = self._paddle.path[course, -1, self.state]
                if (self._paddle.law.x[end], self._paddle.law.target[end]) == (seen.paddle_x, seen.paddle_target):
                    state, last = int(end), int(self._paddle.last[course])
                    break
        self._steps, self.state, self.last = game.steps, state, last
