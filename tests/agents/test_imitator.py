"""The imitator's ways of playing, its mirror, and the aims that lead out of endless games."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from agents import belief
from agents.agent import Agent
from agents.demonstrator import Demonstrator
from agents.encoder import Encoder, mirror
from agents.heads import CIRCLING, MIRRORED_ORDER
from agents.imitator import (
    AIM_STEPS,
    MIDDLE,
    PATIENCE,
    REACH,
    WALL_STEPS,
    ImitatorHead,
    Plays,
    aim_after,
    believe,
    mirrored_logits,
    mirrored_reading,
)
from envs.breakout import CLASSIC, FIRE, LEARNT_ACTIONS, LEFT, RIGHT, Game
from paradigms.supervised.gather import Field
from paradigms.supervised.labelled import reading_targets


def agent(plays: Plays) -> Agent:
    torch.manual_seed(3)
    encoder = Encoder("small")
    return Agent(encoder, ImitatorHead(encoder.features_dim, plays), "supervised")


def test_the_aim_is_the_centre_until_nothing_is_won_any_more() -> None:
    assert aim_after(np.arange(PATIENCE)).max() == 0
    later = aim_after(np.arange(PATIENCE, PATIENCE + 400))
    assert set(later) == {1, 2}
    assert not np.diff(later.reshape(-1, AIM_STEPS)).any(), "an aim is kept for a while"


def test_the_order_of_the_aims_never_repeats_three_times() -> None:
    spells = aim_after(PATIENCE + AIM_STEPS * np.arange(512))
    for period in range(1, 120):
        thrice = (spells[: -2 * period] == spells[period:-period]) & (spells[period:-period] == spells[2 * period :])
        runs = np.convolve(thrice, np.ones(period), "valid")
        assert runs.max(initial=0) < period, f"a loop of {period} spells could go on"


def test_a_mirror_exchanges_sides_and_directions_and_twice_is_nothing() -> None:
    logits = torch.arange(18.0).reshape(2, 3, 3)
    mirrored = mirrored_logits(logits)
    assert mirrored[0, 1].tolist() == logits[0, 2, [0, 2, 1]].tolist()
    torch.testing.assert_close(mirrored_logits(mirrored), logits)


@pytest.mark.parametrize("plays", get_args(Plays))
def test_in_a_mirror_it_does_the_mirror_image(plays: Plays) -> None:
    player = agent(plays)
    with torch.no_grad():
        player.head.reading.weight *= 100  # an untrained network's readings are all in the middle
    game, generator = Game(5, CLASSIC), np.random.default_rng(0)
    seen = []
    for _ in range(40):
        game.step(int(generator.integers(4)))
        seen.append(game.observation)
    pictures = np.stack(seen)
    actions, _ = player.predict(pictures)
    in_a_mirror, _ = player.predict(mirror(pictures))
    exchanged = np.array([0, 1, 3, 2])[actions]
    # Where two actions are worth nearly the same, the law's own places for the paddle decide: they are not symmetric.
    assert (in_a_mirror == exchanged).mean() > (0.7 if plays == "landing" else 0.9)


def test_with_a_perfect_reading_the_controller_does_what_the_demonstrator_does() -> None:
    games = [Game(seed, CLASSIC) for seed in (2, 4, 6, 8)]
    demonstrator, generator = Demonstrator(games), np.random.default_rng(1)
    same, centre, state = [], np.zeros(len(games), np.int64), None
    for step in range(120):
        said = demonstrator.labels()
        best = said.costs[:, 0].argmin(axis=1)
        beliefs = believe(reading_targets(said).astype(float), state, np.full(len(games), step == 0))
        read = belief.costs(*beliefs, centre)
        regret = np.take_along_axis(said.costs[:, 0], read.argmin(axis=1)[:, None], axis=1)[:, 0] - said.costs[
            :, 0
        ].min(1)
        same += (regret < 0.5)[said.known].tolist()
        last = np.where(generator.random(len(games)) < 0.2, generator.integers(3, size=len(games)), best)
        for game, action in zip(games, last, strict=True):
            game.step(LEARNT_ACTIONS[action])
        last = np.array([LEARNT_ACTIONS.index(game.action) if game.action != FIRE else 0 for game in games])
        state = (last, last, *beliefs)
    assert len(same) > 200
    assert np.mean(same) > 0.9, "to half a pixel: it takes no reading for perfect, nor the centre for all that counts"


def test_where_nothing_is_won_for_long_and_nothing_repeated_it_goes_to_a_wall_and_back() -> None:
    player = agent("landing")
    assert isinstance(player.head, ImitatorHead)
    with torch.no_grad():
        player.head.reading.weight.zero_()
        player.head.reading.bias.zero_()  # ball, paddle and T in the middle
    games = 2 * WALL_STEPS
    pictures = np.random.default_rng(0).integers(256, size=(1, 4, 84, 84), dtype=np.uint8)
    pictures[:, 3, :20] = pictures[:, 2, :20]  # the score stands, and something flies
    beliefs, falls = belief.unknown(games)
    dry, start = CIRCLING + np.arange(games), np.zeros(games, np.bool_)
    for frames, repeats, goes in ((1.0, 0, True), (0.5, 0, False), (1.0, 1, False)):
        with torch.no_grad():
            player.head.reading.bias[5] = frames
        believed = beliefs.copy()
        believed[:, 1 - repeats] *= 1e3
        state = (dry, np.zeros(games, np.int64), believed, falls)
        actions, _ = player.predict(np.repeat(pictures, games, axis=0), state, start)
        assert (set(actions) == {LEFT, RIGHT}) == goes
        assert not goes or (np.diff(actions) != 0).sum() <= 2, "each wall for a while"


def test_the_mirror_holds_but_for_the_dead_zone_behind_the_right_wall() -> None:
    """The paddle can be drawn to 194 px on the right and 4 px on the left, so near that wall a mirror would lie."""
    states, _, _ = Field(4, np.random.SeedSequence(3)).gather(None, 1_500)
    reading = torch.from_numpy(states.reading).double()
    plain, mirrored = (
        belief.costs(*believe(seen.numpy(), None, np.ones(len(seen), np.bool_)), np.zeros(len(seen), np.int64))
        for seen in (reading, mirrored_reading(reading))
    )
    mirrored = mirrored[:, MIRRORED_ORDER]
    regret = np.take_along_axis(plain, mirrored.argmin(axis=1)[:, None], axis=1)[:, 0] - plain.min(axis=1)
    target = states.reading[:, 2] * REACH + MIDDLE
    inside = target < 130
    assert inside.mean() > 0.8
    assert (regret[inside] < 2).mean() > 0.98, "a label's image is as good as the label, to two pixels of landing"
    assert regret[~inside].mean() > 3 * regret[inside].mean(), "but not there"


def test_dry_steps_are_counted_by_the_score_in_the_picture() -> None:
    player, game = agent("actions"), Game(0, CLASSIC)
    demonstrator, state = Demonstrator([game]), None
    scored, reset = [], []
    for t in range(150):
        _, state = player.predict(game.observation[None], state, np.array([t == 0]))
        assert state is not None
        if t and state[0][0] == 0:
            reset.append(t)
        if game.step(int(demonstrator.predict(game.observation[None])[0][0])):
            scored.append(t)
    assert len(scored) >= 2
    assert all({t + 1, t + 2} & set(reset) for t in scored if t < 148), (
        "the digits change a picture or two after the points"
    )
    assert all({t - 1, t - 2} & set(scored) for t in reset), "and at no other time"
