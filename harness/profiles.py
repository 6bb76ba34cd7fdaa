"""Profiles: how much of everything. A profile is only numbers; the code is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.files import UserError
from paradigms import reinforcement, supervised, unsupervised
from paradigms.supervised.shallow import ShallowConfig


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
    probe_steps: int = 1_200
    """Agent steps of the longest game that agents' features are probed on."""

    def arms(self) -> dict[str, Arm]:
        """Return everything that is trained, by the name of its run folder: the three paradigms and two controls."""
        untrained = replace(self.unsupervised, representation="untrained")
        components = replace(self.unsupervised, representation="components")
        return {
            "supervised": Arm("supervised", self.supervised),
            "unsupervised": Arm("unsupervised", self.unsupervised),
            "unsupervised_untrained": Arm("unsupervised", untrained),
            "unsupervised_components": Arm("unsupervised", components),
            "reinforcement": Arm("reinforcement", self.reinforcement),
        }

    def variants(self) -> dict[str, Arm]:
        """Return what else can be trained, on an arm's budget, by the name of its run folder."""
        ours = self.supervised
        return {
            "supervised_regressor": Arm("supervised", replace(ours, learner="regressor")),
            "supervised_cloning": Arm("supervised", replace(ours, demonstrated_rounds=ours.rounds)),
            "reinforcement_ppo": Arm("reinforcement", self.reinforcement.by_ppo()),
        }


Config = supervised.Config | unsupervised.Config | reinforcement.Config | ShallowConfig


@dataclass(frozen=True)
class Arm:
    """A paradigm and the numbers to train it with."""

    paradigm: str
    config: Config


PARADIGMS = ("supervised", "unsupervised", "reinforcement")

SMOKE = Profile(
    supervised.Config(
        rounds=2, demonstrated_rounds=1, round_labels=500, games=4, samples=3_200, batch=64, validation_games=2
    ),
    unsupervised.Config(games=8, round_steps=2_400, rounds=1, keypoint_steps=40, refresh_steps=20, self_cells=100),
    reinforcement.Config(steps=2_048, games=8, rollout_steps=32, minibatch=128, validations=1, validation_games=2),
    games=5,
    demonstrator_games=1,
    film_seconds=20.0,
    probe_steps=120,
)
QUICK = Profile(supervised.Config(), unsupervised.Config(), reinforcement.Config())
STANDARD = Profile(
    supervised.Config(
        rounds=60, samples=330_000, decay=0.4, validated_rounds=8, validation_games=24, validation_steps=8_000
    ),
    unsupervised.Config(
        rounds=20,
        keypoint_steps=2_000,
        refresh_steps=3_000,
        refresh_after=(1, 3, 8, 16),
        validations=4,
        validation_games=24,
    ),
    reinforcement.Config(steps=8_000_000, games=32, minibatch=512, gamma=0.99, validations=12, validation_games=24),
)
FULL = Profile(
    supervised.Config(encoder="nature", rounds=40, samples=1_000_000, validation_games=24, validation_steps=8_000),
    unsupervised.Config(
        encoder="nature",
        rounds=40,
        keypoint_steps=2_000,
        refresh_steps=2_000,
        refresh_after=(1, 3, 8, 16),
        validations=4,
        validation_games=24,
    ),
    reinforcement.Config(
        encoder="nature",
        steps=10_000_000,
        games=128,
        sticky_share=0.5,
        rollout_steps=32,
        minibatch=512,
        learning_rate=5e-4,
        gamma=0.99,
        clip_range=0.1,
        validations=8,
        validation_games=16,
    ),
)

PROFILES = {
    "smoke": SMOKE,  # to see that everything works, in a few minutes; hardly anything is learnt
    "quick": QUICK,  # 5 to 30 minutes each on 2 cores
    "standard": STANDARD,  # about two hours each on 2 cores
    "full": FULL,  # the published width and steps: a GPU, or a night
}


def profile_named(name: str) -> Profile:
    """Return a profile.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PROFILES:
        raise UserError(f"--profile {name}: no such profile; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
