"""The judge: the same games for everybody, whatever the number of workers, kept as the contract says."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.heads import ActionHead
from agents.rollout import GameRecord
from envs.breakout import STICKY, Game
from evaluation import evaluate as judge
from evaluation.evaluate import CHUNK, evaluate, fingerprint_of, play_task, sources_of, split
from evaluation.record import read_evaluations, read_games, write_evaluation

GAMES = CHUNK + 2  # more than one chunk, the last one smaller


@pytest.fixture(scope="module")
def agent_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("agent") / "agent.safetensors"
    Agent(Encoder("small"), ActionHead(256), "reinforcement", {"seed": 5}).save(path)
    return path


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The random policy, judged once by two workers."""
    path = tmp_path_factory.mktemp("random") / "evaluation.json"
    return path, evaluate("random", "sticky", GAMES, seed=3, workers=2, json_path=path)


def played_here(agent, protocol="sticky", games=GAMES, seed=3, deterministic=False):
    """The same tasks, one after the other in this process."""
    tasks = split(str(agent), protocol, games, seed, deterministic, "cpu")
    return [record for task in tasks for record in play_task(task, lambda over, points: None)]


def test_workers_change_nothing(judged):
    _, evaluation = judged
    expected = [(r.seed, r.score, r.steps, r.lives_left) for r in played_here("random")]
    assert [(g.seed, g.score, g.steps, g.lives_left) for g in evaluation.games] == expected


def test_random_play_scores_what_the_literature_says(judged):
    _, evaluation = judged
    assert evaluation.summary.mean < 5
    assert evaluation.summary.distinct_games == GAMES
    assert not evaluation.deterministic


def test_judged_seeds_are_odd_and_each_is_another():
    seeds = [seed for task in split("random", "classic", 200, 1000, False, "cpu") for seed in task.seeds]
    assert all(seed % 2 == 1 for seed in seeds)
    assert len(set(seeds)) == 200


def test_a_scripted_policy_is_known_by_all_its_sources(monkeypatch):
    names = {path.name for path in sources_of("agents.demonstrator")}
    assert {"demonstrator.py", "foresight.py", "paddle.py", "pilot.py", "breakout.py", "game_state.py"} <= names
    before, read = fingerprint_of("demonstrator"), Path.read_bytes
    assert before == fingerprint_of("demonstrator") != fingerprint_of("random")
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "paddle.py"))
    assert fingerprint_of("demonstrator") != before


def test_every_agent_meets_the_same_games():
    one, other = (split(agent, "sticky", 30, 1000, True, "cpu") for agent in ("random", "demonstrator"))
    assert [task.seeds for task in one] == [task.seeds for task in other]


def test_file_keeps_the_contract(judged):
    path, evaluation = judged
    (plain,) = json.loads(path.read_text())
    contract = {"agent", "paradigm", "protocol", "training_seed", "games", "summary"}
    assert contract <= set(plain)
    assert set(plain["games"][0]) == {"seed", "score", "steps", "lives_left", "truncated"}
    summary = {"mean", "median", "iqm", "ci95", "distinct_games", "human_normalised", "share_past_432"}
    assert set(plain["summary"]) == summary
    assert plain["summary"]["mean"] == np.mean([game["score"] for game in plain["games"]])
    assert read_evaluations(path) == [evaluation]


def test_kept_actions_replay_to_the_judged_score(judged):
    path, evaluation = judged
    for record in read_games(path, evaluation)[:3]:
        game = Game(record.seed, STICKY)
        for action in record.actions:
            game.step(action)
        assert (game.over, game.score, game.steps) == (True, record.score, record.steps)


def test_what_is_known_is_not_played_again(judged, monkeypatch):
    path, evaluation = judged
    monkeypatch.setattr(judge, "judge", lambda *_: pytest.fail("played again"))
    assert evaluate("random", "sticky", GAMES, seed=3, json_path=path) == evaluation


def test_damaged_games_count_as_missing(judged, tmp_path):
    path, evaluation = judged
    whole = path.with_suffix(".npz").read_bytes()
    (tmp_path / "evaluation.json").write_bytes(path.read_bytes())
    for place in range(0, len(whole), max(1, len(whole) // 300)):
        (tmp_path / "evaluation.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
        read_games(tmp_path / "evaluation.json", evaluation)  # whatever zip and zlib say of it


def test_statistics_of_known_games_are_made_anew(judged, tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    monkeypatch.setattr(judge, "judge", lambda *_: pytest.fail("played again"))
    for suffix in (".json", ".npz"):
        path.with_suffix(suffix).write_bytes(judged[0].with_suffix(suffix).read_bytes())
    path.write_text(path.read_text().replace(f'"distinct_games": {GAMES}', '"distinct_games": 1'))
    assert read_evaluations(path)[0].summary.distinct_games == 1
    assert evaluate("random", "sticky", GAMES, seed=3, json_path=path) == judged[1]
    assert read_evaluations(path) == [judged[1]]


def test_other_questions_are_not_answered_from_the_file(judged, monkeypatch):
    path, _ = judged

    class Played(Exception):
        pass

    def played(*_):
        raise Played

    monkeypatch.setattr(judge, "judge", played)
    for change in ({"protocol": "classic"}, {"games": GAMES - 1}, {"seed": 4}):
        asked = {"protocol": "sticky", "games": GAMES, "seed": 3} | change
        with pytest.raises(Played):
            evaluate("random", json_path=path, **asked)


def merged(path, evaluation, **changes):
    records = [GameRecord(**asdict(game), actions=bytes(game.steps)) for game in evaluation.games]
    fields = {name: getattr(evaluation, name) for name in evaluation.__dataclass_fields__}
    write_evaluation(path, type(evaluation)(**fields | changes), records)
    return [(e.protocol, e.mode, e.fingerprint) for e in read_evaluations(path)]


def test_protocols_and_modes_of_one_agent_are_kept_side_by_side(judged, tmp_path):
    path, same = tmp_path / "evaluation.json", judged[1].fingerprint
    merged(path, judged[1])
    merged(path, judged[1], protocol="classic")
    assert merged(path, judged[1], deterministic=True) == [
        ("classic", "sampled", same),
        ("sticky", "greedy", same),
        ("sticky", "sampled", same),
    ]
    assert all(read_games(path, evaluation) for evaluation in read_evaluations(path))


def test_what_an_older_agent_scored_goes(judged, tmp_path):
    path = tmp_path / "evaluation.json"
    merged(path, judged[1])
    assert merged(path, judged[1], protocol="classic", fingerprint="new") == [("classic", "sampled", "new")]


def test_an_agent_file_is_judged_with_its_paradigm_and_seed(agent_file):
    evaluation = evaluate(agent_file, "sticky", 2, seed=3, workers=1)
    assert (evaluation.paradigm, evaluation.training_seed, evaluation.deterministic) == ("reinforcement", 5, True)
    records = played_here(agent_file, games=2, deterministic=True)
    assert evaluation.scores == [record.score for record in records]


def test_sampled_play_is_repeatable_and_not_greedy(agent_file):
    first, second = (played_here(agent_file, "classic", games=2) for _ in range(2))
    assert first == second
    assert len({record.actions for record in first}) == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"games": 0}, "--games"),
        ({"workers": -1}, "--workers"),
        ({"seed": -1}, "--seed"),
        ({"protocol": "stciky"}, "--protocol stciky"),
        ({"agent": "nobody.safetensors"}, "nobody.safetensors"),
    ],
)
def test_a_users_mistake_is_named(arguments, named):
    with pytest.raises(UserError, match=named):
        evaluate(**{"agent": "random", "protocol": "sticky"} | arguments)


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"agent": "x"}]', "[[]]"])
def test_a_damaged_file_is_named_and_kept(tmp_path, content):
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"evaluation\.json"):
        evaluate("random", "sticky", 1, json_path=path)
    assert path.read_text() == content
