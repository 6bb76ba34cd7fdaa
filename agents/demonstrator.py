"""The scripted expert: reads RAM, foresees the ball, plays the game to its end, says what each action costs.

It plays by search: `foresight.py` grows the tree of the ball's flights, `paddle.py` holds the paddle's exact law and
plans under it, and `pilot.py` brings the two together.

It teaches by something simpler, which pictures alone can explain: where the ball will land, and how many px of error
each action costs there (`costs.py`).

Costs are better labels than actions are: where all three do, they say so, and where one loses the ball, too. That an
imitator should be labelled on its own states is Ross et al. (2011), "A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning" (DAgger); costs instead of actions are Ross and Bagnell (2014), AggreVaTe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.costs import expected_costs
from agents.foresight import Foresight, Watch
from agents.paddle import Hand, paddle_under
from agents.pilot import Pilot
from agents.policy import State
from envs.breakout import LEARNT_ACTIONS, NOOP, STICKY, Actions, Bytes, Game, Mask
from envs.game_state import BALL_HEIGHT, BALL_WIDTH

AIMS = (0.0, -0.25, 0.25)  # where the paddle's centre should meet the ball, in paddle widths from the ball

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """What the demonstrator says about B states. All places across are those of centres: 160 - x in a mirror.

    Attributes:
        costs: `(B, 3, 3)` px of expected landing error, for each of AIMS and each of NOOP, RIGHT, LEFT.
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
        self._hands = [Hand(paddle_under(STICKY.sticky)) for _ in games]
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
        landings = [watch.landing or (0, 0) for watch in watches]
        states = [watch.state for watch in watches]
        known = np.array([watch.landing is not None for watch in watches])
        half = np.array([s.paddle_width / 2 for s in states])
        return Labels(
            costs=self._costs(),
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
        self._hands[place] = Hand(paddle_under(STICKY.sticky))
        self._pilots[place] = Pilot(game, self._watches[place], self._foresight)

    def _look(self) -> list[Watch]:
        for game, watch, hand in zip(self._games, self._watches, self._hands, strict=True):
            if not game.over:
                watch.look()
                hand.look(game, watch.state)
        return self._watches

    def _costs(self) -> Floats:
        """`(games, aims, actions)`; 0 where no landing is foreseen."""
        costs = np.zeros((len(self._games), len(AIMS), len(LEARNT_ACTIONS)))
        for place, (watch, hand) in enumerate(zip(self._watches, self._hands, strict=True)):
            if watch.landing is not None:
                for number, aim in enumerate(AIMS):
                    left = watch.central_aim() + aim * watch.state.paddle_width
                    costs[place, number] = expected_costs(hand.last, hand.state, max(watch.landing[1], 1), left)
        return costs
