"""The game is the same game for everybody, whichever path it is played on."""

from contextlib import closing

import numpy as np
import pytest

from envs.breakout import (
    ALL_ACTIONS,
    CLASSIC,
    FIRE,
    LEARNT_ACTIONS,
    LEFT,
    NOOP,
    PROTOCOLS,
    RIGHT,
    STICKY,
    Game,
    Protocol,
    ball_must_be_served,
    game_seeds,
    score_changed,
)
from envs.vector import BreakoutVecEnv


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_plain_games_see_bit_for_bit_what_the_native_vector_env_sees(protocol: Protocol) -> None:
    env = BreakoutVecEnv(3, 11, protocol)
    observation = env.reset()
    games = [Game(int(seed), protocol) for seed in env.seeds]
    generator = np.random.default_rng(0)
    for n, game in enumerate(games):
        assert (observation[n] == game.observation).all()
    while not all(game.over for game in games):
        actions = generator.integers(0, 4, 3)
        observation, rewards, dones, infos = env.step(actions)
        for n, game in enumerate(games):
            if game.over:
                continue
            assert game.step(int(actions[n])) == rewards[n]
            assert game.action == env.taken[n]
            assert game.over == dones[n]
            seen = infos[n].get("terminal_observation", observation[n])  # the last picture of a game included
            assert (seen == game.observation).all()
            if game.over:
                assert (infos[n]["episode"]["r"], infos[n]["episode"]["l"]) == (game.score, game.steps)
    env.close()


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_fire_is_pressed_until_the_ball_flies_and_never_while_it_can_be_caught(protocol: Protocol) -> None:
    for seed in range(3):
        game = Game(seed, protocol)
        waiting = 0
        while not game.over:
            ball_y = int(game.ram[101])  # 0: no ball in play
            served = bool(ball_must_be_served(game.observation))
            waiting = waiting + 1 if ball_y == 0 else 0
            assert waiting < 12, "an agent that never presses FIRE must not wait for ever"
            if served and ball_y:
                assert ball_y + 9 >= 185, "the ball is still above the paddle's top, yet FIRE replaced the action"
            game.step(NOOP)
        assert game.lives == 0


def test_learners_rewards_are_clipped_beside_the_whole_score(monkeypatch: pytest.MonkeyPatch) -> None:
    env = BreakoutVecEnv(8, 0, CLASSIC, actions=LEARNT_ACTIONS, clip_rewards=True, life_loss_ends=True)
    env.reset()
    (slots,) = env._slots
    receive = slots._native.recv

    def every_brick_is_worth_four_times_as_much() -> tuple[object, ...]:  # random play rarely meets the dear ones
        observation, points, *rest = receive()
        return observation, 4 * points, *rest

    monkeypatch.setattr(slots._native, "recv", every_brick_is_worth_four_times_as_much)
    generator = np.random.default_rng(1)
    points, lost, most, ended = np.zeros(8), 0, 0.0, 0
    for _ in range(250):
        _, rewards, dones, infos = env.step(generator.integers(0, 3, 8))
        assert set(np.unique(rewards)) <= {0.0, 1.0}
        assert (rewards == np.sign(env.points)).all()
        points += env.points
        lost += int(env.life_lost.sum())
        most = max(most, env.points.max())
        assert (dones == env.life_lost).all()
        for n, info in enumerate(infos):
            if "episode" in info:
                ended += 1
                assert info["episode"]["r"] == points[n]
                points[n] = 0
    assert ended > 0
    assert lost > 4 * ended, "every game has five lives"
    assert most >= 4
    env.close()


def test_seeds_never_coincide_and_the_judges_are_disjoint_from_training() -> None:
    root = np.random.SeedSequence(5)
    training, judge = game_seeds(root, 500), game_seeds(root, 500, judge=True)
    assert len({*training, *judge}) == 1000
    assert {seed % 2 for seed in training} == {0}
    assert {seed % 2 for seed in judge} == {1}


def test_a_game_is_its_seed_and_its_actions() -> None:
    def end(seed: int) -> tuple[int, int]:
        game, generator = Game(seed, PROTOCOLS["sticky"]), np.random.default_rng(3)
        while not game.over:
            game.step(int(generator.integers(0, 4)))
        return game.score, game.steps

    assert end(7) == end(7)
    assert len({end(seed) for seed in (7, 8, 9)}) > 1


def test_the_frame_cap_truncates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.breakout.MAX_FRAMES", 40)
    game = Game(1, CLASSIC)
    while not game.over:
        game.step(LEFT)
    assert (game.truncated, game.frames, game.steps) == (True, 40, 10)


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="seed"):
        Game(-1, CLASSIC)
    game = Game(1, CLASSIC)
    with pytest.raises(ValueError, match="action"):
        game.step(4)
    while not game.over:
        game.step(FIRE)
    with pytest.raises(RuntimeError, match="over"):
        game.step(NOOP)


def test_wrong_actions_are_refused_side_by_side_too() -> None:
    with closing(BreakoutVecEnv(2, 0, CLASSIC)) as env:
        env.reset()
        with pytest.raises(ValueError, match="actions must be"):
            env.step(np.array([0, -1]))


def test_games_can_be_seeded_anew() -> None:
    with closing(BreakoutVecEnv(2, 0, STICKY)) as env, closing(BreakoutVecEnv(2, 5, STICKY)) as other:
        env.reset()
        env.step(np.array([RIGHT, LEFT]))
        assert env.seed(5) == other.seeds.tolist()
        np.testing.assert_array_equal(env.reset(), other.reset())
        for _ in range(40):
            ours, theirs = env.step(np.array([RIGHT, LEFT])), other.step(np.array([RIGHT, LEFT]))
            np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize("dance", [(RIGHT, LEFT), (RIGHT, RIGHT, LEFT, LEFT), (RIGHT, NOOP, LEFT, NOOP)])
def test_a_paddle_that_never_rests_is_served_all_the_same(dance: tuple[int, ...]) -> None:
    game = Game(1, CLASSIC)
    while not game.over and game.steps < 1000:
        game.step(dance[game.steps % len(dance)])
    assert game.over


def test_games_that_cannot_be_copied_are_rebuilt_and_go_on_as_they_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.slots.RENEWAL", 250)
    protocols = [CLASSIC] * 3 + [STICKY] * 3
    env = BreakoutVecEnv(6, 3, protocols, actions=LEARNT_ACTIONS)
    first = env.seeds
    env.reset()
    actions = np.random.default_rng(5).integers(3, size=(1_300, 6))
    actions[:, [0, 3]] = 0  # whoever stands still loses sooner, so the slots come to differ
    for row in actions[:900]:
        env.step(row)
    state = env.state()
    classic, sticky = state["slots"]
    assert len(set(classic["begun"])) > 1
    assert set(sticky["begun"]) == {1}
    assert (env.seeds[:3] == first[:3]).all()
    assert (env.seeds[3:] != first[3:]).any()
    assert sticky["steps"].max() > env._steps[3:].max(), "the end of a game is repeated too"
    again = BreakoutVecEnv(6, 999, protocols, actions=LEARNT_ACTIONS)
    again.restore(state)
    ended = np.zeros(6, np.int64)
    for row in actions[900:]:  # over the ends of games, and what is drawn for the next ones
        observation, rewards, dones, infos = env.step(row)
        observation_again, rewards_again, dones_again, infos_again = again.step(row)
        assert (observation == observation_again).all()
        assert (rewards == rewards_again).all()
        assert (dones == dones_again).all()
        assert (env.life_lost == again.life_lost).all()
        ends = [
            [(info["episode"]["r"], info["episode"]["l"]) for info in both if "episode" in info]
            for both in (infos, infos_again)
        ]
        assert ends[0] == ends[1]
        ended += dones
    assert (ended[:3].any(), ended[3:].any()) == (True, True)
    assert (env.seeds == again.seeds).all()
    with pytest.raises(ValueError, match="differently"):
        again.restore(state | {"slots": [classic | {"actions": classic["actions"][::-1].copy()}, sticky]})
    for each in (env, again):
        each.close()


def test_every_slot_needs_a_protocol() -> None:
    with pytest.raises(ValueError, match="3 slots need as many protocols, got 2"):
        BreakoutVecEnv(3, 0, [CLASSIC, STICKY])


def test_the_digits_tell_of_points_and_a_ball_at_the_ceiling_does_not() -> None:
    game, changed = Game(0, CLASSIC), []
    while game.score == 0:
        game.step(int(np.random.default_rng(game.steps).choice(ALL_ACTIONS)))
        if game.over:
            game = Game(game.seed + 2, CLASSIC)
        changed.append(bool(score_changed(game.observation)))
    game.step(NOOP)
    assert changed[-1] or score_changed(game.observation), "the first point shows at once or a picture later"
    high = game.observation.copy()
    high[:] = high[-1]
    assert not score_changed(high)
    high[-1, 8:13, 40] = 200  # below the ceiling, where the ball turns
    assert not score_changed(high)
