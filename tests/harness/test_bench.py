"""The bench measures, and its ratios are ratios to the first line."""

import pytest
from rich.console import Console

from harness.bench import Config, Speed, bench, environment_speeds, table


def test_it_prints_every_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    bench(Config(games=4, environment_steps=20, gradient_steps=1, rollouts=1, stock_rollouts=1))
    shown = capsys.readouterr().out
    for line in (
        "bare AtariVectorEnv",
        "BreakoutVecEnv",
        "float32, contiguous",
        "bfloat16",
        "the supervised arm",
        "stable-baselines3",
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
