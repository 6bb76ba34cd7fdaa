"""Principal components: read as places in the picture, and what varies most comes first."""

import numpy as np
import torch

from agents.components import PrincipalComponents
from agents.encoder import Encoder
from envs.breakout import SIDE


def test_the_first_component_tells_where_a_bar_is_and_all_readings_lie_in_the_picture() -> None:
    place = np.random.default_rng(0).integers(20, 60, 400)
    pictures = np.zeros((400, SIDE, SIDE), np.uint8)
    for picture, x in zip(pictures, place, strict=True):
        picture[:, :x] = 200
    eyes = PrincipalComponents("small", slots=2)
    eyes.fit(pictures)
    observations = np.zeros((400, 4, SIDE, SIDE), np.uint8)
    observations[:, -1] = pictures
    readings = eyes.look(Encoder("small"), torch.from_numpy(observations)).numpy()
    assert readings.shape == (400, 2, 3)
    assert (readings[..., 2] == 1).all()
    assert readings[..., :2].min() >= 0
    assert readings[..., :2].max() <= SIDE - 1
    assert abs(np.corrcoef(readings[:, 0, 0], place)[0, 1]) > 0.95
