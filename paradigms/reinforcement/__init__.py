"""Learning from the score; `train.py` tells the story."""

from paradigms.reinforcement.config import Config
from paradigms.reinforcement.train import train

__all__ = ["Config", "train"]
