"""Clusters: the number that is in the states is chosen, restarts agree on it, and cells of like balls are near."""

import numpy as np
import pytest

from agents.files import UserError
from evaluation.clusters import assign, choose, measure


def test_the_number_of_heaps_that_are_there_is_chosen_and_their_things_are_near() -> None:
    generator = np.random.default_rng(0)
    heap = generator.integers(0, 8, 1_500)
    centres = 20 * np.eye(8)
    features = centres[heap] + generator.normal(size=(1_500, 8))
    truth = np.stack([20.0 * heap, np.zeros(1_500), generator.uniform(8, 144, 1_500), np.zeros(1_500)], axis=1)
    tried = {cells: measure(features, truth, cells, seed=0)[0] for cells in (4, 8, 32)}
    assert choose(list(tried.values())).cells == 8
    assert tried[8].silhouette > 0.6
    assert tried[8].stability > tried[32].stability
    assert tried[8].ball < 1, "a heap is one ball"
    assert tried[8].paddle > 20, "and says nothing of the paddle"


def test_what_cannot_be_clustered_is_refused() -> None:
    with pytest.raises(UserError, match="at least 16 states"):
        assign(np.zeros((5, 3)), 16, 0)
    with pytest.raises(UserError, match="not a number"):
        assign(np.full((20, 3), np.nan), 4, 0)
    same, _ = measure(np.zeros((50, 3)), np.zeros((50, 4)), 4, 0)
    assert same.silhouette == 0, "states that are all alike have no cells"
