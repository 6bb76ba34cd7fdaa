"""The contract of whatever plays, and the simplest thing that keeps it.

The signature is stable-baselines3's own (`common/type_aliases.py`, `PolicyPredictor`), so its `evaluate_policy`
runs our agents and our judge runs its models.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.breakout import ALL_ACTIONS, Actions, Bytes, Mask

State = tuple[npt.NDArray[Any], ...] | None


class Policy(Protocol):
    """Anything that chooses an action for each of N observations."""

    def predict(
        self,
        observation: Bytes,
        state: State = None,
        episode_start: Mask | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, State]:
        """Choose actions.

        Args:
            observation: `(N, 4, 84, 84)` uint8, oldest picture first.
            state: what the last call returned; None at the very first.
            episode_start: `(N,)` bool, where a new game begins and the state's row must be forgotten.
            deterministic: the best action, or a draw from the policy's own distribution.

        Returns:
            `(N,)` actions in ALE's order (0 NOOP, 1 FIRE, 2 RIGHT, 3 LEFT), and a state whose arrays lead with N.
        """
        ...


class RandomPolicy:
    """Every action with equal probability: the floor of every comparison."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def predict(
        self,
        observation: Bytes,
        state: State = None,
        episode_start: Mask | None = None,
        deterministic: bool = True,
    ) -> tuple[Actions, State]:
        """See `Policy.predict`. Random either way: there is no best action to prefer."""
        return self._generator.integers(0, len(ALL_ACTIONS), len(observation)), None


def check_policy(policy: Policy, observation: Bytes) -> None:
    """Hold a policy to its contract: for the tests of anybody's implementation.

    Args:
        policy: fresh, or at rest between games.
        observation: `(N, 4, 84, 84)` uint8 with N of at least 2, of running games.

    Raises:
        AssertionError: says which clause is broken.
    """
    count = len(observation)
    start = np.ones(count, np.bool_)
    kept = observation.copy()
    actions, state = policy.predict(observation, None, start)
    assert np.array_equal(observation, kept), "predict must leave the observation as it was"
    assert np.shape(actions) == (count,), f"expected ({count},) actions, got {np.shape(actions)}"
    assert np.isin(actions, ALL_ACTIONS).all(), f"actions must be among {ALL_ACTIONS}, got {np.unique(actions)}"
    assert state is None or isinstance(state, tuple), "the state is None or a tuple of arrays"
    for array in state or ():
        assert len(array) == count, f"each array of the state must lead with {count}, got {np.shape(array)}"
    again, _ = policy.predict(observation, state, start, deterministic=False)
    assert np.shape(again) == (count,), "sampled play returns as many actions"
    later, _ = policy.predict(observation[::-1], state, start)
    assert np.shape(later) == (count,), "a row whose game begins anew must not need its old state"
