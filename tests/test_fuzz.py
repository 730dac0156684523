"""Hundreds of damaged and absurd settings: each is refused in one sentence, or it runs."""

import collections
import random
import tomllib
from functools import partial

import jax
import pytest
import tomli_w
from conftest import LONG, ROOT

import jaxdqn
from jaxdqn import ConfigError, environment, training
from jaxdqn.config import check_single, to_toml
from jaxdqn.parallel import executor

FILES = sorted((ROOT / "configs").glob("*.toml"))
ABSURD = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 2**31 - 1, 2**31, 2**63, 10**30, -(10**30),
    0.0, -0.0, 0.5, 1.0, -1.5, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"),
    "", "maze", "relu", "Maze-jaxdqn", "CartPole-v1", "Pendulum-v1", "position", "random",
    "ü\n", "S.\n.G", "#", [], [0], [1], [16, -1], [1.5], ["a"], [[1, 2], [3]], [[]], {}, {"a": 1},
]  # fmt: skip


def settings(rng: random.Random) -> dict:
    path = rng.choice(FILES)
    config = jaxdqn.load_config(path)
    return tomllib.loads(to_toml(config)) | {"total_steps": 2_000_000}


def damaged(rng: random.Random) -> dict:
    """Give one to three settings absurd values, misspell one, or drop it."""
    content = settings(rng)
    for _ in range(rng.choice([1, 1, 2, 3])):
        table = content
        if rng.random() < 0.35:
            table = content.setdefault(rng.choice(["env_kwargs", "env_params"]), {})
            known = ["height", "width", "generator", "density", "layout", "num_levels", "start",
                     "goal", "observation", "level_seed", "slip", "goal_reward", "step_cost",
                     "cell_rewards", "reward_noise", "max_steps_in_episode"]  # fmt: skip
        else:
            known = list(content)
        if not isinstance(table, dict):
            continue
        name = rng.choice(known)
        if rng.random() < 0.15:
            name = name[:-1] + rng.choice("xyz_")
        table[name] = rng.choice(ABSURD)
    return content


def as_text(content: dict, rng: random.Random) -> str:
    """TOML; None leaves a setting out, and now and then the text itself is damaged."""
    content = {
        name: {k: v for k, v in value.items() if v is not None}
        if isinstance(value, dict) else value
        for name, value in content.items() if value is not None
    }  # fmt: skip
    text = tomli_w.dumps(content)
    if rng.random() < 0.1:
        place = rng.randrange(len(text))
        text = rng.choice([text[:place], text[:place] + "=" + text[place:], "\0" + text])
    return text


def verdict(path) -> str:
    """Return the refusal, or an empty string where the settings can be traced."""
    try:
        config = jaxdqn.load_config(path)
        check_single(config)
        environment.make(config)
        executor.plan(config, 1)
    except ConfigError as error:
        return str(error)
    jax.eval_shape(partial(jaxdqn.run, config), training.outline(config))
    return ""


@pytest.mark.parametrize("count", [40, pytest.param(500 if LONG else 100, marks=pytest.mark.slow)])
def test_damaged_settings_are_refused_in_one_sentence_or_run(tmp_path, count):
    rng = random.Random(count)
    path = tmp_path / "damaged.toml"
    told: collections.Counter = collections.Counter()
    for _ in range(count):
        path.write_text(as_text(damaged(rng), rng), encoding="utf-8")
        said = verdict(path)
        assert "\n" not in said, said
        assert not said or said[-1] in ".?", said
        assert "Traceback" not in said
        assert "0x" not in said
        told[said] += 1
    assert told[""] < 0.5 * count, "most of it is damage"
