"""Learning without labels: find what moves, who one is, what follows what, and what brings points; then plan on it."""

from paradigms.unsupervised.train import Config, train

__all__ = ["Config", "train"]
