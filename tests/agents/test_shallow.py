"""Heads from before deep learning: what they see is exact, and they come back from a file as they went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from agents.agent import Agent, load_agent
from agents.encoder import Encoder
from agents.files import UserError
from agents.policy import check_policy
from agents.shallow import BayesHead, KernelHead, ShallowHead, inputs_dim, see, shrink
from envs.breakout import CLASSIC, Game


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("small").eval()


def observations(count: int) -> np.ndarray:
    games = [Game(seed, CLASSIC) for seed in range(0, 2 * count, 2)]
    for step in range(12):
        for game in games:
            game.step((2, 3)[(step + game.seed) % 2])
    return np.stack([game.observation for game in games])


def agent_of(head: ShallowHead, encoder: Encoder) -> Agent:
    generator = torch.Generator().manual_seed(1)
    for name, buffer in head.named_buffers():
        if name == "variance":
            buffer.copy_(500 + 100 * torch.rand(buffer.shape, generator=generator))
        elif name == "gamma":
            buffer.fill_(1e-8)
        elif name != "lengths":
            buffer.copy_(100 * torch.rand(buffer.shape, generator=generator))
    if isinstance(head, KernelHead):
        head.get_buffer("lengths").copy_(head.get_buffer("landmarks").double().square().sum(1))
    return Agent(encoder, head, "shallow")


def test_a_shrunk_picture_is_the_mean_of_its_blocks_and_exact_in_half_precision() -> None:
    picture = torch.arange(84 * 84).reshape(84, 84).remainder(251).to(torch.uint8)
    small = shrink(picture)
    assert small.shape == (42, 42)
    assert float(small[3, 5]) == picture[6:8, 10:12].double().mean()
    assert small.half().float().equal(small)


def test_what_is_seen_is_pictures_or_what_the_last_layer_of_the_cnn_sees(encoder: Encoder) -> None:
    seen = torch.from_numpy(observations(2))
    assert see("pixels", encoder, seen).shape == (2, inputs_dim("pixels", encoder))
    assert see("pixels", encoder, seen)[0, -1] == seen[0, -1, -2:, -2:].float().mean(), "newest picture, last corner"
    features = see("features", encoder, seen)
    assert features.shape == (2, inputs_dim("features", encoder))
    torch.testing.assert_close(features, torch.relu(encoder(seen).features))


def test_naive_bayes_by_hand() -> None:
    head = BayesHead("features", 2)
    head.get_buffer("mean").copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]]))
    head.get_buffer("variance").copy_(torch.tensor([[1.0, 1.0], [4.0, 1.0], [1.0, 1.0]]))
    head.get_buffer("log_prior").copy_(torch.tensor([0.5, 0.25, 0.25]).log())
    scores = head(torch.tensor([[1.0, 0.0]]))[0].exp()
    density = 1 / (2 * np.pi)
    expected = [0.5 * density * np.exp(-0.5), 0.25 * density / 2, 0.25 * density * np.exp(-0.5 * (16 + 25))]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)


def test_a_kernel_machine_by_hand() -> None:
    head = KernelHead("features", 2, landmarks=2)
    head.get_buffer("centre").copy_(torch.tensor([1.0, 0.0]))
    head.get_buffer("landmarks").copy_(torch.tensor([[0.0, 0.0], [0.0, 2.0]]))  # so at (1, 0) and (1, 2)
    head.get_buffer("lengths").copy_(torch.tensor([0.0, 4.0]))
    head.get_buffer("gamma").fill_(0.5)
    head.get_buffer("weights").copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    head.get_buffer("intercept").copy_(torch.tensor([0.0, 0.0, 3.0]))
    scores = head(torch.tensor([[1.0, 1.0]]))[0]
    np.testing.assert_allclose(scores.numpy(), [np.exp(-0.5), 2 * np.exp(-0.5), 3.0])


@pytest.mark.parametrize("kind", ["bayes", "kernel"])
@pytest.mark.parametrize("sight", ["pixels", "features"])
def test_an_agent_keeps_the_contract_and_comes_back_alike(
    kind: str, sight: str, encoder: Encoder, tmp_path: Path
) -> None:
    dim = inputs_dim(sight, encoder)
    head = BayesHead(sight, dim) if kind == "bayes" else KernelHead(sight, dim, landmarks=5)
    agent, seen = agent_of(head, encoder), observations(6)
    check_policy(agent, seen)
    agent.save(tmp_path / "agent.safetensors")
    again = load_agent(tmp_path / "agent.safetensors")
    assert again.head.settings() == head.settings()
    inputs = see(sight, encoder, torch.from_numpy(seen))
    assert head(inputs).equal(again.head(inputs))
    assert (again.predict(seen)[0] == agent.predict(seen)[0]).all()


def test_a_file_whose_inputs_are_of_another_length_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    agent_of(BayesHead("features", 7), encoder).save(tmp_path / "agent.safetensors")
    with pytest.raises(UserError, match=r"agent.safetensors: the agent's parts do not fit"):
        load_agent(tmp_path / "agent.safetensors")


def test_another_sight_is_refused() -> None:
    with pytest.raises(ValueError, match="sight 'touch'"):
        BayesHead("touch", 4)
