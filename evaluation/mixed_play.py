"""Games to look at with the RAM beside them: mixed play, from clumsy to perfect, and where everything truly is.

Only what judges reads RAM here; no learner ever sees it. All places are pixels of the 210 x 160 screen, centres of
things. A picture is the maximum of two frames, so the truth is the mean of both frames' places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from ale_py import ALEInterface

from agents.demonstrator import Demonstrator
from agents.files import UserError
from agents.policy import State
from agents.progress import Progress
from agents.rollout import play
from agents.tracker import Floats
from envs.breakout import CLASSIC, LEARNT_ACTIONS, SIDE, STACK, Actions, Bytes, Game, Mask, game_seeds
from envs.game_state import BALL_HEIGHT, BALL_WIDTH, GameState

CLUMSINESS = (0.02, 0.1, 0.3, 1.0)  # chance of a random action, game by game: long rallies as well as first serves
HELD_OUT = 3  # one round of four games in so many is kept for the test
FEWEST = 120  # steps of a game at the least, or there are more features than frames
EVERY = 5  # steps between two frames: neighbours in time are nearly the same
PIXELS = np.array([160, 210]) / SIDE  # of the screen, for one of a picture, across and down


@dataclass(frozen=True)
class Frames:
    """What is probed: B frames of mixed play.

    Attributes:
        observations: `(B, 4, 84, 84)` uint8.
        truth: `(B, 4)`, the `VARIABLES`: pixels, and bricks left.
        in_play: `(B,)` a ball is in play; else the truth of the ball means nothing.
        held_out: `(B,)` the frame's game is kept for the test.
    """

    observations: Bytes
    truth: Floats
    in_play: Mask
    held_out: Mask

    def __post_init__(self) -> None:
        if min((self.in_play & self.held_out).sum(), (self.in_play & ~self.held_out).sum()) < 60:
            raise ValueError("too few frames to probe with")


@dataclass(frozen=True)
class Film:
    """Every step of the games held out: T steps of N games, for what follows things from picture to picture.

    Attributes:
        pictures: `(T, N, 84, 84)` uint8, each once.
        truth: `(T, N, 4)`, as in `Frames`.
        in_play: `(T, N)` the game goes on, and a ball is in play.
    """

    pictures: Bytes
    truth: Floats
    in_play: Mask

    def observation(self, t: int) -> Bytes:
        """Stack what the games showed at step `t`, `(N, 4, 84, 84)`; before the first picture it was black."""
        stack = np.zeros((self.pictures.shape[1], STACK, SIDE, SIDE), np.uint8)
        shown = self.pictures[max(0, t + 1 - STACK) : t + 1].swapaxes(0, 1)
        stack[:, STACK - shown.shape[1] :] = shown
        return stack


class _Mixed:
    """The demonstrator, in each game with another share of random actions."""

    def __init__(self, games: list[Game], seed: int) -> None:
        self._demonstrator = Demonstrator(games)
        self._chance = np.resize(CLUMSINESS, len(games))
        self._generator = np.random.default_rng(seed)

    def predict(
        self, observation: Bytes, state: State = None, episode_start: Mask | None = None, deterministic: bool = True
    ) -> tuple[Actions, State]:
        random = self._generator.random(len(observation)) < self._chance
        actions = self._demonstrator.actions(~random)
        return np.where(random, self._generator.choice(LEARNT_ACTIONS, len(observation)), actions), None


class _Emulator:
    """An emulator that remembers the RAM of its last two frames."""

    def __init__(self, ale: Any) -> None:
        self._ale = ale
        self.memory = [ale.getRAM()] * 2

    def act(self, action: Any) -> float:
        reward: float = self._ale.act(action)
        self.memory = [self.memory[1], self._ale.getRAM()]
        return reward

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ale, name)


def gather(seed: int, games: int, steps: int, progress: Progress) -> tuple[Frames, Film]:
    """Play `games` games of mixed play for at most `steps` steps, and keep frames with what the RAM says.

    Raises:
        UserError: too few games or steps for both fitting and testing.
    """
    least = HELD_OUT * len(CLUMSINESS)
    if games < least:
        raise UserError(f"--games {games}: a probe is fitted and tested on different games; give at least {least}")
    if steps < FEWEST:
        raise UserError(f"--steps {steps}: too few frames to fit a probe to; give at least {FEWEST}")
    observations: list[Bytes] = []
    emulators: list[_Emulator] = []
    rows: list[tuple[tuple[float, ...], bool, bool]] = []
    held_out = np.arange(games) // len(CLUMSINESS) % HELD_OUT == HELD_OUT - 1
    on_film = np.flatnonzero(held_out)
    pictures: list[Bytes] = []
    filmed: list[list[tuple[tuple[float, ...], bool]]] = []

    def on_step(playing: list[Game], _: Actions) -> None:
        step = max(game.steps for game in playing)
        progress.show(step, steps, "playing the games to probe with")
        truths = [_truth(emulator.memory) for emulator in emulators]
        pictures.append(np.stack([playing[number].observation[-1] for number in on_film]))
        filmed.append([(truths[number][0], truths[number][1] and not playing[number].over) for number in on_film])
        for number, game in enumerate(playing):
            if step % EVERY == 0 and not game.over:
                observations.append(game.observation)
                rows.append((*truths[number], bool(held_out[number])))

    def make_policy(playing: list[Game]) -> _Mixed:
        for game in playing:
            emulators.append(_Emulator(game.ale))
            game.ale = cast(ALEInterface, emulators[-1])
        return _Mixed(playing, seed)

    play(make_policy, game_seeds(np.random.SeedSequence(seed), games), CLASSIC, on_step=on_step, max_steps=steps)
    truth, in_play, test = zip(*rows, strict=True)
    film_truth, film_in_play = ([[cell[part] for cell in row] for row in filmed] for part in (0, 1))
    return (
        Frames(np.stack(observations), np.array(truth), np.array(in_play), np.array(test)),
        Film(np.stack(pictures), np.array(film_truth), np.array(film_in_play)),
    )


def _truth(memory: Sequence[Bytes]) -> tuple[tuple[float, ...], bool]:
    states = [GameState.from_ram(ram) for ram in memory]
    ball_x = np.mean([s.ball_x + BALL_WIDTH / 2 for s in states])
    ball_y = np.mean([s.ball_y + BALL_HEIGHT / 2 for s in states])
    paddle_x = np.mean([s.paddle_x + s.paddle_width / 2 for s in states])
    in_play = all(s.ball_in_play for s in states)
    return (float(ball_x), float(ball_y), float(paddle_x), float(states[-1].bricks.sum())), in_play
