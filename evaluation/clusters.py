"""Which states a frozen representation holds to be alike: k-means over features, and what the cells mean.

How many cells there are is chosen without RAM, by two figures that need none: the mean silhouette (Rousseeuw 1987),
how much nearer a state is to its own cell than to the next; and stability, the adjusted Rand index (Hubert and Arabie
1985) between k-means runs that began differently. What the cells are worth is then held against the game: how far
apart, in pixels of the 210 x 160 screen, the balls and paddles of two states of one cell are, beside any two states.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from agents.agent import load_agent
from agents.files import UserError, write_json
from agents.progress import Progress
from agents.tracker import Floats
from evaluation.mixed_play import Frames, gather
from evaluation.probe import encode
from evaluation.probed import VARIABLES

CELLS = (4, 8, 16, 32, 64, 128)  # numbers of cells that are tried
RESTARTS = 4  # k-means runs whose agreement is measured
SAMPLE = 1_000  # states for the silhouette, whose cost is quadratic
PAIRS = 20_000  # pairs of states whose distance is measured
BALL, PADDLE = slice(0, 2), slice(VARIABLES.index("paddle x"), VARIABLES.index("paddle x") + 1)

Cells = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Clustering:
    """k-means with one number of cells.

    Attributes:
        cells: how many.
        silhouette: mean over states, -1 to 1.
        stability: mean adjusted Rand index between restarts; 0 is chance, 1 the same cells.
        ball, paddle: median distance in screen pixels between two states of one cell.
    """

    cells: int
    silhouette: float
    stability: float
    ball: float
    paddle: float

    @property
    def merit(self) -> float:
        """What the number of cells is chosen by."""
        return self.silhouette + self.stability


@dataclass(frozen=True)
class Clusters:
    """All that was tried on one agent.

    Attributes:
        tried: one for each number of cells.
        chosen: the number with the most merit.
        any_ball, any_paddle: median distances between any two states, pixels.
        between_agents: mean adjusted Rand index with the other agents' cells of the same states; None for one alone.
    """

    agent: str
    tried: tuple[Clustering, ...]
    chosen: int
    any_ball: float
    any_paddle: float
    between_agents: float | None


def assign(features: Floats, cells: int, seed: int) -> Cells:
    """Cluster `(B, D)` -> cell of each state `(B,)`.

    Raises:
        UserError: there are fewer states than cells.
    """
    if len(features) < cells:
        raise UserError(f"{cells} cells need at least {cells} states, and there are {len(features)}; play more --games")
    if not np.isfinite(features).all():
        raise UserError("a feature is not a number, so states cannot be compared; train the agent again")
    means = MiniBatchKMeans(cells, n_init=1, batch_size=1024, random_state=seed)
    return np.asarray(means.fit_predict(features))


def measure(features: Floats, truth: Floats, cells: int, seed: int) -> tuple[Clustering, Cells]:
    """Cluster features `(B, D)` of states whose truth is `(B, 4)`; returns the figures and the first run's cells."""
    runs = [assign(features, cells, seed + number) for number in range(RESTARTS)]
    generator = np.random.default_rng(seed)
    sample = generator.choice(len(features), min(SAMPLE, len(features)), replace=False)
    several = len(np.unique(runs[0][sample])) > 1
    agreement = [adjusted_rand_score(one, other) for one, other in combinations(runs, 2)]
    one, other = generator.integers(0, len(features), (2, PAIRS * 4))
    alike = (runs[0][one] == runs[0][other]) & (one != other)
    figures = Clustering(
        cells,
        float(silhouette_score(features[sample], runs[0][sample])) if several else 0.0,
        float(np.mean(agreement)),
        *(_apart(truth[one[alike]], truth[other[alike]], what) for what in (BALL, PADDLE)),
    )
    return figures, runs[0]


def _apart(one: Floats, other: Floats, what: slice) -> float:
    return float(np.median(np.linalg.norm(one[:, what] - other[:, what], axis=1))) if len(one) else 0.0


def choose(tried: Sequence[Clustering]) -> Clustering:
    """Choose by merit; of equals the fewest cells."""
    return max(tried, key=lambda clustering: (round(clustering.merit, 3), -clustering.cells))


def cluster(agents: Sequence[str | Path], seed: int, games: int, steps: int, device: str) -> list[Clusters]:
    """Cluster what agents make of the same states with a ball in play; see `evaluation.mixed_play.gather`.

    Raises:
        UserError: an agent's file cannot be read, or there are too few games.
    """
    loaded = [load_agent(agent, device) for agent in agents]
    found = []
    with closing(Progress("clustering")) as progress:
        frames, _ = gather(seed, games, steps, progress)
        for number, (path, agent) in enumerate(zip(agents, loaded, strict=True)):
            progress.show(number, len(agents), str(path))
            features = encode(agent.encoder, frames.observations[frames.in_play])
            found.append((str(path), *_try_all(features, frames, seed)))
    truth = frames.truth[frames.in_play]
    one, other = np.random.default_rng(seed).integers(0, len(truth), (2, PAIRS))
    apart = [_apart(truth[one], truth[other], what) for what in (BALL, PADDLE)]
    return [
        Clusters(name, tuple(tried), best, apart[0], apart[1], _with_others(number, best, [runs for *_, runs in found]))
        for number, (name, tried, best, _) in enumerate(found)
    ]


def _try_all(features: Floats, frames: Frames, seed: int) -> tuple[list[Clustering], int, dict[int, Cells]]:
    tried, runs = [], {}
    for cells in CELLS:
        clustering, runs[cells] = measure(features, frames.truth[frames.in_play], cells, seed)
        tried.append(clustering)
    return tried, choose(tried).cells, runs


def _with_others(number: int, cells: int, runs: Sequence[dict[int, Cells]]) -> float | None:
    others = [adjusted_rand_score(runs[number][cells], run[cells]) for n, run in enumerate(runs) if n != number]
    return float(np.mean(others)) if others else None


def write_clusters(path: Path, found: Sequence[Clusters]) -> None:
    """Write all of them as a list."""
    write_json(path, [asdict(one) for one in found])


COLUMNS = ("agent", "cells", "silhouette", "stability", "ball apart", "paddle apart", "with other agents")


def rows(name: str, found: Clusters) -> list[tuple[Any, ...]]:
    """Rows under `COLUMNS`; the chosen number of cells is marked, the last row is any two states."""
    table = []
    for one in found.tried:
        chosen = one.cells == found.chosen
        others = f"{found.between_agents:.2f}" if chosen and found.between_agents is not None else ""
        figures = (f"{one.silhouette:.2f}", f"{one.stability:.2f}", f"{one.ball:.0f} px", f"{one.paddle:.0f} px")
        table.append((name, f"{one.cells}{' (chosen)' if chosen else ''}", *figures, others))
    return [*table, (name, "any two states", "", "", f"{found.any_ball:.0f} px", f"{found.any_paddle:.0f} px", "")]
