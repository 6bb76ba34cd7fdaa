"""A progress bar with time left and a live note on terminals, a plain line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_PLAIN_SECONDS = 15.0  # between lines where there is no terminal to draw a bar on


class Progress:
    """Shows how far one piece of work is.

    Args:
        title: what is being done; stands before the bar.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._console = Console(stderr=True)
        self._bar: RichProgress | None = None
        self._start = self._last_line = time.perf_counter()
        self._first_done: float | None = None

    def show(self, done: float, total: float, note: str = "") -> None:
        """Say that `done` of `total` is behind us, with a short live note (score, loss)."""
        if self._first_done is None:  # what came before, like rebuilding games, says nothing about what is to come
            self._first_done, self._start = done, time.perf_counter()
        if self._console.is_terminal:
            self._draw(done, total, note)
        elif time.perf_counter() - self._last_line > _PLAIN_SECONDS or done >= total:
            self._last_line = time.perf_counter()
            left = self._seconds_left(done, total)
            self._console.print(
                f"{self.title}: {done / total:4.0%}, {left} left, {note}", highlight=False, markup=False, soft_wrap=True
            )

    def _draw(self, done: float, total: float, note: str) -> None:
        if self._bar is None:
            columns = (
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
            )  # fmt: skip
            self._bar = RichProgress(*columns, console=self._console)
            self._task = self._bar.add_task(self.title, total=total, note=note)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total, note=note)

    def _seconds_left(self, done: float, total: float) -> str:
        behind = done - (self._first_done or 0.0)
        if behind <= 0:
            return "unknown time"
        minutes, seconds = divmod(max(0, round((time.perf_counter() - self._start) / behind * (total - done))), 60)
        return f"{minutes}:{seconds:02d}"

    def say(self, message: str) -> None:
        """Print a line without disturbing the bar."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
