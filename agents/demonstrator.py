"""The scripted expert: reads RAM, foresees the ball, plays the game to its end, says what each action costs.

It plays by search: `foresight.py` grows the tree of the ball's flights, `paddle.py` holds the paddle's exact law and
plans under it, and `pilot.py` brings the two together.

It teaches by something simpler, which pictures alone can explain. The paddle has inertia: each frame its target T moves
by 5.7 px while RIGHT or LEFT is held, and the paddle goes half the way to T. Every sequence of the next five actions is
tried under that law, so an action's *cost* is how far, in px, the best sequence that begins with it leaves the paddle
from where it should be when the ball lands.

Costs are better labels than actions are: where all three do, they say so, and where one loses the ball, too. That an
imitator should be labelled on its own states is Ross et al. (2011), "A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning" (DAgger); costs instead of actions are Ross and Bagnell (2014), AggreVaTe.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from agents.foresight import Foresight, Watch
from agents.pilot import Pilot
from agents.policy import State
from envs.breakout import FRAME_SKIP, LEARNT_ACTIONS, LEFT, NOOP, RIGHT, Actions, Bytes, Game, Mask
from envs.game_state import BALL_HEIGHT, BALL_WIDTH, PADDLE_LEFT_MOST, PADDLE_RIGHT_MOST

PADDLE_SPEED = 5.7  # px a frame that the paddle's target T moves while an action is held
TARGET_RANGE = (4.0, 194.0)  # px
PLANNED_STEPS = 5  # actions of each sequence that is tried
AIMS = (0.0, -0.25, 0.25)  # where the paddle's centre should meet the ball, in paddle widths from the ball
PROMPTNESS = 0.15  # px of cost for each px that the paddle is away from its aim on the way there, on average

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
        costs: `(B, 3, 3)` px of landing error, for each of AIMS and each of NOOP, RIGHT, LEFT.
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


class Demonstrator:
    """The scripted expert as a policy.

    Args:
        games: the games that it will be asked about, in the order of the observations' rows.
    """

    def __init__(self, games: list[Game]) -> None:
        self._foresight = Foresight()
        self._games = list(games)
        self._watches = [Watch(game, self._foresight) for game in games]
        self._pilots = [Pilot(*each, self._foresight) for each in zip(self._games, self._watches, strict=True)]

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
        self._look()
        return np.array([pilot.action() if asked else NOOP for pilot, asked in zip(self._pilots, where, strict=True)])

    def labels(self) -> Labels:
        """Judge every action in every game as it stands now."""
        watches = self._look()
        costs = self._costs_of_aims()
        landings = [watch.landing or (0, 0) for watch in watches]
        states = [watch.state for watch in watches]
        known = np.array([watch.landing is not None for watch in watches])
        half = np.array([s.paddle_width / 2 for s in states])
        return Labels(
            costs=costs * known[:, None, None],
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
        self._watches[place] = Watch(game, self._foresight)
        self._pilots[place] = Pilot(game, self._watches[place], self._foresight)

    def _look(self) -> list[Watch]:
        for game, watch in zip(self._games, self._watches, strict=True):
            if not game.over:
                watch.look()
        return self._watches

    def _costs_of_aims(self) -> Floats:
        """`(games, aims, actions)`."""
        central = np.array([watch.central_aim() for watch in self._watches])
        width = np.array([watch.state.paddle_width for watch in self._watches])
        return np.stack([self._costs(list(central + aim * width)) for aim in AIMS], axis=1)

    def _costs(self, aims: list[float]) -> Floats:
        states = [watch.state for watch in self._watches]
        return landing_costs(
            np.array([s.paddle_x for s in states], float),
            np.array([s.paddle_target for s in states], float),
            np.array([watch.landing[1] if watch.landing else 0 for watch in self._watches]),
            np.array(aims),
        )
