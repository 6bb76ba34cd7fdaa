"""Keypoints: heat sums to one, reading equals a hand calculation, drawing equals a plain convolution."""

import pytest
import torch
from torch.nn import functional

from agents.encoder import Encoder
from agents.keypoints import TEMPLATE, KeypointHead, read


def test_reading_is_the_centre_of_mass_around_the_hottest_pixel() -> None:
    heat = torch.zeros(1, 2, 84, 84)
    heat[0, 0, 40, 20], heat[0, 0, 40, 21], heat[0, 0, 42, 20] = 0.4, 0.2, 0.2
    heat[0, 0, 10, 70] = 0.2  # far away: it lowers the confidence and must not move the reading
    heat[0, 1, 0, 83] = 1.0  # a corner
    reading = read(heat)
    assert reading[0, 0].tolist() == pytest.approx([20 + 0.2 / 0.8, 40 + 2 * 0.2 / 0.8, 0.8])
    assert reading[0, 1].tolist() == pytest.approx([83, 0, 1])


def test_drawing_is_a_convolution_with_the_templates() -> None:
    head = KeypointHead("small", slots=3)
    heat = torch.rand(2, 3, 84, 84)
    plain = functional.conv2d(heat, head.template.flip(-1, -2)[None], padding=TEMPLATE // 2)[:, 0]
    torch.testing.assert_close(head.reconstruct(heat), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", ["small", "nature"])
def test_heat_sums_to_one_on_either_width(width: str) -> None:
    encoder = Encoder("small" if width == "small" else "nature")
    head = KeypointHead(encoder.width, slots=3)
    heat = head(encoder(torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)).maps)
    assert heat.shape == (2, 3, 84, 84)
    torch.testing.assert_close(heat.sum(dim=(-2, -1)), torch.ones(2, 3))


def test_a_slot_learns_where_a_moving_dot_is() -> None:
    """The objective by itself finds a thing: one bright square on black, never told where."""
    torch.manual_seed(0)
    encoder, head = Encoder("small"), KeypointHead("small", slots=1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=3e-3)
    place = torch.randint(10, 70, (64, 2))
    pictures = torch.zeros(64, 4, 84, 84, dtype=torch.uint8)
    for i, (x, y) in enumerate(place.tolist()):
        pictures[i, :, y - 2 : y + 3, x - 2 : x + 3] = 255
    for _ in range(120):
        rows = torch.randint(0, 64, (16,))
        drawn = head.reconstruct(head(encoder(pictures[rows]).maps))
        loss = 100 * (drawn - pictures[rows, -1] / 255).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = read(head(encoder(pictures).maps))[:, 0, :2]
    offset = found - place
    assert (offset - offset.median(dim=0).values).abs().median() < 1.5
