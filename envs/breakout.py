"""Atari Breakout as every learner, judge and camera here sees it.

Two paths lead to the same picture:

- `Game`: one plain game on an `ALEInterface`, with RAM and colour screen at hand (labels, judging, film);
- `vector.BreakoutVecEnv`: many games on ale-py's native vector environment, behind stable-baselines3's `VecEnv`
  (exploration and training at full speed).

Both give bit-identical observations for the same seed and actions; `tests/envs/test_breakout.py` holds that
over whole games.

Preprocessing follows Mnih et al. (2015), "Human-level control through deep reinforcement learning": grey,
an action lasts 4 frames, pixel-wise maximum of the last two, 84 x 84, the last 4 pictures stacked, up to 30
no-ops at the start. Sticky actions follow Machado et al. (2018), "Revisiting the Arcade Learning Environment".
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from ale_py import ALEInterface, LoggerMode, roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode

from envs.game_state import FRAME_COUNTER

NOOP, FIRE, RIGHT, LEFT = range(4)  # ALE's minimal action set, in ALE's order
ALL_ACTIONS = (NOOP, FIRE, RIGHT, LEFT)
LEARNT_ACTIONS = (NOOP, RIGHT, LEFT)  # FIRE is pressed for every agent alike, so nobody need learn it
ACTION_NAMES = ("noop", "fire", "right", "left")

FRAME_SKIP = 4  # emulator frames per agent step
STACK = 4  # pictures per observation, oldest first
SIDE = 84  # pixels
MAX_FRAMES = 108_000  # emulator frames: 30 minutes of play
AWAKE_FRAMES = 65_536 - 30  # emulator frames of play; then the console sleeps. It has counted those of the start, too
LIVES = 5
OBSERVATION_SHAPE = (STACK, SIDE, SIDE)
FIRST_WALL, BOTH_WALLS = 432, 864  # points; the second is the most that the game holds

# Rows of an 84 x 84 picture between the score's digits (y < 32 of 210) and the paddle (from y = 189: row 75 shows it).
_FLIGHT = slice(13, 75)
_DIGITS = slice(0, 6)  # and above the ceiling, which the ball touches

Bytes = npt.NDArray[np.uint8]
Actions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Protocol:
    """How a game is made random. A score means nothing without it."""

    name: str
    sticky: float  # probability, each frame, that the console repeats the previous action


CLASSIC = Protocol("classic", 0.0)  # the published PPO and DQN tables
STICKY = Protocol("sticky", 0.25)  # Machado et al. 2018, ALE/Breakout-v5
PROTOCOLS = {protocol.name: protocol for protocol in (CLASSIC, STICKY)}


def ball_must_be_served(observation: Bytes) -> Mask:
    """Tell where FIRE is due: nothing moved above the paddle between the last two pictures.

    A ball in play always moves, so this needs neither RAM nor memory, and works inside anybody's environment.

    Args:
        observation: `(..., 4, 84, 84)` uint8.

    Returns:
        `(...)` bool.
    """
    still = observation[..., -1, _FLIGHT, :] == observation[..., -2, _FLIGHT, :]
    return np.asarray(still.all(axis=(-2, -1)))


def score_changed(observation: Bytes) -> Mask:
    """Tell where the digits at the top (score, lives) differ between the last two pictures.

    Args:
        observation: `(..., 4, 84, 84)` uint8.

    Returns:
        `(...)` bool.
    """
    changed = observation[..., -1, _DIGITS, :] != observation[..., -2, _DIGITS, :]
    return np.asarray(changed.any(axis=(-2, -1)))


def game_seeds(root: np.random.SeedSequence, count: int, *, judge: bool = False) -> list[int]:
    """Return `count` seeds for ALE (31 bits), each from a child stream of `root` of its own.

    The judge's are odd and all others even, so no game that is judged was ever learnt from or chosen by.
    """
    return [int(child.generate_state(1)[0] >> 2 << 1) | judge for child in root.spawn(count)]


class Game:
    """One game of Breakout, with everything about it in the open.

    Args:
        seed: decides the no-op start and, under `sticky`, which actions are repeated.
        protocol: `CLASSIC` or `STICKY`.

    Attributes:
        observation: `(4, 84, 84)` uint8, oldest picture first; a new array each step.
        score: the game's own points so far, unclipped.
        lives: 5 to 0.
        steps: agent steps taken.
        action: the action that the last step really took (FIRE where the ball had to be served).
        over, truncated: the game has ended; it ended by the frame cap.
    """

    def __init__(self, seed: int, protocol: Protocol) -> None:
        if seed < 0 or seed >= 2**31:
            raise ValueError(f"a game's seed must lie in [0, 2**31), got {seed}")
        self.seed, self.protocol = seed, protocol
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self.ale = ALEInterface()
        self.ale.setFloat("repeat_action_probability", protocol.sticky)
        self.ale.setInt("random_seed", seed)
        rom = roms.get_rom_path("breakout")
        assert rom is not None, "ale-py ships this cartridge"
        self.ale.loadROM(rom)
        self._action_set = self.ale.getMinimalActionSet()
        self.ale.reset_game()
        # As the native environment does it: FIRE first, then the no-ops that are left.
        for action in [FIRE] + [NOOP] * (_start_frames(seed) - 1):
            self.ale.act(self._action_set[action])
        self.score, self.steps, self.frames, self.action = 0, 0, 0, NOOP
        self.lives = self.ale.lives()
        self.over = self.truncated = False
        screen = self.ale.getScreenGrayscale()
        self._raw = [screen, np.zeros_like(screen)]
        self.observation: Bytes = np.zeros(OBSERVATION_SHAPE, np.uint8)
        self._push_picture()

    def step(self, action: int, on_frame: Callable[[], None] | None = None) -> float:
        """Take `action` for 4 frames, or FIRE where the ball has to be served; return the points won.

        Args:
            on_frame: called after each frame, for who watches.
        """
        if self.over:
            raise RuntimeError("this game is over; make a new Game")
        if action not in ALL_ACTIONS:
            raise ValueError(f"action must be one of {ALL_ACTIONS}, got {action}")
        self.action = FIRE if ball_must_be_served(self.observation) else int(action)
        reward = 0.0
        for frames_left in range(FRAME_SKIP, 0, -1):
            reward += self.ale.act(self._action_set[self.action])
            self.frames += 1
            if on_frame is not None:
                on_frame()
            finished = self.ale.game_over()
            self.truncated = not finished and self.frames >= MAX_FRAMES
            self.over = finished or self.truncated
            if self.over:
                break
            if frames_left <= 2:
                self._raw[frames_left - 1] = self.ale.getScreenGrayscale()
        self._push_picture()
        self.steps += 1
        self.score += int(reward)
        self.lives = self.ale.lives()
        return reward

    def _push_picture(self) -> None:
        # The maximum stays in the first buffer: on the frame that ends a game the native path reuses it.
        self._raw[0] = np.maximum(self._raw[0], self._raw[1])
        picture = cv2.resize(self._raw[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        self.observation = np.concatenate([self.observation[1:], picture[None]])

    @property
    def ram(self) -> Bytes:
        """`(128,)` uint8. For the demonstrator and for probes, never for a learner."""
        return self.ale.getRAM()

    @property
    def asleep(self) -> bool:
        """The console sleeps, for good, as it does once its 16 bits of frames are used up, after `AWAKE_FRAMES` or so.

        The picture is another, there is no ball, and FIRE serves none: no point will be won or life lost any more.
        """
        low, high = self.ram[FRAME_COUNTER]
        return 256 * int(high) + int(low) < self.frames  # the counter has begun anew

    @property
    def screen(self) -> Bytes:
        """`(210, 160, 3)` uint8, RGB: the last frame as a person sees it."""
        return self.ale.getScreenRGB()


@lru_cache(maxsize=4096)
def _start_frames(seed: int) -> int:
    """Frames before the first observation for this seed, as the native environment draws them (1 to 29)."""
    _, info = _single_native().reset(seed=np.array([seed]))
    return int(info["episode_frame_number"][0])


@lru_cache(maxsize=1)
def _single_native() -> AtariVectorEnv:
    atexit.register(_single_native.cache_clear)  # its binding complains of what is still alive at the very end
    return native(1, CLASSIC, threads=1)


def native(num_envs: int, protocol: Protocol, threads: int) -> AtariVectorEnv:
    """Return ale-py's native vector environment with the preprocessing above, rewards unclipped."""
    return AtariVectorEnv(
        "breakout",
        num_envs,
        num_threads=threads,
        repeat_action_probability=protocol.sticky,
        max_num_frames_per_episode=MAX_FRAMES,
        noop_max=30,
        use_fire_reset=True,
        reward_clipping=False,  # the default loses the score
        autoreset_mode=AutoresetMode.SAME_STEP,
    )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
