"""The films on the page, brought beside it or into it, each with what it shows in words."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from evaluation.replay import Film
from evaluation.runs import RunResult, read_film


@dataclass(frozen=True)
class Video:
    """A film on the page. `source` and `poster` are addresses: of files beside the page, or of data within it."""

    title: str
    caption: str
    source: str
    poster: str


def videos(folder: Path, runs: Sequence[RunResult], beside: Path | None) -> list[Video]:
    """Bring the films into the page's folder `beside` it, or into the page itself."""
    found = []
    together = read_film(folder / "together.mp4")
    if together is not None:
        title = "All side by side"
        found.append(_video(title, together, folder / "together.mp4", beside, "together"))
    for run in runs:
        if run.film is not None:
            title = run.label if run.name in ("random", "demonstrator") else f"{run.label}, seed {run.seed}"
            name = f"{run.name}-{run.seed}"
            found.append(_video(title, run.film, run.folder / "replay.mp4", beside, name))
    return found


def _video(title: str, film: Film, video: Path, beside: Path | None, name: str) -> Video:
    addresses = []
    for path, kind in ((video, "video/mp4"), (video.with_suffix(".jpg"), "image/jpeg")):
        if not path.exists():
            addresses.append("")
        elif beside is None:
            addresses.append(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
        else:
            addresses.append(_placed(path, beside / f"{name}{path.suffix}"))
    return Video(title, _film_caption(film), *addresses)


def _placed(source: Path, target: Path) -> str:
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)  # what a link leads to
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
    return quote(target.name)


def _film_caption(film: Film) -> str:
    seconds = film.steps // film.frames_per_second
    shown = f"{seconds // 60}:{seconds % 60:02d}, real time"
    if len(film.names) == 1:
        end = "" if film.complete else f"; the film stops there, the game went on to step {film.total_steps:,}"
        return f"Score {film.scores[0]}, the game with seed {film.seeds[0]}: {film.rule}. {shown}{end}."
    scores = "; ".join(f"{name}: {score}" for name, score in zip(film.names, film.scores, strict=True))
    end = "" if film.complete else "; the film stops before the longest game is over"
    return f"Final scores of {scores}. Each is the median of its agent's judged {film.protocol} games. {shown}{end}."
