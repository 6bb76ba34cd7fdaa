"""Rollouts keep what happened, each picture once."""

import dataclasses

import numpy as np
import pytest

from agents.policy import RandomPolicy
from agents.rollout import collect, first_games, play
from envs.breakout import CLASSIC, LEFT, RIGHT, STICKY, Game, game_seeds
from envs.vector import BreakoutVecEnv


class Recorder(RandomPolicy):
    """Random, and remembers every observation it was shown."""

    def __init__(self) -> None:
        super().__init__(0)
        self.seen: list[np.ndarray] = []

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.seen.append(observation.copy())
        return super().predict(observation, state, episode_start, deterministic)


def test_stacks_come_back_exactly_across_game_ends() -> None:
    policy, env = Recorder(), BreakoutVecEnv(4, 0, CLASSIC)
    transitions = collect(policy, env, 300)
    assert transitions.over.any()
    shown = np.stack([*policy.seen, env.observation])  # (301, 4, 4, 84, 84)
    t, n = (axis.ravel() for axis in np.indices((301, 4)))
    assert (transitions.observations(t, n) == shown[t, n]).all()


def test_transitions_check_their_shapes() -> None:
    part = collect(RandomPolicy(0), BreakoutVecEnv(2, 0, CLASSIC), 5)
    with pytest.raises(ValueError, match="points"):
        dataclasses.replace(part, points=part.points[:, :1])
    with pytest.raises(ValueError, match="pictures"):
        dataclasses.replace(part, pictures=part.pictures[:-1])


def test_played_games_can_be_played_again_from_their_records() -> None:
    seeds = game_seeds(np.random.SeedSequence(3), 3)
    for record in play(lambda games: RandomPolicy(1), seeds, STICKY):
        game = Game(record.seed, STICKY)
        for action in record.actions:
            game.step(action)
        assert game.over
        assert (game.score, game.steps, game.lives) == (record.score, record.steps, record.lives_left)


@pytest.mark.parametrize("max_steps", [60, 2_000])
def test_first_games_are_those_that_play_would_play(max_steps: int) -> None:
    root = np.random.SeedSequence(3)
    scores, steps = first_games(Follower(), BreakoutVecEnv(4, root, STICKY), max_steps)
    games = play(lambda _: Follower(), game_seeds(np.random.SeedSequence(3), 4), STICKY, max_steps=max_steps)
    assert scores == [game.score for game in games]
    assert steps == sum(game.steps for game in games)
    assert len(set(scores)) > 1


class Follower:
    """Presses towards the brightest column just above the paddle's row, so that games differ in length."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        light = observation[:, -1, 40:74].max(axis=1)  # (N, 84)
        return np.where(light.argmax(axis=1) > 42, RIGHT, LEFT), state
