"""Learning without labels; `train.py` tells the story."""

from paradigms.unsupervised.config import Config
from paradigms.unsupervised.train import train

__all__ = ["Config", "train"]
