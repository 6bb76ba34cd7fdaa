"""Learning from the score; `train.py` tells the story."""

from paradigms.reinforcement.config import FULL, SMOKE, STANDARD, Config
from paradigms.reinforcement.train import train

__all__ = ["FULL", "SMOKE", "STANDARD", "Config", "train"]
