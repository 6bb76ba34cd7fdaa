"""Reinforcement learning: from the score, by interaction.

By default it learns what each action is worth: the parallelised Q-network (PQN; `pqn.py`). `--algorithm ppo` learns a
policy by its gradient: proximal policy optimisation (PPO; `ppo.py`). Both play in the native vector environment with
the shared encoder, in stable-baselines3's loop, and at the same speed. The pieces, in the order of a step's life:

- `rollout.py`: the steps that are learnt from, and their mirror images;
- `learner.py`: gathering them, the passes over them, and how to go on after a crash;
- `overlap.py`: acting and updating at once;
- `../validation.py`: which of the agents along the way is the best.

On one H200 and 16 cores the full profile makes 14,000 steps/s (the emulators alone: 16,800), 12,800 with all that is
around them. Half of its games are sticky: after its 10M steps (23 minutes on a slower machine with an H200) its agent
scored 387 in `classic` and 372 (345 to 393) in `sticky` games. In `classic` games alone it scored 382 and 330 (302 to
356) after 6.1M steps, and 400 and 182 (144 to 224) after 8.0M with twice the gradient steps (`--minibatch 256`): it
comes to know games that always obey, and those alone. The other profiles have no sticky games: in the quick one they
cost points (below), in the standard one they are not measured.
With the quick profile's 650,000 steps (judge's seed 1000, 30 greedy games each) PQN's agents of training seeds 0, 1, 2
scored 37.3, 36.2 and 16.3 in `classic`, and 27.2, 24.4 and 16.2 in `sticky` games; PPO's of seed 0, not yet mirrored at
play, 16.1 and 15.2. With `--sticky-share 0.5` PQN's scored 23.9, 24.9 and 14.6, and 26.1, 27.6 and 12.1.

What differs from the papers in both, why, and what each is worth as far as it was measured (steps are agent steps):

1. Mirrored frames: half of every minibatch is flipped, with RIGHT and LEFT exchanged. Breakout is its own mirror
   image, so each step teaches two states. Without it the learning rate of PPO collapsed in a prototype.
2. At play the agent looks in the mirror as well and averages: no network is quite its own mirror image. PQN: 26.6
   instead of 23.6 points (quick profile), 141 instead of 93.0 (the reference agent; 40 `sticky` games each); PPO: 16.6
   instead of 16.3 (60 games).
3. FIRE is not among the actions; the environment presses it for every agent alike. Not measured alone.
4. Acting and updating overlap (Huang et al. 2024, "Cleanba"): rollout k + 1 is gathered with the weights from before
   update k, on half of the cores, while the update takes what there is on all of them. On 2 cores, nature and small
   network (PPO, PQN; 16 games): 335 and 656 steps/s; in turns on all cores 281 and 560; each on a core of its own 232
   and 591. What the older weights cost in score: not measured alone. On a GPU each of the two has a stream of its own,
   and the gradient step is one CUDA graph (`recorded.py`: 34 instead of 72 ms for the update on a rollout of the full
   profile).
5. The bytes of a rollout become a tensor once, channels last, and the network runs under bfloat16 where that is faster:
   6,888 instead of 4,263 samples/s of training on a core that has instructions for it, a fifth on one that has not.
6. The agent is not simply the last one: one from along the way is kept if it leads in validation (`../validation.py`).
7. A greedy agent that has not won a point for 300 steps blurs its choice (`agents.heads.blurred`): 387 +- 6 instead of
   372 +- 8 points (the reference agent; 24 `classic` games from scattered starts, 10 of which never ended before).

Resuming is exact on a CPU: weights, optimiser, random states and games come back, the rollout that was on its way is
gathered again, and the agent has the bits that it would have had (given the same number of cores, and the same
`--precision`). On a GPU the same comes back, but its arithmetic does not repeat itself to the last bit.
"""

from __future__ import annotations

import math
from contextlib import closing
from functools import partial

import numpy as np
import torch

from agents.agent import Agent
from agents.encoder import finite
from agents.files import Tree, UserError
from agents.run import Run
from envs.breakout import CLASSIC, FRAME_SKIP, LEARNT_ACTIONS, STICKY, cores
from envs.vector import BreakoutVecEnv
from paradigms.reinforcement.config import Algorithm, Config
from paradigms.reinforcement.learner import Learner
from paradigms.reinforcement.overlap import overlapped
from paradigms.reinforcement.ppo import BreakoutPPO
from paradigms.reinforcement.pqn import BreakoutPQN
from paradigms.validation import Validation

ALGORITHMS: dict[Algorithm, type[BreakoutPPO] | type[BreakoutPQN]] = {"ppo": BreakoutPPO, "pqn": BreakoutPQN}


def train(config: Config, run: Run) -> Agent:
    """Learn to play from the score; return the agent that did best in validation.

    Raises:
        UserError: the loss is no longer a number (the checkpoint before it stays), or the checkpoint is not this run's.
        Interrupted: Ctrl-C, after a checkpoint.
    """
    torch.manual_seed(int(run.stream("weights and actions").generate_state(1)[0]))  # SB3 draws from torch's own
    with closing(make_env(config, run.stream("games"))) as env:
        learner = ALGORITHMS[config.algorithm](
            env, config, np.random.default_rng(run.stream("minibatches")), run.device
        )
        validation = Validation(config.validation_games, run)
        for update in overlapped(learner, resumed(learner, validation, run), config.updates):
            count(run, config)
            if not (math.isfinite(learner.health["loss"]) and finite(learner.policy)):
                raise UserError(
                    f"{run.folder}: after update {update} the loss or a weight is not a number; lower --learning-rate "
                    "and train anew elsewhere; the last good checkpoint is kept"
                )
            score = learner.score
            if update % max(1, config.updates // 200) == 0 or update == config.updates:
                run.log(**learner.health, **({} if math.isnan(score) else {"score": score}))
            if due(update, config):
                validation.judge(learner.agent())
            run.tick(update, config.updates, f"score {score:.1f}", partial(state, learner, validation, update))
    assert validation.best is not None, "the last update is validated"
    return validation.best


def state(learner: Learner, validation: Validation, update: int) -> Tree:
    """Return all that it takes to go on after so many updates."""
    return {"update": update, "validation": validation.state(), **learner.state()}


def resumed(learner: Learner, validation: Validation, run: Run) -> int:
    """Go back to the newest checkpoint, if there is one; return how many updates were made by then.

    Raises:
        UserError: it is not this run's.
    """
    kept, update = run.restore(), 0
    if kept is not None:
        with run.resuming():
            learner.restore(kept)
            validation.restore(kept["validation"])
            update = int(kept["update"])
    return update


def due(update: int, config: Config) -> bool:
    """Tell whether the agent is to play for its place after this update: evenly spread, the last update included."""
    before, now = (number * config.validations // config.updates for number in (update - 1, update))
    return now > before


def make_env(config: Config, seed: np.random.SeedSequence | int, threads: int | None = None) -> BreakoutVecEnv:
    """Return the games to learn in: rewards clipped to their sign, a lost life an end, no FIRE to choose.

    Args:
        threads: for the emulators; one for each core if not said.
    """
    sticky = round(config.games * config.sticky_share)
    return BreakoutVecEnv(
        config.games,
        seed,
        [CLASSIC] * (config.games - sticky) + [STICKY] * sticky,
        actions=LEARNT_ACTIONS,
        clip_rewards=True,
        life_loss_ends=True,
        threads=threads or cores(),
    )


def count(run: Run, config: Config) -> None:
    """Enter one rollout and the update on it into the ledger."""
    run.ledger.agent_steps += config.rollout
    run.ledger.frames += config.rollout * FRAME_SKIP
    run.ledger.rewards_read += config.rollout
    run.ledger.gradient_steps += config.epochs * math.ceil(config.rollout / config.minibatch)
    run.ledger.samples += config.epochs * config.rollout
