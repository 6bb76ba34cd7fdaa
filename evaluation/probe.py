"""What a frozen representation knows: how well ball, paddle and bricks can be read from it, held against RAM.

A linear map and a small network are fitted to the features of some games and tested on others (Alain and Bengio 2016,
"Understanding intermediate layers using linear classifier probes"; for Atari: Anand et al. 2019, "Unsupervised State
Representation Learning in Atari"). Each variable stands by itself, for a mean hides the ball. The same frames go
through an untrained encoder and through the principal components of the pixels: what those know, nobody had to learn.

Only probes read RAM here; no learner ever sees what they find. All places are pixels of the 210 x 160 screen, centres
of things. A picture is the maximum of two frames, so the truth is the mean of both frames' places.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from ale_py import ALEInterface
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor

from agents.agent import Agent, load_agent
from agents.demonstrator import Demonstrator
from agents.encoder import Encoder
from agents.files import UserError
from agents.planner import PlannerHead
from agents.policy import State
from agents.progress import Progress
from agents.rollout import play
from envs.breakout import CLASSIC, LEARNT_ACTIONS, SIDE, Actions, Bytes, Game, Mask, game_seeds
from envs.game_state import BALL_HEIGHT, BALL_WIDTH, GameState
from evaluation.evaluate import fingerprint_of
from evaluation.probed import VARIABLES, Probe, Readout, Sight

CLUMSINESS = (0.02, 0.1, 0.3, 1.0)  # chance of a random action, game by game: long rallies as well as first serves
HELD_OUT = 3  # one round of four games in so many is kept for the test
FEWEST = 120  # steps of a game at the least, or there are more features than frames
EVERY = 5  # steps between two frames: neighbours in time are nearly the same
BELOW_BRICKS = 96  # px: a ball whose centre is lower is in front of nothing
RIDGES = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)  # penalties among which the linear reader chooses
NEAR = 8.0  # px in x and in y: a reading further away is of something else
PIXELS = np.array([160, 210]) / SIDE  # of the screen, for one of a picture, across and down

Floats = npt.NDArray[np.floating[Any]]


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


def gather(seed: int, games: int, steps: int, progress: Progress) -> Frames:
    """Play `games` games of mixed play for at most `steps` steps, and keep every few frames with what the RAM says.

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

    def on_step(playing: list[Game], _: Actions) -> None:
        step = max(game.steps for game in playing)
        if step % EVERY:
            return
        progress.show(step, steps, "playing the games to probe with")
        for number, game in enumerate(playing):
            if not game.over:
                observations.append(game.observation)
                rows.append((*_truth(emulators[number].memory), number // len(CLUMSINESS) % HELD_OUT == HELD_OUT - 1))

    def make_policy(playing: list[Game]) -> _Mixed:
        for game in playing:
            emulators.append(_Emulator(game.ale))
            game.ale = cast(ALEInterface, emulators[-1])
        return _Mixed(playing, seed)

    play(make_policy, game_seeds(np.random.SeedSequence(seed), games), CLASSIC, on_step=on_step, max_steps=steps)
    truth, in_play, held_out = zip(*rows, strict=True)
    return Frames(np.stack(observations), np.array(truth), np.array(in_play), np.array(held_out))


def _truth(memory: Sequence[Bytes]) -> tuple[tuple[float, ...], bool]:
    states = [GameState.from_ram(ram) for ram in memory]
    ball_x = np.mean([s.ball_x + BALL_WIDTH / 2 for s in states])
    ball_y = np.mean([s.ball_y + BALL_HEIGHT / 2 for s in states])
    paddle_x = np.mean([s.paddle_x + s.paddle_width / 2 for s in states])
    in_play = all(s.ball_in_play for s in states)
    return (float(ball_x), float(ball_y), float(paddle_x), float(states[-1].bricks.sum())), in_play


def encode(encoder: Encoder, observations: Bytes) -> Floats:
    """Features of `(B, 4, 84, 84)` uint8 -> `(B, D)`."""
    device = encoder.linear.weight.device
    with torch.inference_mode():
        parts = [encoder(batch).features.float().cpu().numpy() for batch in _batches(observations, device)]
    return np.concatenate(parts)


def _batches(observations: Bytes, device: torch.device) -> Iterator[torch.Tensor]:
    for first in range(0, len(observations), 256):
        yield torch.from_numpy(observations[first : first + 256]).to(device)


def principal_components(frames: Frames, count: int) -> Floats:
    """Project all four pictures' pixels onto the first components of the games to fit: `(B, count)`."""
    pixels = frames.observations.reshape(len(frames.observations), -1)
    components = PCA(count, svd_solver="randomized", iterated_power=2, random_state=0)
    components.fit(pixels[~frames.held_out].astype(np.float32))
    parts = np.array_split(pixels, 8)
    return np.concatenate([components.transform(part.astype(np.float32)) for part in parts])


def read_out(features: Floats, frames: Frames) -> tuple[Readout, ...]:
    """Fit both readers to features `(B, D)` of the games to fit, and test them on the others; balls in play only."""
    fit, test = frames.in_play & ~frames.held_out, frames.in_play & frames.held_out
    truth, features = frames.truth, (features - features[fit].mean(axis=0)) / features[fit].std()
    centre, spread = truth[fit].mean(axis=0), truth[fit].std(axis=0)
    small = MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, max_iter=200, random_state=0)
    figures = []
    for reader in (RidgeCV(RIDGES), small):
        with warnings.catch_warnings():  # so many passes are the budget, not a failure
            warnings.simplefilter("ignore", ConvergenceWarning)
            reader.fit(features[fit], (truth[fit] - centre) / spread)
        error = reader.predict(features[test]) * spread + centre - truth[test]  # (B, 4)
        r2 = 1 - np.square(error).mean(axis=0) / truth[test].var(axis=0)
        figures.append((np.median(np.abs(error), axis=0).tolist(), r2.tolist()))
    (linear_error, linear_r2), (mlp_error, mlp_r2) = figures
    return tuple(Readout(*row) for row in zip(VARIABLES, linear_error, linear_r2, mlp_error, mlp_r2, strict=True))


def look(readings: Floats, head: PlannerHead, frames: Frames) -> Sight:
    """Hold a planner's readings `(B, K, 3)` against the truth.

    A slot marks its thing at a place of its own choice, the same one always: its median offset, on the games to fit
    the linear readers with, is taken off.
    """
    self_slot, world_slot = head.get_buffer("roles").tolist()
    self_sure, world_sure = head.get_buffer("thresholds").tolist()
    fit, test, place = ~frames.held_out[:, None], frames.held_out, readings[..., :2] * PIXELS
    below = frames.in_play & (frames.truth[:, 1] > BELOW_BRICKS)
    sure = readings[..., 2] > np.where(np.arange(readings.shape[1]) == self_slot, self_sure, world_sure)  # (B, K)
    ball = np.abs(_centred(place - frames.truth[:, None, :2], sure & below[:, None] & fit))  # (B, K, 2)
    paddle = np.abs(_centred(place[..., :1] - frames.truth[:, None, 2:3], sure & fit))[..., 0]  # (B, K)
    finds = sure & (ball < NEAR).all(axis=2)
    follows = sure & (paddle < NEAR)
    elsewhere = np.delete(finds, world_slot, axis=1).any(axis=1) & ~finds[:, world_slot]
    at_ball = ball[test & below & sure[:, world_slot], world_slot]
    return Sight(
        ball_x=_median(at_ball[:, 0]),
        ball_y=_median(at_ball[:, 1]),
        paddle_x=_median(paddle[test & sure[:, self_slot], self_slot]),
        found_below=float(finds[test & below, world_slot].mean()),
        found=float(finds[test & frames.in_play, world_slot].mean()),
        roles_right=(int(follows.sum(axis=0).argmax()), int(finds[below].sum(axis=0).argmax()))
        == (self_slot, world_slot),
        split=float(elsewhere[test & below].mean()),
    )


def _centred(away: Floats, where: Mask) -> Floats:
    """Take each slot's median, where `(B, K)` it counts, off `(B, K, D)`."""
    slots = range(away.shape[1])
    middle = [np.median(away[where[:, k], k], axis=0) if where[:, k].any() else 0 * away[0, k] for k in slots]
    return np.asarray(away - np.stack(middle))


def _median(errors: Floats) -> float:
    return float(np.median(errors)) if len(errors) else float("inf")


def probe(
    agents: Sequence[str | Path], seed: int = 77, games: int = 24, steps: int = 1_200, device: str = "cpu"
) -> list[Probe]:
    """Probe agents, all on the same frames, beside an untrained encoder and the pixels' principal components.

    Args:
        agents: agent files.
        seed: decides the games; they are never the judge's.
        games, steps: how many games, and the longest one in agent steps.
        device: where the encoders compute.

    Raises:
        UserError: an agent's file cannot be read, or there are too few games.
    """
    loaded = [load_agent(agent, device) for agent in agents]
    progress = Progress("probing")
    frames = gather(seed, games, steps, progress)
    controls: dict[str, dict[str, tuple[Readout, ...]]] = {}
    probes = []
    for number, (path, agent) in enumerate(zip(agents, loaded, strict=True)):
        progress.show(number, len(agents), str(path))
        width, size = agent.encoder.width, len(frames.observations)
        if width not in controls:
            controls[width] = _controls(agent.encoder, frames)
        found = {"features": read_out(encode(agent.encoder, frames.observations), frames), **controls[width]}
        probes.append(Probe(str(path), fingerprint_of(path), seed, size, games, found, _sight(agent, frames)))
    progress.close()
    return probes


def _controls(like: Encoder, frames: Frames) -> dict[str, tuple[Readout, ...]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = Encoder(like.width)
    return {
        "untrained encoder": read_out(encode(untrained, frames.observations), frames),
        "PCA of pixels": read_out(principal_components(frames, like.features_dim), frames),
    }


def _sight(agent: Agent, frames: Frames) -> Sight | None:
    if not isinstance(agent.head, PlannerHead):
        return None
    batches = _batches(frames.observations, agent.device)
    readings = np.concatenate([agent.head.read(agent.encoder, batch) for batch in batches])
    return look(readings, agent.head, frames)
