"""Machines from before deep learning: they decide as scikit-learn does, learn from labels, and keep to their budget."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.naive_bayes import GaussianNB

from agents.agent import Agent, load_agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.heads import ActionHead
from agents.run import Run
from agents.shallow import see
from envs.breakout import CLASSIC, Game
from paradigms.supervised import shallow
from paradigms.supervised.gather import Field
from paradigms.supervised.labelled import NEAR
from paradigms.supervised.machines import CLASSES, MOST_PX, bayes_head, fit_bayes, fit_kernel, kernel_head, weigh
from paradigms.supervised.shallow import ShallowConfig, held_out, regret
from paradigms.supervised.states import CENTRE, States, read_states

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the supervised arm as it stays behind: two rounds of labelled states, and an agent."""
    folder = tmp_path_factory.mktemp("supervised")
    (folder / "checkpoints").mkdir()
    field = Field(4, np.random.SeedSequence(1))
    for number in range(2):
        states, _, _ = field.gather(None, 700)
        np.savez(folder / "checkpoints" / f"round_{number}.npz", **states.arrays())
    torch.manual_seed(0)
    encoder = Encoder("small")
    Agent(encoder, ActionHead(encoder.features_dim), "supervised").save(folder / "agent.safetensors")
    return folder


@pytest.fixture(scope="module")
def encoder(source: Path) -> Encoder:
    return load_agent(source / "agent.safetensors").encoder


@pytest.fixture(scope="module")
def pixels(source: Path, encoder: Encoder) -> States:
    return read_states(source, "pixels", encoder)


@pytest.fixture(scope="module")
def features(source: Path, encoder: Encoder) -> States:
    return read_states(source, "features", encoder)


def split(states: States) -> tuple[np.ndarray, np.ndarray]:
    return np.flatnonzero(~states.held_out), np.flatnonzero(states.held_out)


def test_states_are_what_was_labelled_and_what_an_agent_sees(
    source: Path, encoder: Encoder, pixels: States, features: States
) -> None:
    arrays = [np.load(source / "checkpoints" / f"round_{number}.npz") for number in range(2)]
    assert len(pixels) == len(features) == sum(len(a["stack"]) for a in arrays) > 1_400
    observation = torch.from_numpy(arrays[1]["pictures"][arrays[1]["stack"][:5]])
    rows = len(arrays[0]["stack"]) + np.arange(5)
    np.testing.assert_array_equal(pixels.inputs(rows), see("pixels", encoder, observation).numpy())
    with torch.inference_mode():
        seen = see("features", encoder, observation).numpy()
    np.testing.assert_allclose(features.inputs(rows), seen, atol=1e-4)
    costs = arrays[1]["costs"][:5, CENTRE]
    np.testing.assert_allclose(pixels.costs[rows], costs - costs.min(axis=1, keepdims=True), atol=1e-4)
    assert (pixels.best[rows] == costs.argmin(axis=1)).all()


@pytest.mark.parametrize("sight", ["pixels", "features"])
def test_naive_bayes_plays_what_scikit_learn_predicts(sight: str, pixels: States, features: States) -> None:
    states = pixels if sight == "pixels" else features
    trained, tested = split(states)
    (model,) = fit_bayes(states, trained, (0.01,))
    head = bayes_head(model, sight)
    inputs = states.inputs(tested)
    scores = head(torch.from_numpy(inputs))
    np.testing.assert_allclose(scores.log_softmax(1), model.predict_log_proba(inputs.astype(float)), atol=1e-6)
    assert (CLASSES[scores.argmax(1)] == model.predict(inputs.astype(float))).all()


def test_naive_bayes_in_chunks_is_naive_bayes(features: States) -> None:
    trained, tested = split(features)
    (model,) = fit_bayes(features, trained, (1e-3,))
    even = GaussianNB(var_smoothing=0.0).fit(features.inputs(trained).astype(float), features.best[trained])
    weighted = model.predict(features.inputs(tested))
    assert not np.allclose(model.theta_, even.theta_), "states that matter count for more"
    assert len(np.unique(weighted)) > 1
    (once, more) = (m.var_.copy() for m in fit_bayes(features, trained, (0.0, 0.5)))
    np.testing.assert_allclose(more, once + 0.5 * once.max())


@pytest.mark.parametrize("sight", ["pixels", "features"])
def test_a_kernel_machine_plays_what_scikit_learn_decides(sight: str, pixels: States, features: States) -> None:
    states = pixels if sight == "pixels" else features
    trained, tested = split(states)
    (machine,) = fit_kernel(states, trained, 150, np.random.default_rng(0), (0.3,), (0.1,))
    centre, mapping, coefficients, _ = machine
    mapped = mapping.transform((states.inputs(trained) - centre).astype(float))
    targets = -np.minimum(states.costs[trained], MOST_PX)
    ridge = Ridge(alpha=0.1, solver="cholesky").fit(mapped, targets, weigh(states, trained))
    np.testing.assert_allclose(coefficients, ridge.coef_.T, atol=1e-6 * np.abs(ridge.coef_).max())
    decided = ridge.predict(mapping.transform((states.inputs(tested) - centre).astype(float)))
    scores = kernel_head(machine, sight)(torch.from_numpy(states.inputs(tested))).numpy()
    np.testing.assert_allclose(scores, decided, atol=2e-3)  # px
    clear = np.diff(np.sort(decided, axis=1), axis=1)[:, -1] > 4e-3
    assert clear.mean() > 0.98
    assert (scores.argmax(1) == decided.argmax(1))[clear].all()


def test_with_as_many_landmarks_as_states_the_machine_is_exact(features: States) -> None:
    trained = split(features)[0][::10]
    (machine,) = fit_kernel(features, trained, 1_000, np.random.default_rng(0), (1.0,), (0.01,))
    inputs = (features.inputs(trained) - machine.centre).astype(float)
    mapped = machine.mapping.transform(inputs)
    np.testing.assert_allclose(mapped @ mapped.T, rbf_kernel(inputs, gamma=machine.mapping.gamma), atol=1e-6)


def test_a_machine_tells_states_apart(features: States) -> None:
    trained = split(features)[0][::5]
    (machine,) = fit_kernel(features, trained, 300, np.random.default_rng(0), (1.0,), (0.01,))
    best_constant = features.costs[trained].mean(axis=0).min()
    assert regret(kernel_head(machine, "features"), features, trained).mean() < 0.5 * best_constant


def test_regret_is_zero_for_the_demonstrators_choice_and_what_the_choice_costs_otherwise(features: States) -> None:
    class Always(shallow.ShallowHead):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).expand(len(inputs), -1)

    rows = np.arange(len(features))
    right = regret(Always("features", 256), features, rows)
    np.testing.assert_array_equal(right, features.costs[:, 1])
    assert (right[features.best == 1] == 0).all() and right.max() > 10
    figures = held_out(Always("features", 256), features)
    near = features.held_out & (features.frames <= NEAR)
    assert figures["heldout_regret_px"] == pytest.approx(features.costs[near, 1].mean())
    assert figures["heldout_moves"] == 1.0
    assert figures["heldout_accuracy"] == pytest.approx((features.best[near] == 1).mean())


def test_a_run_fits_every_budget_and_leaves_an_agent_that_plays(source: Path, tmp_path: Path) -> None:
    config = ShallowConfig(str(source), "kernel", "features", landmarks=80)
    with Run(tmp_path, "shallow", config, 0, CPU) as run:
        run.finish(shallow.train(config, run), tmp_path / "agent.safetensors")
    study = json.loads((tmp_path / "study.json").read_text())
    known = sum(int((~np.load(path)["held_out"]).sum()) for path in (source / "checkpoints").iterdir())
    assert [row["labels"] for row in study] == [100, 1_000, known]
    assert all(row["cpu_seconds"] > 0 and row["width"] in shallow.GRIDS["kernel"]["width"] for row in study)
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert (ledger["labels"], ledger["frames"], ledger["gradient_steps"]) == (known, 4 * known, 0)
    agent = load_agent(tmp_path / "agent.safetensors")
    taught = load_agent(source / "agent.safetensors").encoder
    assert all(a.equal(b) for a, b in zip(agent.encoder.parameters(), taught.parameters(), strict=True))
    game = Game(2, CLASSIC)
    for _ in range(30):
        game.step(int(agent.predict(game.observation)[0]))
    assert game.steps == 30


def test_pixels_and_untrained_features_take_nothing_from_the_taught_encoder(source: Path, tmp_path: Path) -> None:
    taught = load_agent(source / "agent.safetensors").encoder
    for inputs in ("pixels", "untrained"):
        config = ShallowConfig(str(source), "bayes", inputs)
        with Run(tmp_path / inputs, "shallow", config, 0, CPU) as run:
            agent = shallow.train(config, run)
        assert agent.head.settings()["sight"] == ("pixels" if inputs == "pixels" else "features")
        assert not agent.encoder.linear.weight.equal(taught.linear.weight)


def test_what_makes_no_sense_is_refused(features: States, tmp_path: Path) -> None:
    config = ShallowConfig(str(tmp_path / "nowhere"))
    with Run(tmp_path / "run", "shallow", config, 0, CPU) as run, pytest.raises(UserError, match="nowhere"):
        shallow.train(config, run)
    with pytest.raises(UserError, match="never ask for some action"):
        shallow.fit(config, features, np.arange(2), np.random.default_rng(0))


def test_damaged_labels_are_named(source: Path, encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no labelled states"):
        read_states(tmp_path, "pixels", encoder)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "round_0.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"round_0.npz: not a round of labelled states"):
        read_states(tmp_path, "pixels", encoder)


def test_a_missing_round_is_named(source: Path, encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for number in (0, 2):
        shutil.copy(source / "checkpoints" / "round_0.npz", tmp_path / "checkpoints" / f"round_{number}.npz")
    with pytest.raises(UserError, match=r"round_1.npz"):
        read_states(tmp_path, "pixels", encoder)
