"""Two of scikit-learn's machines, fitted to labelled states, and the heads that decide exactly as they would.

- `GaussianNB`: classes are the cheapest actions, samples weigh as in `losses.py`.
- `Nystroem` (Williams and Seeger 2001) with the RBF kernel, and behind it a ridge regression of each action's cost; the
  cheapest action is played, which is cost-sensitive one-against-all. The regression is that of `Ridge`, solved from
  sums over chunks of states. With no more states than landmarks the map is exact: kernel ridge regression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg
from sklearn.kernel_approximation import Nystroem
from sklearn.naive_bayes import GaussianNB

from agents.shallow import BayesHead, KernelHead, Sight
from envs.breakout import LEARNT_ACTIONS
from paradigms.supervised.labelled import NEAR
from paradigms.supervised.losses import FAR_WEIGHT, sample_weights
from paradigms.supervised.states import CENTRE, Floats, Rows, States

MOST_PX = 30.0  # of cost that is told apart: hopeless actions are all alike
TINY = np.finfo(np.float64).tiny  # a class's least probability: the logarithm of zero is no number
CLASSES = np.arange(len(LEARNT_ACTIONS))


def weigh(states: States, rows: Rows) -> npt.NDArray[np.float64]:
    """`(B,)`: how much states count where costs are regressed or regrets compared."""
    return np.where(states.frames[rows] <= NEAR, 1.0, FAR_WEIGHT)


# -- naive Bayes -------------------------------------------------------------------------------------------------------


def fit_bayes(states: States, rows: Rows, smoothings: Sequence[float]) -> Iterator[GaussianNB]:
    """Yield an estimator for every smoothing, a share of the largest variance, which is added to all variances."""
    model = GaussianNB(var_smoothing=0.0)  # added below: in `partial_fit` each chunk would add another amount
    best = states.best
    for part, inputs in states.chunks(rows):
        costs, frames = torch.from_numpy(states.costs[part])[:, None], torch.from_numpy(states.frames[part])
        weights = sample_weights(costs, frames)[:, CENTRE].numpy()
        model.partial_fit(inputs.astype(np.float64), best[part], CLASSES, weights)
    variances = model.var_
    for smoothing in smoothings:
        model.var_ = variances + smoothing * variances.max()
        yield model


def bayes_head(model: GaussianNB, sight: Sight) -> BayesHead:
    """The head that decides as the estimator does."""
    head = BayesHead(sight, model.theta_.shape[1])
    for name, values in (
        ("mean", model.theta_),
        ("variance", model.var_),
        ("log_prior", np.log(np.maximum(model.class_prior_, TINY))),
    ):
        head.get_buffer(name).copy_(torch.from_numpy(values))
    return head


# -- the kernel machine ------------------------------------------------------------------------------------------------


class Machine(NamedTuple):
    """Its scores, negative costs in px, are `mapping.transform(inputs - centre) @ coefficients + intercept`."""

    centre: npt.NDArray[np.float32]  # (D,)
    mapping: Nystroem
    coefficients: Floats  # (landmarks, 3)
    intercept: Floats  # (3,)


def fit_kernel(
    states: States, rows: Rows, landmarks: int, generator: np.random.Generator,
    widths: Sequence[float], ridges: Sequence[float],
) -> Iterator[Machine]:  # fmt: skip
    """Yield a machine for every width and, within it, every ridge.

    Args:
        landmarks: states that the map compares with, drawn from `rows`.
        widths: gamma, in units of one over the mean squared distance between two of these states.
        ridges: penalties on the squared coefficients, beside the weighted sum of squared errors.
    """
    chosen = states.inputs(np.sort(generator.choice(rows, min(landmarks, len(rows)), replace=False)))
    centre = chosen.mean(axis=0)
    compared = (chosen - centre).astype(np.float64)
    distance = 2 * compared.var(axis=0).sum()
    for width in widths:
        mapping = Nystroem(gamma=width / distance, n_components=len(chosen), random_state=0).fit(compared)
        sums = _Sums(len(chosen))
        for part, inputs in states.chunks(rows):
            mapped = mapping.transform((inputs - centre).astype(np.float64))
            sums.add(mapped, -np.minimum(states.costs[part], MOST_PX), weigh(states, part))
        for ridge in ridges:
            yield Machine(centre, mapping, *sums.solve(ridge))


class _Sums:
    """All that ridge regression needs to know of the samples, so that memory does not grow with them."""

    def __init__(self, dim: int) -> None:
        self.square, self.cross = np.zeros((dim, dim)), np.zeros((dim, len(CLASSES)))
        self.inputs, self.targets, self.weight = np.zeros(dim), np.zeros(len(CLASSES)), 0.0

    def add(self, inputs: Floats, targets: Floats, weights: Floats) -> None:
        weighted = inputs * weights[:, None]
        self.square += weighted.T @ inputs
        self.cross += weighted.T @ targets
        self.inputs += weighted.sum(axis=0)
        self.targets += weights @ targets
        self.weight += weights.sum()

    def solve(self, ridge: float) -> tuple[Floats, Floats]:
        """Coefficients `(dim, 3)` and intercept `(3,)`, those of scikit-learn's `Ridge`: the intercept is free."""
        x, y = self.inputs / self.weight, self.targets / self.weight
        square = self.square - self.weight * np.outer(x, x) + ridge * np.eye(len(x))
        coefficients = linalg.solve(square, self.cross - self.weight * np.outer(x, y), assume_a="pos")
        return coefficients, y - x @ coefficients


def kernel_head(machine: Machine, sight: Sight) -> KernelHead:
    """The head that decides as the map and the regression do, one after the other."""
    landmarks = torch.from_numpy(machine.mapping.components_).float()
    head = KernelHead(sight, landmarks.shape[1], len(landmarks))
    values = {
        "centre": torch.from_numpy(machine.centre),
        "landmarks": landmarks,
        "lengths": landmarks.double().square().sum(1),
        "gamma": torch.tensor(machine.mapping.gamma, dtype=torch.float64),
        "weights": torch.from_numpy(machine.mapping.normalization_.T @ machine.coefficients),
        "intercept": torch.from_numpy(machine.intercept),
    }
    for name, value in values.items():
        head.get_buffer(name).copy_(value)
    return head
