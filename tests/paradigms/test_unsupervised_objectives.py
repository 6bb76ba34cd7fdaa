"""Objectives of the feature vector: their losses equal hand calculations, and each can be learnt."""

import numpy as np
import pytest
import torch
from torch import Tensor

from paradigms.unsupervised.contrast import Contrast, info_nce
from paradigms.unsupervised.objective import Objective
from paradigms.unsupervised.predict import NEAR, Prediction, place_loss


def test_info_nce_by_hand() -> None:
    assert info_nce(torch.zeros(3, 4, 4)).item() == pytest.approx(np.log(4)), "who knows nothing guesses one of four"
    likeness = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])
    assert info_nce(likeness).item() == pytest.approx((np.log(1 + np.exp(-2)) + np.log(2)) / 2)


def test_place_loss_by_hand() -> None:
    told = torch.tensor([[0.5 + NEAR / 4, 0.25, 0.0], [9.0, 9.0, 0.0]])  # close to the truth in x, far from it in y
    truth = torch.tensor([[42.0, 42.0, 0.9], [0.0, 0.0, 0.1]])  # the second slot is not sure: its place counts nothing
    expected = NEAR / 32 + (0.25 - NEAR / 2) + 0.02 * np.log(2)
    assert place_loss(told, truth, torch.tensor([0.5, 0.5])).item() == pytest.approx(expected)


def dots(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Stretches of a dot that goes where the action sends it, seen through a fixed linear map, beside a still wall."""
    actions = torch.eye(3)[torch.randint(0, 3, (4, 6), generator=generator)]
    now = 20 + 40 * torch.rand(4, 6, 2, generator=generator)
    after = now + 8 * torch.stack([actions[..., 1] - actions[..., 2], torch.zeros(4, 6)], dim=2)
    wall = torch.randn(4, 1, 2, generator=generator).expand(4, 6, 2)  # one for all of a stretch
    places = torch.stack([now, after], dim=2)  # (4, 6, 2, 2)
    readings = torch.cat([places[..., None, :], torch.full((4, 6, 2, 1, 1), 0.9)], dim=-1)
    return torch.cat([places / 84, wall[:, :, None].expand(places.shape)], dim=3), actions, readings


@pytest.mark.parametrize("make", [lambda: Prediction(4, torch.tensor([0.5])), lambda: Contrast(4)])
def test_what_moves_can_be_learnt(make: type[Objective]) -> None:
    torch.manual_seed(0)
    generator, objective = torch.Generator().manual_seed(0), make()
    optimizer = torch.optim.Adam(objective.parameters(), 2e-2)
    losses = []
    for _ in range(120):
        features, actions, readings = dots(generator)
        loss = objective(features[:, :, : objective.seen], actions, readings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:5])


def test_the_wall_alone_tells_no_moment_from_another() -> None:
    """Negatives from the same stretch: features that carry only the wall can do no better than guess."""
    torch.manual_seed(0)
    generator, objective = torch.Generator().manual_seed(0), Contrast(4)
    features, actions, readings = dots(generator)
    features[..., :2], actions = 0, torch.zeros_like(actions)
    assert objective(features, actions, readings).item() == pytest.approx(np.log(6), abs=1e-4)
