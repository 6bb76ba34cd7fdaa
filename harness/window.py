"""The window that a person plays in: the picture, the score below it, and the keys."""

from __future__ import annotations

import os
import sys

from agents.files import UserError
from envs.breakout import LEFT, NOOP, RIGHT
from harness.session import SPEEDS, Session

SCREEN = (160, 210)  # px, the console's
FRAMES_PER_SECOND = 60
_PANEL = 104  # px below the game, for the score and the keys
_LARGEST = 4  # times the console's pixels
_NO_WINDOW = ("dummy", "offscreen")  # what SDL falls back to where there is no display
_HELP = "arrows or A D move   P pause   U undo life   1 2 3 full, half, quarter speed   S step by step   Q quit"


class Window:
    """The game's picture with the score below it, and the keys.

    Raises:
        UserError: pygame is not installed, or there is no display.
    """

    def __init__(self) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError as error:
            raise UserError("record needs pygame; install it: pip install 'breakout-three-ways[record]'") from error
        self._pygame = pygame
        no_display = "record: no display to open a window on; run it on a desktop, or under a virtual one (xvfb-run)"
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError(no_display)
        try:
            pygame.display.init()
            pygame.font.init()
            if pygame.display.get_driver() in _NO_WINDOW:
                raise UserError(no_display)
            height = pygame.display.get_desktop_sizes()[0][1]
            self._scale = max(1, min(_LARGEST, (height - _PANEL - 80) // SCREEN[1]))
            size = (SCREEN[0] * self._scale, SCREEN[1] * self._scale + _PANEL)
            self._surface = pygame.display.set_mode(size)
        except pygame.error as error:
            raise UserError(f"{no_display} ({error})") from error
        pygame.display.set_caption("Breakout: record")
        self._clock, self._font = pygame.time.Clock(), pygame.font.Font(None, 22)
        self._pressed: list[int] = []  # keys that went down since they were last asked about
        self._leaving = False

    def close(self) -> None:
        """Take the window away."""
        self._pygame.quit()

    def play(self, session: Session, games: int | None) -> None:
        """Play until the person leaves, or has played `games` games."""
        while not self._leaving:
            self._draw(session)
            self._listen()
            self._obey(session)
            if session.over:
                self._wait()
                if self._was_pressed(self._pygame.K_SPACE):
                    if games is not None and len(session.scores) + 1 >= games:
                        return
                    session.next_game()
            elif session.paused:
                self._wait()
            else:
                action = self._action() if session.speed else self._asked()
                if action is None:
                    self._wait()
                else:
                    session.step(action, lambda: self._frame(session))

    def _frame(self, session: Session) -> None:
        self._draw(session)
        self._clock.tick(FRAMES_PER_SECOND * (session.speed or 1.0))
        self._listen()

    def _wait(self) -> None:
        self._clock.tick(FRAMES_PER_SECOND)

    def _listen(self) -> None:
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                self._leaving = True
            elif event.type == self._pygame.KEYDOWN:
                self._pressed.append(event.key)
                self._leaving |= event.key in (self._pygame.K_q, self._pygame.K_ESCAPE)

    def _was_pressed(self, *keys: int) -> bool:
        found = any(key in self._pressed for key in keys)
        self._pressed = [key for key in self._pressed if key not in keys]
        return found

    def _obey(self, session: Session) -> None:
        """Do what keys other than those that play ask for."""
        for key, speed in zip("123s", SPEEDS.values(), strict=True):
            if self._was_pressed(self._pygame.key.key_code(key)):
                session.speed = speed
        pause = self._was_pressed(self._pygame.K_p)
        if pause:
            session.paused = not session.paused
        undone = self._was_pressed(self._pygame.K_u) and session.undo()
        if undone:
            session.paused = True  # a moment to get ready; any key that plays goes on
        if pause or undone:
            self._pressed = []  # what was pressed before does not
        if session.paused and any(self._tapped(keys) for keys in self._moves().values()):
            session.paused = False

    def _moves(self) -> dict[int, tuple[int, int]]:
        p = self._pygame
        return {RIGHT: (p.K_RIGHT, p.K_d), LEFT: (p.K_LEFT, p.K_a)}

    def _tapped(self, keys: tuple[int, ...]) -> bool:
        return any(key in self._pressed for key in keys)

    def _asked(self) -> int | None:
        """Step by step: what the oldest key that went down asks for; space stays, or does what is held."""
        while self._pressed:
            key = self._pressed.pop(0)
            if key == self._pygame.K_SPACE:
                return self._held() or NOOP
            for action, keys in self._moves().items():
                if key in keys:
                    return action
        return None

    def _action(self) -> int:
        """The key that is held as a step begins, or else was tapped during the step before."""
        tapped = {action for action, keys in self._moves().items() if self._tapped(keys)}
        self._pressed = []
        return self._held() or (tapped.pop() if len(tapped) == 1 else NOOP)

    def _held(self) -> int:
        """RIGHT or LEFT while one of their keys is down; 0 (NOOP) where none is, or both."""
        held = self._pygame.key.get_pressed()
        down = [action for action, keys in self._moves().items() if any(held[key] for key in keys)]
        return down[0] if len(down) == 1 else NOOP

    def _draw(self, session: Session) -> None:
        picture = self._pygame.image.frombuffer(session.recording.game.screen.tobytes(), SCREEN, "RGB")
        width, height = SCREEN[0] * self._scale, SCREEN[1] * self._scale
        self._surface.fill((0, 0, 0))
        self._surface.blit(self._pygame.transform.scale(picture, (width, height)), (0, 0))
        top = height + 6
        for line in self._lines(session):
            self._surface.blit(self._font.render(line, True, (230, 230, 230)), (8, top))
            top += 24
        self._pygame.display.flip()

    @staticmethod
    def _lines(session: Session) -> list[str]:
        game = session.recording.game
        speed = next(name for name, value in SPEEDS.items() if value == session.speed)
        first = f"{session.facts.name}   score {game.score}   lives {game.lives}   step {game.steps}   speed: {speed}"
        if session.over:
            second = f"Game over: {game.score} points.   Space: go on   U: undo the last life   Q: quit"
        elif session.paused:
            second = "Paused.   P or an arrow: go on"
        elif session.speed == 0:
            second = "Step by step: left, right, or space to stay"
        else:
            second = "The ball is served by itself"
        half = _HELP.index("1 2 3")
        return [first, second, _HELP[:half], _HELP[half:]]
