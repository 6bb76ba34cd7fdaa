"""Learning from labelled states; `train.py` tells the story."""

from paradigms.supervised.train import Config, train

__all__ = ["Config", "train"]
