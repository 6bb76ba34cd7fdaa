"""What PPO and PQN have in common: gathering with a twin, passes over each rollout, and exact resumption."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections import deque
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.agent import Agent
from agents.encoder import Encoder, fastest_precision
from agents.files import Tree
from envs.vector import BreakoutVecEnv
from paradigms.reinforcement.config import Config
from paradigms.reinforcement.recorded import RecordedStep
from paradigms.reinforcement.rollout import Batch, Rollout, half_mirrored

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RECENT_GAMES = 30  # the logged score is the mean over the last so many training games


class EncoderPolicy(BasePolicy):
    """What a learner asks of its policy, beyond what stable-baselines3 asks.

    Attributes:
        encoder: the shared one.
        precision: what it computes in.
    """

    encoder: Encoder
    precision: torch.dtype = torch.float32
    optimizer: torch.optim.Optimizer

    def encode(self, observations: Tensor) -> Tensor:
        """`(B, 4, 84, 84)` uint8 -> bare features `(B, D)` float32."""
        autocast = torch.autocast(observations.device.type, self.precision, self.precision is not torch.float32)
        with autocast:
            features: Tensor = self.encoder(observations).features
        return features.float()


class Learner(OnPolicyAlgorithm):
    """stable-baselines3's on-policy algorithm (its PPO without the update), with an update that is to be filled in.

    Args:
        policy: class of the policy.
        env: what it learns in.
        config: every number.
        generator: shuffles the minibatches.
        device: where the network is.
        policy_settings: keyword arguments of the policy.

    Attributes:
        health: figures of the last update, each the mean over its gradient steps: those of the loss, and
            `explained_variance`: of the returns by the values.
        gathering: the moment at which the gathering of the next rollout began, in its twin.
    """

    names: ClassVar[tuple[str, ...]]  # of what `losses` returns; the first is "loss"
    policy: EncoderPolicy  # type: ignore[assignment]  # SB3 asks for less than it says
    rollout_buffer: Rollout
    _callback: BaseCallback  # of a twin; SB3 wants one

    def __init__(
        self,
        policy: type[Any],
        env: VecEnv,
        config: Config,
        generator: np.random.Generator,
        device: torch.device | str,
        policy_settings: dict[str, Any],
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=lambda remaining: config.learning_rate * remaining,
            n_steps=config.rollout_steps,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            ent_coef=config.entropy_weight,
            vf_coef=config.value_weight,
            max_grad_norm=config.gradient_norm,
            use_sde=False,
            sde_sample_freq=-1,
            rollout_buffer_class=Rollout,
            policy_kwargs=policy_settings,
            device=device,
        )
        order_weights(self.policy, torch.channels_last)  # only now: SB3's orthogonal initialisation fails on it
        self.policy.precision = PRECISIONS.get(config.precision) or fastest_precision(
            self.policy.encoder, self.device, config.minibatch
        )
        self.set_logger(Logger(None, []))  # `health` says what SB3 would
        self.config, self.generator = config, generator
        self.health: dict[str, float] = {}
        self.gathering: Tree | None = None
        self._recorded: RecordedStep | None = None
        self._rate = torch.zeros((), device=self.device) if self.device.type == "cuda" else None  # a recording's
        self.ep_info_buffer, self.ep_success_buffer = deque(maxlen=RECENT_GAMES), deque(maxlen=RECENT_GAMES)

    @abstractmethod
    def losses(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return scalars for a minibatch, called `names`; the first is what the update lowers."""

    @abstractmethod
    def agent(self) -> Agent:
        """Return a copy of the policy as an agent."""

    def train(self) -> None:
        """Make the passes over the rollout buffer; leave the figures in `health`."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        rollout = self.rollout_buffer.batch()
        losses = []
        for _ in range(self.config.epochs):
            order = torch.from_numpy(self.generator.permutation(len(rollout.actions))).to(self.device)
            for index in torch.split(order, self.config.minibatch):
                recorded = self._recorded if len(index) == self.config.minibatch else None
                losses.append((recorded or self._step)(rollout.take(index)))
        self._n_updates += self.config.epochs
        means = torch.stack(losses).mean(0).tolist()  # one synchronisation an update
        buffer = self.rollout_buffer
        explained = explained_variance(buffer.values.ravel(), buffer.returns.ravel())
        self.health = dict(zip(self.names, means, strict=True)) | {"explained_variance": float(explained)}

    def _step(self, batch: Batch) -> Tensor:
        """Take a gradient step; return the figures called `names`."""
        named = self.losses(half_mirrored(batch))
        self.policy.optimizer.zero_grad()
        torch.autograd.backward(named[0])
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return torch.stack(named).detach()

    def record(self) -> None:
        """On a GPU, make a recording of the gradient step; weights and optimiser stay as they are."""
        if self.device.type != "cuda":
            return
        policy, optimizer = self.policy, self.policy.optimizer
        weights = copy.deepcopy(policy.state_dict())
        kept = {weight: copy.deepcopy(moments) for weight, moments in optimizer.state.items()}
        for group in optimizer.param_groups:
            group["capturable"] = True
        self._update_learning_rate(optimizer)
        index = torch.arange(self.config.minibatch, device=self.device)
        self._recorded = RecordedStep(self._step, self.rollout_buffer.batch().take(index))
        policy.load_state_dict(weights)
        for weight, moments in optimizer.state.items():  # in place: the recording refers to them
            for name, tensor in moments.items():
                tensor.copy_(kept[weight][name]) if weight in kept else tensor.zero_()

    def _update_learning_rate(self, optimizers: Any) -> None:
        rate = self.lr_schedule(self._current_progress_remaining)
        for group in optimizers.param_groups:
            group["lr"] = rate if self._rate is None else self._rate.fill_(rate)

    @property
    def score(self) -> float:
        """Mean unclipped score of the last training games that ended; not a number before the first has."""
        scores = [game["r"] for game in self.ep_info_buffer or ()]
        return float(np.mean(scores)) if scores else math.nan

    def twin(self) -> Learner:
        """Return a copy to act with: same games, own rollout buffer, own policy (that of `gathering`, if set)."""
        twin = copy.copy(self)
        twin.policy, twin.rollout_buffer = copy.deepcopy(self.policy), copy.deepcopy(self.rollout_buffer)
        if self.gathering is not None:
            twin.policy.load_state_dict(self.gathering["policy"])
        _, twin._callback = twin._setup_learn(0, None, reset_num_timesteps=False)  # resets games that are not on yet
        return twin

    def gather(self) -> None:
        """Fill the rollout buffer."""
        assert self.env is not None
        self.collect_rollouts(self.env, self._callback, self.rollout_buffer, self.n_steps)

    def moment(self) -> Tree:
        """Return all that decides the rollout to be gathered next: policy, random state, games."""
        return {
            "policy": {name: weight.clone() for name, weight in self.policy.state_dict().items()},
            "torch": self._random.get_rng_state(),
            "games": self.games.state(),
            "starts": self._last_episode_starts,
            "scores": list(self.ep_info_buffer or ()),
        }

    @property
    def _random(self) -> Any:
        """What the policy draws its actions with."""
        return torch.cuda if self.device.type == "cuda" else torch

    @property
    def games(self) -> BreakoutVecEnv:
        """What it learns in."""
        assert isinstance(self.env, BreakoutVecEnv)
        return self.env

    def state(self) -> Tree:
        """Return what `restore` needs."""
        return {
            "bfloat16": self.policy.precision is torch.bfloat16,
            "policy": self.policy.state_dict(),
            "optimizer": self.policy.optimizer.state_dict(),
            "minibatches": self.generator.bit_generator.state,
            "gathering": self.gathering,
        }

    def restore(self, state: Tree) -> None:
        """Go back to what `state` returned: weights, precision, optimiser, random states, games.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: it is another network's, or the games cannot be rebuilt.
        """
        self.policy.precision = torch.bfloat16 if state["bfloat16"] else torch.float32
        self.policy.load_state_dict(state["policy"])
        self.policy.optimizer.load_state_dict(state["optimizer"])
        for group in self.policy.optimizer.param_groups:
            group["capturable"] = False  # it may come from a GPU; `record` sets it there
        for weight, moments in self.policy.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):  # a fused optimiser takes them to lie in memory as the weights do
                moments[name] = torch.empty_like(weight).copy_(moments[name])
        self.generator.bit_generator.state = state["minibatches"]
        self.gathering = began = state["gathering"]
        self.games.restore(began["games"])
        self._last_obs, self._last_episode_starts = self.games.observation, began["starts"]
        self.ep_info_buffer = deque(began["scores"], RECENT_GAMES)
        if began["torch"].shape == self._random.get_rng_state().shape:  # else of another kind of device
            self._random.set_rng_state(began["torch"])


def order_weights(module: torch.nn.Module, order: torch.memory_format) -> None:
    """Lay the weights of convolutions out in memory in this order."""
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=order)
