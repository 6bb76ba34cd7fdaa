"""The planner: on a toy game that it has only watched, it finds who is who, and catches."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from agents import tracker
from agents.agent import Agent, load_agent
from agents.encoder import Encoder
from agents.keypoints import KeypointHead
from agents.planner import PlannerHead
from agents.plans import AIMS, ELSEWHERE, KINDS, OFFSETS, TIMES, aim_after
from envs.breakout import LEARNT_ACTIONS
from paradigms.unsupervised.count import build, count_cells, kinds_of_fall
from paradigms.unsupervised.explore import Experience
from paradigms.unsupervised.insight import Landings, find_landings, find_roles, next_true

WORLD, SELF, NOISE = 0, 1, 2  # slots of the toy
REACH = 4.0  # pixels: the toy's paddle catches what lands no further from its middle


class Toy:
    """A thing falls from y = 40 at 3 px a step; at y = 76 it is caught or costs a life. Self moves 4 px a step."""

    def __init__(self, games: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.self_x = np.full(games, 40.0)
        self.x, self.y = self.random.uniform(10, 70, games), np.full(games, 40.0)
        self.dx = self.random.uniform(-1, 1, games)

    def readings(self) -> tracker.Floats:
        readings = np.ones((len(self.x), 3, 3), np.float32)
        readings[:, WORLD, :2] = np.stack([self.x, self.y], axis=1)
        readings[:, SELF, :2] = np.stack([self.self_x, np.full_like(self.x, 76)], axis=1)
        readings[:, NOISE, :2] = self.random.uniform(0, 80, (len(self.x), 2))
        readings[..., 2] = self.random.uniform(0.8, 1, readings.shape[:2])
        return readings

    def step(self, actions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Move; tell where a life was lost."""
        self.self_x = np.clip(self.self_x + 4 * (actions == 2) - 4 * (actions == 3), 0, 80)
        self.x, self.y = self.x + self.dx, self.y + 3
        down = self.y > 75
        lost = down & (np.abs(self.x - self.self_x) > REACH)
        self.x = np.where(down, self.random.uniform(10, 70, len(self.x)), self.x)
        self.dx = np.where(down, self.random.uniform(-1, 1, len(self.x)), self.dx)
        self.y = np.where(down, 40, self.y)
        return lost


def watch(steps: int = 1200, games: int = 8) -> Experience:
    toy = Toy(games, seed=0)
    readings = np.empty((steps, games, 3, 3), np.float32)
    taken, lost = np.empty((steps, games), np.int64), np.empty((steps, games), np.bool_)
    for t in range(steps):
        readings[t], taken[t] = toy.readings(), toy.random.choice(LEARNT_ACTIONS, games)
        lost[t] = toy.step(taken[t])
    over = np.zeros_like(lost)
    over[-1] = True
    return Experience(readings, taken, np.zeros((steps, games), np.float32), lost, over)


@pytest.fixture(scope="module")
def head() -> PlannerHead:
    experience = watch()
    roles = find_roles(experience)
    assert (roles.self_slot, roles.world_slot) == (SELF, WORLD)
    planner, _ = build(experience, roles, KeypointHead("small", 3), cells=40, seed=0)
    return planner


def test_a_landing_within_a_step_finds_self_on_the_way() -> None:
    head = PlannerHead("small", 2, memories=0, cells=2, transitions=6)
    contents = {
        "cells": [[[20.0, 0.0], [30.0, 0.0]]] * 3,
        "transitions": [[action, cell, 1 if action == 1 else cell] for action in range(3) for cell in range(2)],
        "probabilities": [1.0] * 6,  # RIGHT: to 30; else it stays
        "returns": np.tile(np.exp(-(OFFSETS**2)), (KINDS, 1)),  # only what lands on self comes back
    }
    for name, content in contents.items():
        head.get_buffer(name).copy_(torch.as_tensor(np.array(content)))
    table = dict(zip(TIMES.tolist(), head.plans.table(-1)[:, :, 0, 0], strict=True))  # from 20: (actions, landings)
    assert table[0][1].argmax() == 20, "no time to move"
    assert table[0.5][1].argmax() == 25, "half a step"
    assert table[1][1].argmax() == 30, "a whole step"
    assert table[1][0].argmax() == 20
    sure = table[0][0, 20]
    assert table[1.5][0, [20, 25]] == pytest.approx([sure, sure]), "there is time to go half of the way later"
    later = table[2][0, [20, 30]]
    assert later == pytest.approx([later[0]] * 2) and 0 < later[0] < sure, "by then it may land elsewhere"


def test_coming_back_elsewhere_than_from_the_aim_is_worth_less_but_far_more_than_a_miss(head: PlannerHead) -> None:
    anywhere, aimed = head.plans.table(-1)[0, 0], head.plans.table(2)[0, 0]  # (cells, KINDS, landings)
    sure = anywhere > 0.9
    share = aimed[sure] / anywhere[sure]
    assert share.min() == pytest.approx(ELSEWHERE, abs=0.05) and share.max() > 0.98


@pytest.mark.parametrize("falls", [0, 50])
def test_falls_of_fewer_speeds_than_kinds_are_all_of_one(falls: int) -> None:
    zero = np.zeros(falls)
    velocity = np.tile([[1.0, 2.0], [-1.0, 2.0]], (falls // 2, 1))
    landings = Landings(zero, zero.astype(int), zero, velocity, zero, zero > 0, zero)
    assert kinds_of_fall(landings, seed=0).tolist() == [0] * falls


def test_time_costs_nothing() -> None:
    """What followed an action adds up to one, though rare followers are left out: else to wait would lose value."""
    random, (steps, games, cells) = np.random.default_rng(0), (3_000, 8, 200)
    taken = random.choice(LEARNT_ACTIONS, (steps, games))
    readings, none = np.zeros((steps, games, 1, 3), np.float32), np.zeros((steps, games), np.bool_)
    over = none.copy()
    over[-1] = True
    experience = Experience(readings, taken, none.astype(np.float32), none, over)
    states = np.stack([tracker.unknown(games)] * steps)
    states[..., tracker.SELF_X] = random.normal(40, 4, (steps, games))  # almost anything follows anything
    states[1:, :, tracker.LAST] = tracker.CODES[taken[:-1]]
    _, transitions, probabilities = count_cells(states, experience, cells, seed=0)
    mass = np.bincount(transitions[:, 0] * 3 * cells + transitions[:, 1], probabilities)
    assert len(transitions) < 0.8 * 9 * cells * cells, "some were too rare"
    assert mass.min() > 0.999 and mass.max() < 1.001


def catches(head: PlannerHead | None) -> float:
    """Share of the falls that are caught, over 150 steps of 8 games."""
    toy, state = Toy(8, seed=1), tracker.unknown(8)
    start, lost, falls = np.ones(8, np.bool_), 0, 0
    for _ in range(150):
        readings = toy.readings()
        actions = toy.random.choice(LEARNT_ACTIONS, 8)
        if head is not None:
            state = tracker.track(state, readings[:, SELF], readings[:, WORLD], head.plans.thresholds * 0, start)
            choice = head.plans.values(state).argmax(axis=1)
            state[:, tracker.LAST], actions = choice, np.asarray(LEARNT_ACTIONS)[choice]
        lost += int(toy.step(actions).sum())
        falls += int((toy.y == 40).sum())
        start[:] = False
    return 1 - lost / falls


def test_planning_on_counts_catches_what_random_play_misses(head: PlannerHead) -> None:
    assert catches(None) < 0.4
    assert catches(head) > 0.85


def test_values_promise_nothing_for_what_was_never_tried(head: PlannerHead) -> None:
    untried = PlannerHead(**head.settings())
    untried.load_state_dict(head.state_dict())
    right = untried.get_buffer("transitions")[:, 0] == 1
    untried.get_buffer("probabilities")[right] = 0
    state = tracker.unknown(1)
    state[0, [tracker.SELF_X, tracker.WORLD_X, tracker.WORLD_Y, tracker.WORLD_DY, tracker.UNSEEN]] = 29, 40, 70, 3, 0
    assert head.plans.values(state).argmax() == 1  # the thing lands to the right
    assert untried.plans.values(state)[0, 1] == 0


def test_aims_are_taken_equally_often_in_an_order_that_never_repeats() -> None:
    aims = aim_after(np.arange(AIMS**4))
    assert (np.bincount(aims) == AIMS**3).all()
    assert all((aims[period:] != aims[:-period]).any() for period in range(1, len(aims) // 2))


def test_hindsight_sees_the_toys_own_rule() -> None:
    experience = watch(steps=600)
    states = tracker.track_all(
        experience.readings, experience.taken, experience.over, (SELF, WORLD), np.zeros(2, np.float32)
    )
    landings = find_landings(states, experience, line=76.0)
    assert len(landings.x) > 300
    rule = np.abs(landings.offset) <= REACH
    assert (rule == landings.returned).mean() > 0.95


def test_a_slow_fall_read_with_errors_is_found_once_and_lands_where_it_crossed_the_line() -> None:
    random, steps, games = np.random.default_rng(0), 17, 200
    t = np.arange(steps)[:, None] - 8  # the line is crossed at time 8 + share; what is read then shows half the bounce
    share = random.random(games)
    height = np.where(t <= share, 76 + 2 * (t - share), 76 - 2 * (t - share))  # (T, N)
    readings = np.full((steps, games, 2, 3), 0.9, np.float32)
    readings[:, :, 0, 0] = readings[:, :, 0, 1] = 40
    readings[:, :, 1, 0] = 40 + 1.5 * (t - share) + random.uniform(-0.3, 0.3, (steps, games))
    readings[:, :, 1, 1] = height + random.uniform(-0.3, 0.3, (steps, games))
    nothing = np.zeros((steps, games), np.bool_)
    over, lost = nothing.copy(), nothing.copy()
    over[-1] = lost[-1] = True
    experience = Experience(readings, np.zeros((steps, games), np.int64), nothing.astype(np.float32), lost, over)
    parting = np.zeros(2, np.float32)
    states = tracker.track_all(readings, experience.taken, over, (0, 1), parting)
    landings = find_landings(states, experience, line=76.0)
    assert sorted(landings.game) == list(range(games))
    assert np.abs(landings.x - 40).mean() < 0.7
    assert np.abs(landings.time - 8 - share[landings.game]).mean() < 0.4


def test_a_fall_that_turns_back_at_an_edge_lands_where_it_came_down() -> None:
    random, steps, games = np.random.default_rng(1), 12, 600
    t = np.arange(steps)[:, None]
    speed, begin = random.choice([-4.0, 4.0], games), random.uniform(5, 75, games)

    def between_edges(x: tracker.Floats) -> tracker.Floats:
        return np.asarray(np.where(x < 4, 8 - x, np.where(x > 77, 154 - x, x)))

    readings = np.full((steps, games, 2, 3), 0.9, np.float32)
    readings[:, :, 0, :2] = 40
    readings[:, :, 1, 0] = between_edges(begin + speed * t)
    readings[:, :, 1, 1] = 32 + 5 * t  # down to 76 after 8.8 steps, and on
    nothing = np.zeros((steps, games), np.bool_)
    over, lost = nothing.copy(), nothing.copy()
    over[-1] = lost[-1] = True
    experience = Experience(readings, np.zeros((steps, games), np.int64), nothing.astype(np.float32), lost, over)
    states = tracker.track_all(readings, experience.taken, over, (0, 1), np.zeros(2, np.float32))
    landings = find_landings(states, experience, line=76.0)
    true = between_edges(begin + 8.8 * speed)[landings.game]
    turned = np.abs(begin + 8.8 * speed - between_edges(begin + 8.8 * speed))[landings.game] > 0
    turned &= np.abs(begin + 7 * speed - between_edges(begin + 7 * speed))[landings.game] == 0  # in the last two steps
    assert turned.sum() > 20
    assert np.abs(landings.x - true)[turned].mean() < 1
    assert np.abs(landings.x - true)[~turned].mean() < 0.3


def test_the_velocity_of_a_straight_flight_is_steadier_than_its_readings_and_a_bounce_is_taken_at_once() -> None:
    state, start, parting = tracker.unknown(1), np.ones(1, np.bool_), np.zeros(2, np.float32)
    here, speeds = np.array([[40, 76, 0.9]], np.float32), []
    for t in range(12):
        error = 0.4 * (-1) ** t
        state = tracker.track(state, here, np.array([[20 + 2 * t, 20 + 2 * t + error, 0.9]]), parting, start)
        start[:] = False
        speeds.append(state[0, tracker.WORLD_DY])
    assert np.abs(np.array(speeds[6:]) - 2).max() < 0.5  # readings differ by 2 - 0.8 and 2 + 0.8
    bounced = tracker.track(state, here, np.array([[40, 42 - 2.4, 0.9]]), parting, start)
    assert bounced[0, tracker.WORLD_DX] == -2


def test_next_true_by_hand() -> None:
    mask = np.array([[0], [1], [0], [0], [1], [0]], np.bool_)
    assert next_true(mask)[:, 0].tolist() == [1, 1, 4, 4, 4, 12]


def test_unseen_and_still_things_keep_their_place() -> None:
    state = tracker.unknown(1)
    start, both = np.ones(1, np.bool_), np.array([0.5, 0.5], np.float32)
    here = np.array([[40, 76, 0.9]], np.float32)
    for x, y in ((30, 50), (31, 53)):
        state = tracker.track(state, here, np.array([[x, y, 0.9]], np.float32), both, start)
        start[:] = False
    assert state[0, [tracker.WORLD_DX, tracker.WORLD_DY, tracker.UNSEEN]].tolist() == [1, 3, 0]
    still = tracker.track(state, here, np.array([[31, 53, 0.9]], np.float32), both, start)
    unsure = tracker.track(state, here, np.array([[60, 20, 0.1]], np.float32), both, start)
    for after in (still, unsure):
        assert after[0, [tracker.WORLD_X, tracker.WORLD_Y, tracker.UNSEEN]].tolist() == [31, 53, 1]


def test_a_faint_reading_counts_only_where_the_thing_was_heading() -> None:
    state, start, both = tracker.unknown(1), np.ones(1, np.bool_), np.array([0.5, 0.5], np.float32)
    here = np.array([[40, 76, 0.9]], np.float32)
    for x, y in ((30, 50), (31, 53)):
        state = tracker.track(state, here, np.array([[x, y, 0.9]], np.float32), both, start)
        start[:] = False
    ahead = tracker.track(state, here, np.array([[32.5, 56, 0.2]], np.float32), both, start)
    assert ahead[0, [tracker.WORLD_X, tracker.WORLD_Y, tracker.UNSEEN]].tolist() == [32.5, 56, 0]
    for x, y, confidence in ((26, 50, 0.2), (32.5, 56, 0.1)):  # off course; fainter still
        after = tracker.track(state, here, np.array([[x, y, confidence]], np.float32), both, start)
        assert after[0, [tracker.WORLD_X, tracker.WORLD_Y, tracker.UNSEEN]].tolist() == [31, 53, 1]


def test_a_thing_split_over_two_slots_is_followed_and_a_stray_slot_is_not() -> None:
    both, start = np.array([0.5, 0.5], np.float32), np.ones(1, np.bool_)
    state = tracker.unknown(1)
    readings = np.array([[[40, 76, 0.9], [30, 50, 0.9], [10, 10, 0.9]]], np.float32)  # self, world, another
    for x, y in ((30, 50), (31, 53)):
        readings[0, 1, :2] = x, y
        assert (tracker.attend(state, readings, (0, 1), both, start) == readings[:, 1]).all()
        state = tracker.track(state, readings[:, 0], readings[:, 1], both, start)
        start[:] = False
    readings[0, 1] = 70, 20, 0.9  # the world's slot has gone elsewhere
    assert (tracker.attend(state, readings, (0, 1), both, start) == readings[:, 1]).all()
    readings[0, 2] = 32, 56, 0.2  # another slot goes on
    assert (tracker.attend(state, readings, (0, 1), both, start) == readings[:, 2]).all()
    assert (tracker.attend(state, readings, (2, 1), both, start) == readings[:, 1]).all()  # but never self's
    assert (tracker.attend(state, readings, (0, 1), both, ~start) == readings[:, 1]).all()  # nor in a new game


def test_a_thing_that_turns_is_not_left_for_another_that_goes_on() -> None:
    both, start = np.array([0.5, 0.5], np.float32), np.ones(1, np.bool_)
    state = tracker.unknown(1)
    readings = np.array([[[40, 76, 0.9], [30, 50, 0.9], [10, 10, 0.9]]], np.float32)  # self, world, another
    for x, y in ((30, 50), (31, 53)):
        readings[0, 1, :2] = x, y
        state = tracker.track(state, readings[:, 0], readings[:, 1], both, start)
        start[:] = False
    readings[0, 1], readings[0, 2] = (32, 50, 0.6), (32, 56, 0.9)
    assert (tracker.attend(state, readings, (0, 1), both, start) == readings[:, 1]).all()
    readings[0, 1, 2] = 0.4  # its own slot no longer sees it
    assert (tracker.attend(state, readings, (0, 1), both, start) == readings[:, 2]).all()


@pytest.mark.parametrize("unseen", [0, 2, 6])  # steps out of sight as it turns
def test_a_turn_is_counted_also_where_it_was_not_seen(unseen: int) -> None:
    head = PlannerHead("small", 2, memories=0, cells=4, transitions=0)
    head.get_buffer("roles").copy_(torch.tensor([0, 1]))
    head.get_buffer("thresholds").fill_(0.5)
    state, pictures, turns = tracker.unknown(1), np.zeros((1, 4, 84, 84), np.uint8), []
    up = np.array([-5.0] * 5 + [5.0] * 4)
    for t, y in enumerate(74 + np.concatenate([[-15, -10, -5, 0], np.cumsum(up)])):
        confidence = 0.1 if 4 <= t < 4 + unseen else 0.9
        readings = np.array([[[40, 76, 0.9], [30 + t, y, confidence]]], np.float32)
        state = head.observe(state, readings, pictures, np.array([t == 0]))
        turns.append(int(state[0, tracker.TURNS]))
    assert turns == [0] * (4 + unseen) + [1] * (9 - unseen)


def test_a_new_game_counts_no_turn_of_the_last_one() -> None:
    head = PlannerHead("small", 2, memories=0, cells=4, transitions=0)
    head.get_buffer("roles").copy_(torch.tensor([0, 1]))
    head.get_buffer("thresholds").fill_(0.5)
    state, pictures = tracker.unknown(1), np.zeros((1, 4, 84, 84), np.uint8)
    for y, start in ((60, True), (66, False), (72, False), (40, True)):
        readings = np.array([[[40, 76, 0.9], [30, y, 0.9]]], np.float32)
        state = head.observe(state, readings, pictures, np.array([start]))
    assert state[0, tracker.TURNS] == 0


def test_a_saved_planner_acts_as_before(head: PlannerHead, tmp_path: Path) -> None:
    torch.manual_seed(0)
    agent = Agent(Encoder("small"), head, "unsupervised")
    agent.save(tmp_path / "agent.safetensors")
    loaded = load_agent(tmp_path / "agent.safetensors")
    pictures = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 84, 84), dtype=np.uint8)
    before, after = None, None
    for t, observation in enumerate(pictures):
        start = np.full(5, t == 0)
        actions, before = agent.predict(observation, before, start)
        again, after = loaded.predict(observation, after, start)
        assert (actions == again).all()
    assert before is not None and after is not None
    np.testing.assert_array_equal(before[0], after[0])


def test_a_planner_without_a_landing_still_plays() -> None:
    head = PlannerHead("small", 2, memories=0, cells=4, transitions=0)
    assert head.get_buffer("returns").shape == (KINDS, len(OFFSETS))
    agent = Agent(Encoder("small"), head, "unsupervised")
    actions, _ = agent.predict(np.zeros((2, 4, 84, 84), np.uint8))
    assert actions.shape == (2,)
