"""What a frozen representation knows: how well ball, paddle and bricks can be read from it, held against RAM.

A linear map and a small network are fitted to the features of some games and tested on others (Alain and Bengio 2016,
"Understanding intermediate layers using linear classifier probes"; for Atari: Anand et al. 2019, "Unsupervised State
Representation Learning in Atari"). The linear map is fitted by Huber's loss (1964, "Robust Estimation of a Location
Parameter"), for it is judged by its median error: least squares bend to the few balls that are lost among the bricks,
and misread the planners' features by a third more, at about the same R2. Each variable stands by itself, for a mean
hides the ball. The same frames go through an untrained encoder and through the principal components of the pixels:
what those know, nobody had to learn. Planners are also watched as they follow ball and paddle from picture to picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor

from agents.agent import Agent, load_agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.planner import PlannerHead
from agents.progress import Progress
from agents.tracker import Floats
from envs.breakout import Bytes
from evaluation.evaluate import fingerprint_of
from evaluation.mixed_play import Film, Frames, gather
from evaluation.probed import VARIABLES, Probe, Readout, Sight
from evaluation.sight import look, watch

SEED, GAMES = 77, 24  # of all probes that are to be compared
PENALTY = 10.0  # on the linear reader's squared coefficients


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
    """Project all four pictures' pixels onto the first components of the games to fit: `(B, count)` at most."""
    pixels = frames.observations.reshape(len(frames.observations), -1)
    fitted = pixels[~frames.held_out].astype(np.float32)
    components = PCA(min(count, len(fitted)), svd_solver="randomized", iterated_power=2, random_state=0)
    components.fit(fitted)
    parts = np.array_split(pixels, 8)
    return np.concatenate([components.transform(part.astype(np.float32)) for part in parts])


def read_out(features: Floats, frames: Frames) -> tuple[Readout, ...]:
    """Fit both readers to features `(B, D)` of the games to fit, and test them on the others; balls in play only."""
    fit, test = frames.in_play & ~frames.held_out, frames.in_play & frames.held_out
    if not np.isfinite(features).all():
        raise UserError("a feature is not a number: nothing can be read from it; train the agent again")
    truth, features = frames.truth, (features - features[fit].mean(axis=0)) / max(float(features[fit].std()), 1e-6)
    centre, spread = truth[fit].mean(axis=0), truth[fit].std(axis=0)
    small = MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, max_iter=200, random_state=0)
    figures = []
    for reader in (MultiOutputRegressor(HuberRegressor(alpha=PENALTY)), small):
        with warnings.catch_warnings():  # so many passes are the budget, not a failure
            warnings.simplefilter("ignore", ConvergenceWarning)
            reader.fit(features[fit], (truth[fit] - centre) / spread)
        error = reader.predict(features[test]) * spread + centre - truth[test]  # (B, 4)
        r2 = 1 - np.square(error).mean(axis=0) / truth[test].var(axis=0)
        figures.append((np.median(np.abs(error), axis=0).tolist(), r2.tolist()))
    (linear_error, linear_r2), (mlp_error, mlp_r2) = figures
    return tuple(Readout(*row) for row in zip(VARIABLES, linear_error, linear_r2, mlp_error, mlp_r2, strict=True))


def probe(
    agents: Sequence[str | Path], seed: int = SEED, games: int = GAMES, steps: int = 1_200, device: str = "cpu"
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
    controls: dict[str, dict[str, tuple[Readout, ...]]] = {}
    probes = []
    with closing(Progress("probing")) as progress:
        frames, film = gather(seed, games, steps, progress)
        for number, (path, agent) in enumerate(zip(agents, loaded, strict=True)):
            progress.show(number, len(agents), str(path))
            width, size = agent.encoder.width, len(frames.observations)
            if width not in controls:
                controls[width] = _controls(agent.encoder, frames)
            found = {"features": read_out(encode(agent.encoder, frames.observations), frames), **controls[width]}
            probes.append(Probe(str(path), fingerprint_of(path), seed, size, games, found, _sight(agent, film)))
    return probes


def _controls(like: Encoder, frames: Frames) -> dict[str, tuple[Readout, ...]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = Encoder(like.width)
    wide = "" if like.width == "small" else f", {like.width}"  # side by side they are another
    return {
        f"untrained encoder{wide}": read_out(encode(untrained, frames.observations), frames),
        f"PCA of pixels{wide}": read_out(principal_components(frames, like.features_dim), frames),
    }


def _sight(agent: Agent, film: Film) -> Sight | None:
    if not isinstance(agent.head, PlannerHead):
        return None
    readings, states = watch(agent, film)
    return look(readings, states, agent.head, film)
