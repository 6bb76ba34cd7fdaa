"""Games that hold no further point are not played to the end of time.

The game never ends by itself while the ball is kept in play, and that costs hours in three cases: both walls are gone,
so that there is nothing left to hit; the console sleeps (`Game.asleep`); or a greedy agent goes round in circles (this
project's own leave them, as `agents.heads.blurred` says; others do not). Where nothing is left to chance, a game that
is in a state in which it has been before must repeat itself, because its policy does: only the frame counter tells the
rounds apart. Such games are stopped and count as truncated; their scores are those they would have at the frame cap.
"""

from __future__ import annotations

import numpy as np

from agents.policy import Policy, State
from envs.breakout import BOTH_WALLS, Actions, Bytes, Game, Mask
from envs.game_state import FRAME_COUNTER

REPEATED_STEPS = 1_500  # steps in a row (20 bounces or more) that were all seen before, until a game is called a loop


class Referee:
    """Passes a policy's actions on, and stops the games that are decided.

    Args:
        policy: who plays.
        games: what is played, in the order of the observations' rows.
        loops: stop games that repeat themselves. Only for a policy that, asked for its best action, draws no lots, in
            games without chance.
        patience: how many steps in a row have to be old ones.
    """

    def __init__(self, policy: Policy, games: list[Game], loops: bool, patience: int = REPEATED_STEPS) -> None:
        self._policy, self._games, self._loops, self._patience = policy, games, loops, patience
        self._seen: list[set[int]] = [set() for _ in games]
        self._repeated = np.zeros(len(games), np.int64)

    def predict(
        self,
        observation: Bytes,
        state: State = None,
        episode_start: Mask | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, State]:
        """See `agents.policy.Policy.predict`."""
        for place, game in enumerate(self._games):
            if not game.over and (
                game.score >= BOTH_WALLS or game.asleep or (self._loops and self._circling(place, game, state))
            ):
                game.over = game.truncated = True
        return self._policy.predict(observation, state, episode_start, deterministic)

    def _circling(self, place: int, game: Game, state: State) -> bool:
        ram = np.delete(game.ram, FRAME_COUNTER).tobytes()
        memory = b"" if state is None else b"".join(np.ascontiguousarray(array[place]).tobytes() for array in state)
        here = hash((ram, game.observation.tobytes(), memory))
        self._repeated[place] = self._repeated[place] + 1 if here in self._seen[place] else 0
        self._seen[place].add(here)
        return bool(self._repeated[place] >= self._patience)
