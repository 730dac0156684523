"""Hundreds of damaged and absurd settings: each is refused in one sentence, or it runs."""

import collections
import random
import tomllib
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
from conftest import AGENTS, LONG, small

import jaxdqn
from jaxdqn import ConfigError, environment, training
from jaxdqn.config import check_single, parts, to_toml
from jaxdqn.parallel import executor

ABSURD = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 2**31 - 1, 2**31, 2**63, 10**30, -(10**30),
    0.0, -0.0, 0.5, 1.0, -1.5, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"),
    "", "maze", "relu", "Maze-jaxdqn", "CartPole-v1", "Pendulum-v1", "position", "random",
    "ü\n", "S.\n.G", "#", [], [0], [1], [16, -1], [1.5], ["a"], [[1, 2], [3]], [[]], {}, {"a": 1},
]  # fmt: skip


UNSAYABLE = [
    object(), print, {1: 2}, {"slip": object()}, {"a", "b"}, b"maze", 1j, np.zeros(3),
    np.zeros((2, 2)), np.float64(0.5), np.int64(3), jnp.arange(4), jax.random.key(0), (16, 16),
    [None], Fraction(1, 2), np.array(["a"]), {"height": {"a": [1]}},
]  # fmt: skip


def settings(rng: random.Random) -> dict:
    path = rng.choice(AGENTS)
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


def test_absurd_settings_in_python_are_refused_in_one_sentence_or_run():
    """What TOML can't say: objects, arrays, keys, tables with other keys, parts not chosen."""
    rng = random.Random(7)
    words = [*parts.every_word(), *parts.PARTS, "env_kwargs", "env_params", "env", "widht"]
    told: collections.Counter = collections.Counter()
    for _ in range(300):
        names = rng.sample(words, rng.choice([1, 1, 2]))
        changes = {name: rng.choice([*ABSURD, *UNSAYABLE]) for name in names}
        if rng.random() < 0.3:
            changes = {"method": rng.choice(["pqn", "ppo"]), **changes}
        if rng.random() < 0.4:
            table = rng.choice(["env_kwargs", "env_params"])
            key = rng.choice(["height", "generator", "layout", "slip", "cell_rewards"])
            changes[table] = {key: rng.choice([*ABSURD, *UNSAYABLE])}
        told[refusal(partial(trace, changes))] += 1
    assert told[""] < 150, "most of it is absurd"
    assert len(told) > 50


def trace(changes: dict) -> None:
    """Trace a training of absurd settings; each public entry sees them before anything runs."""
    config = small(**changes)
    state = training.outline(config)
    jax.eval_shape(partial(jaxdqn.run, config), state)


@pytest.mark.parametrize("entry", [jaxdqn.train, jaxdqn.sweep, jaxdqn.init])
def test_absurd_arguments_are_refused_in_one_sentence(entry):
    for thing in [*ABSURD, *UNSAYABLE, "configs/maze.toml", jax.random.PRNGKey(0)]:
        assert refusal(partial(entry, thing, jax.random.key(0)))
        if entry is not jaxdqn.sweep and not is_key(thing):
            assert refusal(partial(entry, small(), thing))
    for thing in (None, "a", 0, -1, 2.5, [0.5], [-1], [], [2**32], object()):
        assert refusal(partial(jaxdqn.sweep, small(), thing))
        assert refusal(partial(jaxdqn.sweep, small(), 1, env_params=thing))
        assert refusal(partial(jaxdqn.sweep, small(), 1, env_kwargs=thing))
    for thing in (None, "a", 0, [], object(), [object()], ["a"], [[1.0], [1.0, 2.0]]):
        assert refusal(partial(jaxdqn.sweep, small(), 1, discount=thing))


def is_key(thing) -> bool:
    return isinstance(thing, jax.Array) and jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key)


def refusal(attempt) -> str:
    """Return the sentence that an attempt is refused with, or an empty string."""
    try:
        attempt()
    except ConfigError as error:
        said = str(error)
        assert "\n" not in said, said
        assert said[-1] in ".?", said
        assert "0x" not in said, said
        return said
    return ""
