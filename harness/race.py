"""A race to `GOAL` points: the reinforcement arm, and stable-baselines3's own PPO with its usual hyperparameters.

How long does each take until its last training games, played to the end and unclipped, have that mean?
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from rich.table import Table
from stable_baselines3.common.callbacks import BaseCallback

from agents.files import UserError
from agents.run import Interrupted, Run
from evaluation.reading import points
from evaluation.runs import STOCK, Curve, read_run
from harness.bench import yardstick
from harness.compare import table, train
from harness.profiles import Profile
from harness.stock import ZOO, stock_env, stock_ppo
from paradigms.reinforcement.train import count

GOAL = 15.0  # points
TIMES = 4.0  # as long as ours took to get there: stock's time is up then, or when ours is through with its training


class _Watch(BaseCallback):
    """Logs every rollout as ours are logged, and ends the training when its time is up."""

    def __init__(self, run: Run, seconds: float, at_least: float) -> None:
        super().__init__()
        self.run, self.seconds, self.at_least, self.over = run, seconds, at_least, False

    def _on_rollout_end(self) -> None:
        count(self.run, ZOO)
        scores = [game["r"] for game in self.model.ep_info_buffer or ()]
        score = sum(scores) / max(len(scores), 1)
        if scores:
            self.run.log(score=score)
            self.over = _over(self.run.ledger.wall_seconds, score, self.seconds, self.at_least)
        self.run.tick(self.run.ledger.wall_seconds, self.seconds, f"score {score:.1f}", dict)

    def _on_step(self) -> bool:
        return not self.over


def race(profile: Profile, root: Path, seeds: Sequence[int], device: torch.device) -> Table:
    """Train the reinforcement arm and stock with every seed, unless they are; return who took how long.

    Stock cannot be resumed: what was stopped begins anew. Its threads sleep while they wait, as ours do; on several
    cores that costs it up to a tenth.

    Raises:
        KeyboardInterrupt: stock was stopped.
    """
    rows = []
    for seed in seeds:
        arm = profile.arms()["reinforcement"]
        ours = _curve(train(arm, root / "reinforcement" / f"seed_{seed}", seed, device).parent)
        folder = root / STOCK / f"seed_{seed}"
        whole = ours.wall_seconds[-1]
        seconds = max(whole, TIMES * (ours.seconds_to(GOAL) or 0))
        with Run(folder, "stock", ZOO, seed, device) as run:
            if not _through(folder, seconds, whole):
                run.note("yardstick", yardstick)
                try:
                    with closing(stock_env(ZOO.games, seed)) as env:
                        stock_ppo(ZOO, env, seed, device).learn(ZOO.steps, _Watch(run, seconds, whole))
                except Interrupted as stop:
                    run.progress.say(f"{folder}: stock cannot be resumed; it will begin anew")
                    raise KeyboardInterrupt from stop
        stock = _curve(folder)
        rows.append((str(seed), _minutes(ours), _minutes(stock), points(stock.scores[-1])))
    columns = ("training seed", "ours, minutes", "stock, minutes", "stock's last score")
    return table(f"To {GOAL:.0f} points", columns, rows)


def _through(folder: Path, seconds: float, at_least: float) -> bool:
    curve = read_run(folder).curve
    return curve is not None and _over(curve.wall_seconds[-1], curve.scores[-1], seconds, at_least)


def _over(spent: float, score: float, seconds: float, at_least: float) -> bool:
    return spent >= seconds or (score >= GOAL and spent >= at_least)


def _curve(folder: Path) -> Curve:
    curve = read_run(folder).curve
    if curve is None:
        raise UserError(f"{folder}/metrics.csv: holds no scores of training games; move the folder away and run again")
    return curve


def _minutes(curve: Curve) -> str:
    reached = curve.seconds_to(GOAL)
    return f"{reached / 60:.1f}" if reached is not None else f"not in {curve.wall_seconds[-1] / 60:.0f}"
