"""The bench measures, and its ratios are ratios to the first line."""

import pytest
from rich.console import Console

from harness.bench import Config, bench, environment_speeds
from harness.bench_reinforcement import Parts, learning_like, parts_table, ppo_parts
from harness.speeds import Speed, table


def test_it_prints_every_comparison(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.BATCH", 8)
    bench(Config(games=4, environment_steps=20, gradient_steps=1, rollout_steps=8, rollouts=1, stock_rollouts=1))
    shown = capsys.readouterr().out
    for line in (
        "bare AtariVectorEnv",
        "BreakoutVecEnv",
        "float32, contiguous",
        "bfloat16",
        "the supervised arm",
        "stable-baselines3, DummyVecEnv",
        "stable-baselines3, SubprocVecEnv",
        "copies",
        "ours",
    ):
        assert line in shown


def test_ratios_are_to_the_first_line() -> None:
    console = Console(record=True, width=100)
    console.print(table("t", "steps/s", [Speed("a", 2_000.0), Speed("b", 5_000.0)]))
    row = next(line for line in console.export_text().splitlines() if " b " in line)
    assert "5,000" in row
    assert "2.50" in row


def test_speeds_are_positive_steps_per_second() -> None:
    bare, ours = environment_speeds(Config(games=2, environment_steps=10))
    assert bare.per_second > 0
    assert 0.1 < ours.per_second / bare.per_second < 10


def test_the_limit_is_what_the_parts_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench_reinforcement.cores", lambda: 2)
    parts, learning = Parts(environment=0.1, forward=0.1, update=0.3, copies=0.5), learning_like(10, 10)
    assert parts.limit(learning) == pytest.approx(2 * 100 / 0.5)
    console = Console(record=True, width=100)
    console.print(parts_table(learning, parts, Speed("ours", 300.0)))
    text = " ".join(console.export_text().split())
    assert "400 steps/s" in text
    assert "75% of that" in text
    assert "50%" in text, "the copies' share"


def test_the_parts_make_up_the_whole() -> None:
    parts = ppo_parts(learning_like(2, 8), repetitions=1)
    assert all(spent >= 0 for spent in vars(parts).values())
    assert parts.update > parts.forward / 3, "three passes with gradients take longer than one without"
