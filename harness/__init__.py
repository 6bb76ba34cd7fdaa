"""What ties games, learners and judge together: the command line, the profiles, the comparison."""

import os

# Before torch is imported: a thread that spins while it waits keeps a core from the games that are played meanwhile.
# Reinforcement learning on 2 cores: 335 instead of 281 steps/s (nature), 656 instead of 490 (small).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
