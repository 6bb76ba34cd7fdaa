"""How scores are summarised: pure functions, each stating its shapes.

A handful of games says little by its mean alone. Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge
of the Statistical Precipice" (2108.13264) argues for interquartile means with bootstrap intervals; Machado et al.
(2018) for saying how a game was made random. One more thing is needed here: without sticky actions a greedy agent
plays the same few games over and over, so `count_distinct` says how many games there really were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.breakout import FIRST_WALL

RANDOM_SCORE, HUMAN_SCORE = 1.7, 30.5  # points, Mnih et al. (2015), no-op starts
RESAMPLES = 2_000
START_STEPS = 8  # agent steps by which no-op starts of 1 to 29 frames can shift a game against another

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """What a set of games says. `ci95` is the bootstrap interval of the mean; all scores in points."""

    mean: float
    median: float
    iqm: float
    ci95: tuple[float, float]
    distinct_games: int
    human_normalised: float
    share_past_432: float

    def __post_init__(self) -> None:
        if self.distinct_games < 1 or not 0 <= self.share_past_432 <= 1 or self.ci95[0] > self.ci95[1]:
            raise ValueError(f"not a summary of games: {self}")


def interquartile_mean(scores: Scores) -> float:
    """Mean of the middle half of `(games,)` scores, as rliable has it.

    A quarter of the games, rounded down, is left out at either end (`scipy.stats.trim_mean(scores, 0.25)`).
    """
    games = len(scores)
    return float(np.sort(scores)[games // 4 : games - games // 4].mean())


def bootstrap_interval(scores: Scores, generator: np.random.Generator) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean (Efron 1979).

    Args:
        scores: `(games,)` points; one game alone gives an interval of no width, which says nothing.
        generator: decides the resamples.

    Returns:
        Lower and upper end, in points.
    """
    games = _checked(scores).shape[0]
    picked = generator.integers(games, size=(RESAMPLES, games))
    low, high = np.quantile(scores[picked].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def human_normalised(score: float) -> float:
    """Map points so that 0 is the random policy and 1 the human tester of Mnih et al. (2015)."""
    return (score - RANDOM_SCORE) / (HUMAN_SCORE - RANDOM_SCORE)


def share_past_first_wall(scores: Scores) -> float:
    """Share of `(games,)` scores above 432, that is, in which the second wall was begun."""
    return float(np.mean(_checked(scores) > FIRST_WALL))


def count_distinct(games: Sequence[tuple[int, bytes]]) -> int:
    """Count games that differ by more than when they began.

    Args:
        games: `(score, actions)` of each, one byte per step.

    Two games are the same if their scores are and, counted from the end, every action taken but for the first few:
    no-op starts let the same game begin up to `START_STEPS` steps earlier or later.
    """
    different: list[tuple[int, bytes]] = []
    for game in games:
        if not any(_same_game(game, other) for other in different):
            different.append(game)
    return len(different)


def _same_game(one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
    (score, actions), (other_score, other_actions) = one, other
    shared = min(len(actions), len(other_actions)) - START_STEPS
    if score != other_score or abs(len(actions) - len(other_actions)) > START_STEPS or shared <= 0:
        return one == other
    return actions[-shared:] == other_actions[-shared:]


def summarise(scores: Scores, distinct_games: int, generator: np.random.Generator) -> Summary:
    """Summarise `(games,)` scores of which `distinct_games` differ."""
    average = float(_checked(scores).mean())
    return Summary(
        mean=average,
        median=float(np.median(scores)),
        iqm=interquartile_mean(scores),
        ci95=bootstrap_interval(scores, generator),
        distinct_games=distinct_games,
        human_normalised=human_normalised(average),
        share_past_432=share_past_first_wall(scores),
    )


def _checked(scores: Scores) -> Scores:
    if scores.ndim != 1 or scores.shape[0] == 0:
        raise ValueError(f"expected scores of shape (games,) with at least one game, got {scores.shape}")
    return scores
