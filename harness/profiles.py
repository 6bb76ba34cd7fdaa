"""Profiles: how much of everything. A profile is only numbers; the code is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.files import UserError
from paradigms import reinforcement, supervised, unsupervised


@dataclass(frozen=True)
class Profile:
    """What one comparison trains, and how long it judges."""

    supervised: supervised.Config
    unsupervised: unsupervised.Config
    reinforcement: reinforcement.Config
    games: int = 30
    """Games per protocol that judge an agent."""
    demonstrator_games: int = 10
    """Games per protocol for the demonstrator, whose games are the longest."""
    film_seconds: float = 180.0
    """The longest film, in seconds."""

    def arms(self) -> dict[str, Arm]:
        """Return everything that is trained, by the name of its run folder: the three paradigms and one control."""
        untrained = replace(self.unsupervised, representation="untrained")
        return {
            "supervised": Arm("supervised", self.supervised),
            "unsupervised": Arm("unsupervised", self.unsupervised),
            "unsupervised_untrained": Arm("unsupervised", untrained),
            "reinforcement": Arm("reinforcement", self.reinforcement),
        }


Config = supervised.Config | unsupervised.Config | reinforcement.Config


@dataclass(frozen=True)
class Arm:
    """A paradigm and the numbers to train it with."""

    paradigm: str
    config: Config


PARADIGMS = ("supervised", "unsupervised", "reinforcement")

PROFILES = {
    # To see that everything works, in a few minutes; hardly anything is learnt.
    "smoke": Profile(
        supervised.SMOKE,
        unsupervised.Config(
            games=8, round_steps=2_400, rounds=1, keypoint_steps=40, refresh_steps=20, feature_steps=20, self_cells=100
        ),
        reinforcement.SMOKE,
        5,
        5,
        20.0,
    ),
    # About five minutes each on 2 cores.
    "quick": Profile(supervised.Config(), unsupervised.Config(), reinforcement.Config()),
    # At most two hours each on 2 cores.
    "standard": Profile(supervised.STANDARD, unsupervised.Config(rounds=20, self_cells=2_000), reinforcement.STANDARD),
    # The published widths and steps: a GPU, or a night.
    "full": Profile(
        supervised.FULL, unsupervised.Config(encoder="nature", rounds=40, self_cells=2_000), reinforcement.FULL
    ),
}


def profile_named(name: str) -> Profile:
    """Return a profile.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PROFILES:
        raise UserError(f"--profile {name}: no such profile; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
