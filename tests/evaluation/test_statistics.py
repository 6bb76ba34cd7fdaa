"""Statistics against values worked out by hand, and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from evaluation import statistics
from evaluation.statistics import Summary, bootstrap_interval, count_distinct, interquartile_mean, summarise

SCORES = st.lists(st.integers(0, 864), min_size=1, max_size=40).map(lambda scores: np.array(scores, np.float64))


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def test_interquartile_mean_leaves_out_a_quarter_at_either_end():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, 0])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean(np.array([9.0])) == 9


@given(SCORES)
def test_interquartile_mean_is_the_one_rliable_uses(scores):
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25))


def test_human_normalised_is_zero_for_random_play_and_one_for_a_person():
    assert statistics.human_normalised(1.7) == 0
    assert statistics.human_normalised(30.5) == pytest.approx(1)


def test_the_first_wall_itself_is_not_past_it():
    assert statistics.share_past_first_wall(np.array([0.0, 432, 433, 864])) == 0.5


def test_games_are_the_same_only_if_everything_coincides():
    games = [(3, b"\x01\x02"), (3, b"\x01\x02"), (3, b"\x01\x03"), (4, b"\x01\x02"), (3, b"\x01")]
    assert count_distinct(games) == 4


def test_the_same_game_begun_a_little_later_is_the_same():
    course = bytes([2, 0, 3, 3, 0, 2] * 20)
    assert count_distinct([(7, course), (7, bytes(5) + course), (7, bytes([1, 2]) + course)]) == 1
    assert count_distinct([(7, course), (7, bytes(9) + course)]) == 2  # no start is that late
    assert count_distinct([(7, course), (8, bytes(5) + course)]) == 2
    assert count_distinct([(7, course), (7, course[:60] + b"\x01" + course[61:])]) == 2


@given(SCORES)
def test_interval_holds_no_more_than_the_scores_reach_and_is_repeatable(scores):
    low, high = bootstrap_interval(scores, generator())
    assert scores.min() <= low <= high <= scores.max()
    assert (low, high) == bootstrap_interval(scores, generator())


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(100, 20, (200, 30))
    covered = [low <= 100 <= high for low, high in (bootstrap_interval(row, generator()) for row in draws)]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_summary_by_hand():
    s = summarise(np.array([0.0, 10, 20, 500]), 3, generator())
    assert (s.mean, s.median, s.iqm, s.distinct_games, s.share_past_432) == (132.5, 15, 15, 3, 0.25)
    assert s.human_normalised == pytest.approx((132.5 - 1.7) / 28.8)


@pytest.mark.parametrize("scores", [np.zeros(0), np.zeros((2, 2))])
def test_no_games_no_summary(scores):
    with pytest.raises(ValueError, match="shape"):
        summarise(scores, 1, generator())


def test_an_impossible_summary_is_refused():
    with pytest.raises(ValueError, match="not a summary"):
        Summary(1, 1, 1, (2, 1), 1, 0, 0)
