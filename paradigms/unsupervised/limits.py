"""What cannot work is refused at once, with the number that would: not after hours of exploration."""

from __future__ import annotations

import os
from pathlib import Path

from agents.files import UserError
from envs.breakout import SIDE

SHORTEST = 32  # steps of a game in a round: what moves is told by comparing pictures up to 8 steps before and after
STEPS_A_CELL = 6  # explored steps for each cluster, of which only a third follows one and the same last action
COPIES = 8  # of a round's pictures that are in memory at once: four rounds, and the four side by side
STEP_BYTES = 100  # of each explored step of all rounds, what was done, came of it and is tracked,
READING_BYTES = 24  # and each slot's reading, twice as all are joined


def check_exploration(games: int, round_steps: int, self_cells: int) -> None:
    """Refuse rounds that are too short for the games side by side, or for the clusters.

    Raises:
        UserError: names the flag and a number that works.
    """
    if round_steps < SHORTEST * games:
        raise UserError(
            f"--round-steps {round_steps} leaves each of --games {games} fewer than {SHORTEST} steps; "
            f"give at least {SHORTEST * games} steps or at most {max(1, round_steps // SHORTEST)} games"
        )
    if round_steps < STEPS_A_CELL * self_cells:
        raise UserError(
            f"--round-steps {round_steps} is too few for --self-cells {self_cells}; "
            f"give at least {STEPS_A_CELL * self_cells} steps or at most {round_steps // STEPS_A_CELL} cells"
        )


def check_memory(round_steps: int, rounds: int, slots: int, available: int | None = None) -> None:
    """Refuse rounds of which what is kept does not fit in memory.

    Args:
        available: bytes; what this machine has free by default.

    Raises:
        UserError: names the flag and a number that works.
    """
    free = free_memory() if available is None else available
    each = COPIES * SIDE**2 + (rounds + 1) * (STEP_BYTES + slots * READING_BYTES)
    if each * round_steps > free:
        raise UserError(
            f"--round-steps {round_steps}: with --rounds {rounds} they need {each * round_steps / 1e9:.1f} GB of "
            f"memory and {free / 1e9:.1f} GB are free; give at most {free // each} steps, or fewer rounds"
        )


def free_memory() -> int:
    """Bytes of memory that can be had without pushing anything else out."""
    table = Path("/proc/meminfo")
    if table.exists():
        for line in table.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
