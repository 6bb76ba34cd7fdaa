"""An agent file brings back the same agent, or a sentence that says why not."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

from agents.agent import Agent, load_agent
from agents.encoder import Encoder, mirror
from agents.files import UserError
from agents.heads import ActionHead
from agents.planner import PlannerHead
from envs.breakout import FIRE, LEFT, NOOP, RIGHT


def make_agent(mirrored: bool = False) -> Agent:
    torch.manual_seed(0)
    encoder = Encoder("small")
    return Agent(encoder, ActionHead(encoder.features_dim, mirrored), "supervised", {"seed": 3})


def observations(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 84, 84), dtype=np.uint8)


@pytest.mark.parametrize("width", ["small", "nature"])
def test_encoder_shapes(width: str) -> None:
    encoder = Encoder(width)
    encoding = encoder(torch.from_numpy(observations(2)))
    maps = {"small": [(2, 16, 20, 20), (2, 32, 9, 9)], "nature": [(2, 32, 20, 20), (2, 64, 9, 9), (2, 64, 7, 7)]}
    assert [tuple(m.shape) for m in encoding.maps] == maps[width]
    assert encoding.features.shape == (2, encoder.features_dim)
    assert encoding.features.min() < 0, "the feature vector is linear"


def test_saved_and_loaded_agents_act_alike(tmp_path: Path) -> None:
    agent = make_agent(mirrored=True)
    agent.save(tmp_path / "agent.safetensors")
    again = load_agent(tmp_path / "agent.safetensors")
    assert (agent.predict(observations(40))[0] == again.predict(observations(40))[0]).all()
    assert (again.paradigm, again.facts) == ("supervised", {"seed": 3})
    agent.reseed(5), again.reseed(5)
    sampled = agent.predict(observations(40), deterministic=False)[0]
    assert (sampled == again.predict(observations(40), deterministic=False)[0]).all()
    assert len(set(sampled.tolist())) > 1


def test_mirrored_play_is_symmetric() -> None:
    agent, seen = make_agent(mirrored=True), observations(60)
    swapped = {NOOP: NOOP, RIGHT: LEFT, LEFT: RIGHT}
    assert agent.predict(mirror(seen))[0].tolist() == [swapped[a] for a in agent.predict(seen)[0].tolist()]


def test_a_planner_whose_tables_point_outside_is_refused(tmp_path: Path) -> None:
    planner = PlannerHead("small", slots=4, memories=20, cells=8, transitions=10)
    planner.get_buffer("cells").copy_(torch.rand(3, 8, 2))
    Agent(Encoder(), planner, "unsupervised").save(tmp_path / "fits.safetensors")
    assert load_agent(tmp_path / "fits.safetensors").head.settings() == planner.settings()
    for name, outside in (
        ("roles", torch.tensor([9, 9])),
        ("transitions", torch.tensor([0, 30_000, 30_000])),
        ("kinds", torch.tensor(9)),
    ):
        broken = copy.deepcopy(planner)
        broken.get_buffer(name).copy_(outside)
        Agent(Encoder(), broken, "unsupervised").save(tmp_path / "broken.safetensors")
        with pytest.raises(UserError, match=r"broken.safetensors.*do not fit"):
            load_agent(tmp_path / "broken.safetensors")


def test_any_layout_of_pictures_gives_the_same_actions() -> None:
    agent, seen = make_agent(), observations(5)
    actions = agent.predict(seen)[0]
    assert (agent.predict(np.moveaxis(seen, 1, -1))[0] == actions).all()
    assert [int(agent.predict(one)[0]) for one in seen] == actions.tolist()
    with pytest.raises(ValueError, match="uint8"):
        agent.predict(seen.astype(np.float32))


def test_the_agent_serves_by_itself() -> None:
    seen = observations(2)
    seen[1, 3] = seen[1, 2]  # nothing moves: no ball in play
    actions = make_agent().predict(seen)[0]
    assert actions[1] == FIRE
    assert actions[0] != FIRE


def test_agents_play_whole_games_under_stable_baselines3() -> None:
    env = make_atari_env("BreakoutNoFrameskip-v4", 1, seed=1, wrapper_kwargs={"terminal_on_life_loss": False})
    scores, lengths = evaluate_policy(
        make_agent(),
        VecTransposeImage(VecFrameStack(env, 4)),
        n_eval_episodes=1,
        return_episode_rewards=True,
    )
    assert isinstance(lengths, list)
    assert len(scores) == 1
    assert max(lengths) < 20_000, "nobody waits for a ball that is never served"
    env.close()


def test_hostile_and_broken_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    make_agent().save(good)
    content = good.read_bytes()
    tensors = load_file(good)

    def refuse(name: str, words: str) -> None:
        with pytest.raises(UserError, match=words) as error:
            load_agent(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)

    def metadata(**changes: object) -> dict[str, str]:
        record = {"format": 1, "paradigm": "supervised", "encoder": "small", "head": "action", "facts": {}}
        record |= {"head_settings": {"features_dim": 256, "mirrored": False}, **changes}
        return {"breakout": json.dumps(record)}

    refuse("missing.safetensors", "no such agent file")
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    refuse("cut.safetensors", "not a whole")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    refuse("empty.safetensors", "not a whole")
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    refuse("pickle.safetensors", "not a whole")
    save_file(tensors, tmp_path / "foreign.safetensors")
    refuse("foreign.safetensors", "not an agent of this project")
    save_file(tensors, tmp_path / "future.safetensors", metadata(format=99))
    refuse("future.safetensors", "format 99")
    save_file(tensors, tmp_path / "head.safetensors", metadata(head="oracle"))
    refuse("head.safetensors", "do not fit")
    save_file(tensors, tmp_path / "width.safetensors", metadata(encoder="nature"))
    refuse("width.safetensors", "do not fit")
    older = {name: tensor for name, tensor in tensors.items() if name != "head.linear.bias"}
    save_file(older, tmp_path / "older.safetensors", metadata())
    refuse("older.safetensors", "Missing key.*linear.bias.*train it again with this version")
    bad = {**tensors, "head.linear.bias": torch.full((3,), float("nan"))}
    save_file(bad, tmp_path / "nan.safetensors", metadata())
    refuse("nan.safetensors", "not finite")
    save_file(tensors, tmp_path / "seed.safetensors", metadata(facts={"seed": "first"}))
    refuse("seed.safetensors", "its training seed is 'first'")
    save_file(tensors, tmp_path / "list.safetensors", {"breakout": "[1]"})
    refuse("list.safetensors", "do not fit")
