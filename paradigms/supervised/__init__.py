"""Learning from labelled states; `train.py` tells the story."""

from paradigms.supervised.config import Config
from paradigms.supervised.train import train

__all__ = ["Config", "train"]
