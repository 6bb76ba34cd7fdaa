"""How a film looks: the game in whole pixels, and beside it who plays, the score, the lives and the action."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agents.rollout import GameRecord
from envs.breakout import (
    ACTION_NAMES,
    BOTH_WALLS,
    FIRE,
    FRAME_SKIP,
    LEFT,
    LIVES,
    NOOP,
    PROTOCOLS,
    RIGHT,
    Bytes,
    Game,
)
from evaluation.record import looped

Colour = tuple[int, int, int]
INK, QUIET, ACCENT, GROUND = (236, 239, 244), (150, 160, 175), (255, 196, 87), (22, 26, 34)
UNIT = 70  # px of sidebar per whole-pixel scale of the game


class Panel:
    """One game on its way through a film.

    Args:
        name: who plays.
        protocol: `classic` or `sticky`.
        record: the game to be replayed.
        scale: screen pixels per game pixel.
    """

    def __init__(self, name: str, protocol: str, record: GameRecord, scale: int) -> None:
        self.name, self.protocol, self.record, self.scale = name, protocol, record, scale
        self.game = Game(record.seed, PROTOCOLS[protocol])
        self._last: Bytes | None = None
        self._finished = False

    def step(self) -> None:
        """Take the game's next action, if it has one."""
        if not self.ended:
            self.game.step(self.record.actions[self.game.steps])

    @property
    def ended(self) -> bool:
        """The game, or what was played of it, has come to its end."""
        return self.game.steps >= self.record.steps

    def picture(self, film_stops: bool = False) -> Bytes:
        """Draw `(210 * scale, (160 + 70) * scale, 3)` uint8; the end of a game, or of the film, is written out."""
        if self._last is not None and self._finished:
            return self._last
        self._finished = self.ended
        screen = self.game.screen.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        self._last = np.concatenate([screen, self._sidebar(len(screen), film_stops)], axis=1)
        return self._last

    def _sidebar(self, height: int, film_stops: bool) -> Bytes:
        unit, game = self.scale, self.game
        image = Image.new("RGB", (UNIT * unit, height), GROUND)
        draw = ImageDraw.Draw(image)
        left = 5 * unit
        for line, text in enumerate(_wrapped(self.name, 62 * unit, 7 * unit)):
            draw.text((left, (6 + 9 * line) * unit), text, INK, _font(7 * unit))
        draw.text((left, 26 * unit), self.protocol, QUIET, _font(6 * unit))
        _labelled(draw, left, 42, unit, "score", str(game.score), 18)
        draw.text((left, 76 * unit), "lives", QUIET, _font(6 * unit))
        for life in range(LIVES):
            box = [left + 12 * life * unit, 86 * unit, left + (12 * life + 9) * unit, 89 * unit]
            draw.rectangle(box, fill=ACCENT if life < game.lives else (58, 64, 76))
        draw.text((left, 99 * unit), "action", QUIET, _font(6 * unit))
        _action(draw, left, 108, unit, game.action)
        clock = game.steps * FRAME_SKIP // 60  # seconds of play
        _labelled(draw, left, 142, unit, "step", f"{game.steps:,}", 9)
        draw.text((left, 163 * unit), f"{clock // 60}:{clock % 60:02d} of play", QUIET, _font(6 * unit))
        for line, (text, colour) in enumerate(self._banner(film_stops)):
            draw.text((left, (178 + 9 * line) * unit), text, colour, _font((8 if line == 0 else 6) * unit))
        return np.asarray(image)

    def _banner(self, film_stops: bool) -> list[tuple[str, Colour]]:
        game, record = self.game, self.record
        if self.ended:
            return [(_ending(record), ACCENT), (f"{game.score} points", INK)]
        if film_stops:
            return [("film ends", ACCENT), (f"final score {record.score}", INK), (f"at step {record.steps:,}", INK)]
        return []


def _ending(record: GameRecord) -> str:
    if not record.truncated:
        return "game over"
    if record.score >= BOTH_WALLS:
        return "all done"
    return "endless loop" if looped(record) else "time is up"


def new_canvas(panel: Panel, count: int, columns: int) -> Bytes:
    """Make the ground that `count` panels stand on, `columns` to a row: `(height, width, 3)` uint8, even sides."""
    height, width = panel.picture().shape[:2]
    rows = -(-count // columns)
    canvas: Bytes = np.empty((rows * height, columns * width, 3), np.uint8)
    canvas[:] = GROUND
    return canvas


def put(canvas: Bytes, picture: Bytes, place: int, columns: int) -> None:
    """Write a panel's picture into its place, row by row."""
    height, width = picture.shape[:2]
    top, left = place // columns * height, place % columns * width
    canvas[top : top + height, left : left + width] = picture


def _labelled(draw: ImageDraw.ImageDraw, left: int, top: int, unit: int, label: str, text: str, size: int) -> None:
    draw.text((left, top * unit), label, QUIET, _font(6 * unit))
    draw.text((left, (top + 8) * unit), text, INK, _font(size * unit))


def _action(draw: ImageDraw.ImageDraw, left: int, top: int, unit: int, action: int) -> None:
    """Draw the action as a sign and a word."""
    x, y, size = left, top * unit, 20 * unit
    middle = y + size // 2
    if action == RIGHT:
        draw.polygon([(x, y), (x + size, middle), (x, y + size)], fill=ACCENT)
    elif action == LEFT:
        draw.polygon([(x + size, y), (x, middle), (x + size, y + size)], fill=ACCENT)
    elif action == FIRE:
        draw.ellipse([x, y, x + size, y + size], fill=ACCENT)
    elif action == NOOP:
        draw.rectangle([x, middle - unit, x + size, middle + unit], fill=QUIET)
    draw.text((x + size + 5 * unit, y + 5 * unit), ACTION_NAMES[action], INK, _font(9 * unit))


def _wrapped(text: str, width: int, size: int, lines: int = 2) -> list[str]:
    """Break `text` between words into at most `lines` lines of `width` px; what does not fit ends in an ellipsis."""
    font, broken = _font(size), [""]
    for word in text.split():
        longer = f"{broken[-1]} {word}".strip()
        if font.getlength(longer) <= width or not broken[-1]:
            broken[-1] = longer
        else:
            broken.append(word)
    shown = broken[:lines]
    for number, line in enumerate(shown):
        if font.getlength(line) > width or (number == lines - 1 and len(broken) > lines):
            while line and font.getlength(line + "…") > width:
                line = line[:-1]
            shown[number] = line + "…"
    return shown


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)  # the one inside Pillow: no font of the system is needed
