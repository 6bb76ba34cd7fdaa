"""What a user can get wrong ends with exit code 2 and one line that names it; nothing of theirs is lost."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from agents import Agent
from agents.encoder import Encoder
from agents.files import write_json
from agents.heads import ActionHead
from evaluation.probed import SIGHT_COLUMNS, VARIABLES, read_probe, readout_rows, sight_row
from evaluation.reading import points
from evaluation.record import read_evaluations
from harness.cli import COMMANDS, main
from harness.compare import probe_tables, score_table
from harness.profiles import PARADIGMS, PROFILES

Refuse = Callable[..., str]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run the command line, expect it to refuse, and return its one line."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(words)
        said = capsys.readouterr().err.strip()
        assert stop.value.code == 2, said
        assert len(said.splitlines()) == 1, said
        assert "Traceback" not in said
        return said

    return run


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["dance"], "dance"),
        (["train"], "supervised, unsupervised, reinforcement"),
        (["train", "osmosis"], "osmosis"),
        (["train", "supervised", "--profile", "huge"], "huge"),
        (["compare", "--profile", "huge"], "huge"),
        (["shallow", "--profile", "huge"], "--profile huge: no such profile"),
        (["compare", "--seeds", "-1"], "--seeds -1"),
        (["train", "reinforcement", "--steps", "0"], "--steps"),
        (["train", "reinforcement", "--steps", "many"], "--steps"),
        (["train", "reinforcement", "--seed", "-3"], "--seed -3"),
        (["train", "unsupervised", "--seed", "5000000000"], "--seed 5000000000"),
        (["train", "reinforcement", "--epsilon", "nan"], "--epsilon"),
        (["train", "reinforcement", "--learning-rate", "inf"], "--learning-rate"),
        (["train", "reinforcement", "--colour", "red"], "--colour"),
        (["evaluate", "random", "--games", "0"], "--games"),
        (["evaluate", "random", "--protocol", "loose"], "--protocol"),
        (["evaluate", "nowhere.safetensors"], "nowhere.safetensors"),
        (["evaluate", "random", "--device", "abacus"], "abacus"),
        (["replay"], "agent"),
        (["probe"], "agent"),
        (["probe", "nowhere.safetensors"], "nowhere.safetensors"),
        (["replay", "random", "--out", "film.gif"], "film.gif"),
        (["report", "no/such/runs"], "no/such/runs"),
        (["replay", "random", "--seconds", "-5"], "--seconds"),
        (["replay", "random", "--seconds", "nan"], "--seconds"),
        (["replay", "random", "--seconds", "inf"], "--seconds"),
        (["evaluate", "random", "--json", "games.npz"], "games.npz"),
        (["evaluate", "n" * 300], "File name too long"),
        (["train", "supervised", "--learning-rate", "inf"], "--learning-rate"),
        (["train", "supervised", "--labels", "nowhere"], "nowhere"),
        (["train", "supervised", "--labels", "ada", "--learner", "regressor"], "--learner"),
        (["train", "supervised", "--labels", "ada", "--games", "77"], "--games has no meaning with --labels"),
        (["train", "supervised", "--algorithm", "ppo"], "--algorithm"),
        (["train", "supervised_cloning", "--learner", "regressor"], "train supervised_cloning --learner regressor"),
        (["train", "supervised_regressor", "--learner", "classifier"], "contradict each other"),
        (["train", "reinforcement_ppo", "--algorithm", "pqn"], "contradict each other"),
        (["bench", "--games", "1", "--rollout-steps", "1"], "--rollout-steps"),
        (["clusters", "random", "--json", "/"], "cannot write there"),
        (["probe", "random", "--json", "/"], "cannot write there"),
        (["probe", "one.safetensors", "two.safetensors"], "--json"),
        (["probe", "--json", "one.safetensors", "two.safetensors"], "ends in .json"),
        (["train", "supervised", "--batch", "99999999999999999999"], "--batch 99999999999999999999"),
        (["train", "supervised_cloning", "--demonstrated-rounds", "1"], "no meaning in plain cloning"),
        (["curve", "--seeds"], "--seeds"),
        (["curve", "--counts"], "--counts"),
        (["record", "--name", "ada", "--profile", "huge"], "huge"),
        (["train", "supervised", "--runs", ""], "after --runs is empty"),
        (["compare", "--runs="], "after --runs= is empty"),
    ],
    ids=" ".join,
)
def test_mistakes_are_named(refuse: Refuse, words: list[str], named: str, monkeypatch: pytest.MonkeyPatch,
                            tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = refuse(*words)
    assert named in said
    assert "---" not in said, "no rules that frame a box"
    assert not list(tmp_path.iterdir()), "what cannot begin leaves nothing behind"


@pytest.mark.parametrize("name", ["PROFILE", "RUNS"])
def test_make_takes_no_empty_folder(name: str) -> None:
    done = subprocess.run(["make", "clean", f"{name}="], cwd=ROOT, input="n", capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{name} is empty" in done.stderr
    assert "Delete" not in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda(refuse: Refuse, tmp_path: Path) -> None:
    assert "--device cpu" in refuse("train", "supervised", "--device", "cuda", "--runs", str(tmp_path))


def test_a_folder_that_cannot_be_written(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = refuse("train", "reinforcement", "--profile", "smoke", "--runs", str(tmp_path / "file"))
    assert str(tmp_path / "file") in said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["probe", "clusters"])
def test_no_other_json_is_written_over(refuse: Refuse, tmp_path: Path, command: str) -> None:
    other = tmp_path / "config.json"
    for content in ("{}", '[{"agent": "ada"}]', "7"):
        other.write_text(content)
        assert str(other) in refuse(command, "random", "--json", str(other))
        assert other.read_text() == content


@pytest.mark.parametrize("out", ["file/evaluation.json", "folder.json"])
def test_a_result_that_cannot_be_written_is_refused_before_the_games(
    refuse: Refuse, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.json").mkdir()
    monkeypatch.setattr("evaluation.evaluate.judge", lambda *_: pytest.fail("games were played"))
    assert str(tmp_path / Path(out).parts[0]) in refuse("evaluate", "random", "--json", str(tmp_path / out))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_full_memory(refuse: Refuse, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("harness.commands.train", full)
    assert "lower the largest" in refuse("train", "reinforcement", "--profile", "smoke")


def test_a_run_of_another_config_is_left_alone(refuse: Refuse, tmp_path: Path) -> None:
    folder = tmp_path / "smoke" / "reinforcement" / "seed_0"
    folder.mkdir(parents=True)
    config = json.dumps({"paradigm": "reinforcement", "seed": 0, "format": 1, "config": {"steps": 7}})
    (folder / "config.json").write_text(config)
    said = refuse("train", "reinforcement", "--profile", "smoke", "--runs", str(tmp_path))
    assert "steps = 7" in said
    assert (folder / "config.json").read_text() == config


def test_a_full_disk(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    said = refuse("train", "reinforcement", "--profile", "smoke", "--runs", str(tmp_path))
    assert "No space left" in said


def test_a_full_gpu(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("harness.commands.train", full)
    assert "lower --minibatch" in refuse("train", "reinforcement", "--profile", "smoke")


def test_of_two_profiles_the_last_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("harness.commands.train", lambda arm, folder, seed, device: asked.append((arm, folder)))
    main(["train", "supervised", "--profile", "smoke", "--profile", "quick", "--runs", str(tmp_path)])
    assert asked == [(PROFILES["quick"].arms()["supervised"], tmp_path / "quick" / "supervised" / "seed_0")]


def test_a_reader_that_has_had_enough_is_no_mistake() -> None:
    program = [sys.executable, "-c", "from harness.cli import main; main(['--help'])"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("closing", "words", "code"), [(">&-", "--help", 0), (">&-", "evaluate --help", 0), ("2>&-", "nope", 2)]
)
def test_closed_streams_are_no_mistake(closing: str, words: str, code: int) -> None:
    program = f"from harness.cli import main; main({words.split()})"
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closing}', sys.executable, program], capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (code, b"")


def test_a_file_where_a_folder_should_be(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.commands.evaluate", lambda *words: write_json(words[-1], []))
    (tmp_path / "file").write_text("mine")
    assert "file" in refuse("evaluate", "random", "--json", str(tmp_path / "file" / "found.json"))
    assert str(tmp_path) in refuse("evaluate", "random", "--json", str(tmp_path))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_nothing(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        main([command, "--help"])
    except SystemExit as stop:
        assert not stop.code
    assert "usage" in capsys.readouterr().out.lower()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_field_is_a_flag_with_a_sentence(paradigm: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", paradigm, "--help"])
    assert not stop.value.code
    text = capsys.readouterr().out
    config = getattr(PROFILES["quick"], paradigm)
    for name in vars(config):
        assert f"--{name.replace('_', '-')}" in text


def test_scores_are_shown_of_an_agent_that_lies_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = Encoder()
    Agent(encoder, ActionHead(encoder.features_dim), "supervised").save(Path("mine.safetensors"))
    main(["evaluate", "mine.safetensors", "--games", "1"])
    assert "mine.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize("agent", ["supervised.safetensors", "[/b] far/" * 9 + "supervised.safetensors"])
def test_numbers_stand_whole_where_a_terminal_is_narrow(agent: str) -> None:
    (sticky, *_) = read_evaluations(ROOT / "results" / "agents" / "supervised.json")
    console = Console(width=80, file=StringIO())
    console.print(score_table([replace(sticky, agent=agent)]))
    said = console.file.getvalue()
    low, high = sticky.spread
    for number in (sticky.summary.mean, sticky.summary.median, low, high):
        assert points(number) in said
    assert sticky.protocol in said
    assert "[/b]" not in agent or "[/b]" in said


def test_probes_stand_whole_where_a_terminal_is_narrow() -> None:
    found = read_probe(ROOT / "results" / "quick" / "unsupervised" / "seed_0" / "probe.json")
    console = Console(width=80, file=StringIO())
    for shown in probe_tables([replace(found, agent="runs/quick/unsupervised_components/seed_0/agent.safetensors")]):
        console.print(shown)
    said = console.file.getvalue()
    assert "unsupervised" in said
    assert all(word in said for name in (*VARIABLES, *SIGHT_COLUMNS) for word in name.split())
    for cell in (*readout_rows(found.representations)[0][1:], *sight_row("", found.keypoints)[1:]):
        assert all(line in said for line in cell.split("\n"))


def test_each_algorithm_has_its_own_numbers_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("harness.commands.train", lambda arm, folder, seed, device: asked.append((arm.config, folder)))
    for words in ([], ["--algorithm", "ppo"], ["--algorithm=ppo", "--gae-lambda", "0.5"]):
        main(["train", "reinforcement", "--profile", "smoke", "--runs", str(tmp_path), *words])
    pqn = PROFILES["smoke"].reinforcement
    assert [config for config, _ in asked] == [pqn, pqn.by_ppo(), replace(pqn.by_ppo(), gae_lambda=0.5)]
    assert [folder.parent.name for _, folder in asked] == ["reinforcement", "reinforcement_ppo", "reinforcement_ppo"]


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["supervised", "--learner", "regressor"], "supervised_regressor"),
        (["supervised_regressor"], "supervised_regressor"),
        (["supervised_cloning"], "supervised_cloning"),
        (["reinforcement_ppo"], "reinforcement_ppo"),
    ],
)
def test_variants_have_their_own_numbers_and_folders(
    words: list[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("harness.commands.train", lambda arm, folder, seed, device: asked.append((arm, folder)))
    main(["train", *words, "--profile", "smoke", "--runs", str(tmp_path)])
    assert asked == [(PROFILES["smoke"].variants()[folder], tmp_path / "smoke" / folder / "seed_0")]
