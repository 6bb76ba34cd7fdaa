"""Learning from labelled states; `train.py` tells the story."""

from paradigms.supervised.config import FULL, SMOKE, STANDARD, Config
from paradigms.supervised.train import train

__all__ = ["FULL", "SMOKE", "STANDARD", "Config", "train"]
