"""A configuration is a pytree, round-trips through TOML, and refuses what can't be honoured."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, small
from hypothesis import given
from hypothesis import strategies as st

import jaxdqn
from jaxdqn import Config, ConfigError, environment, training
from jaxdqn.config import check, notes, scaled, to_toml

KEY = jax.random.key(0)
STATIC = {
    "env", "env_kwargs", "total_steps", "num_envs", "train_every", "updates_per_step",
    "warmup_steps", "capacity", "replay", "batch_size", "double", "head", "loss", "network",
    "widths", "channels", "blocks", "activation", "layer_norm", "evaluations", "eval_episodes",
    "eval_steps", "oracle_levels",
}  # fmt: skip


def refuse(config: Config, *fragments: str) -> None:
    """Every public entry refuses, in one sentence with these words, before anything is traced."""
    traced = training._init._cache_size(), training._run._cache_size()
    with pytest.raises(ConfigError) as caught:
        jaxdqn.train(config, jax.random.key(0))
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    assert "\n" not in message
    assert message[-1] in ".?"
    assert (training._init._cache_size(), training._run._cache_size()) == traced


def test_structure_is_static_and_numbers_are_leaves():
    leaves = {path[0].name for path, _ in jax.tree_util.tree_leaves_with_path(Config())}
    fields = {field.name for field in dataclasses.fields(Config)}
    assert fields - leaves - {"env_params"} == STATIC
    assert isinstance(hash(jax.tree.structure(small())), int)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"num_envs": 0}, ["num_envs (0)", "1 or more"]),
        ({"num_envs": 2.5}, ["num_envs (2.5)", "whole number"]),
        ({"num_envs": True}, ["num_envs (True)", "whole number"]),
        ({"widths": 64}, ["widths (64)", "list of whole numbers"]),
        ({"widths": (64, 0)}, ["widths ((64, 0))", "each 1 or more"]),
        ({"network": "mpl"}, ["network = 'mpl'", "did you mean 'mlp'?"]),
        ({"loss": "l1"}, ["loss = 'l1'", "huber, squared"]),
        ({"double": "yes"}, ["double ('yes')", "true or false"]),
        ({"discount": 1.01}, ["discount (1.01)", "from 0 to 1"]),
        ({"discount": "high"}, ["discount ('high')", "a number"]),
        ({"learning_rate": math.nan}, ["learning_rate (nan)", "from 0 to 1000"]),
        ({"learning_rate": 1001.0}, ["learning_rate (1001.0)", "from 0 to 1000"]),
        ({"learning_rate_end_factor": 1e4}, ["learning_rate_end_factor (10000.0)", "to 1000"]),
        ({"adam_epsilon": 0.0}, ["adam_epsilon (0.0)", "1e-20 or more"]),
        ({"target_period": 0}, ["target_period (0)", "1 or more"]),
        ({"target_period": 1.5}, ["target_period (1.5)", "whole number"]),
        ({"target_period": 2**31}, ["target_period (2147483648)", "lower"]),
        ({"batch_size": 65}, ["batch_size (65)", "(64)", "raise warmup_steps to 65"]),
        ({"warmup_steps": 130}, ["warmup_steps (130", "132", "capacity (128)", "raise capacity"]),
        ({"train_every": 33}, ["num_envs (4) × train_every (33) = 132", "capacity (128)"]),
        ({"total_steps": 60}, ["total_steps (60)", "(64)", "raise total_steps to 68", "--scale"]),
        ({"total_steps": 2**31}, ["total_steps (2147483648)", "below 2147483648"]),
        ({"epsilon_start": 0.01}, ["epsilon_end (0.05)", "epsilon_start (0.01)"]),
        ({"num_envs": jnp.arange(3)}, ["num_envs", "structure", "give one plain value"]),
        ({"learning_rate": np.array([1e-3, -1.0])}, ["learning_rate", "from 0 to 1000"]),
        ({"env": "CartPol-v1"}, ["env 'CartPol-v1'", "did you mean 'CartPole-v1'?"]),
        ({"env": "Pendulum-v1", "env_kwargs": {}}, ["Pendulum-v1", "continuous", "another"]),
        ({"env_kwargs": {"heigth": 5}}, ["env_kwargs 'heigth'", "did you mean 'height'?"]),
        ({"env_kwargs": {"height": 0}}, ["env_kwargs.height (0)", "from 1 to 128"]),
        ({"env_kwargs": {"height": 1, "width": 1}}, ["one cell", "raise one"]),
        ({"env_kwargs": {"generator": "maze"}}, ["env_kwargs.generator ('maze')", "scatter"]),
        ({"env_kwargs": {"observation": "rgb"}}, ["env_kwargs.observation ('rgb')", "planes"]),
        ({"env_kwargs": {"start": "middle"}}, ["env_kwargs.start ('middle')", "random"]),
        ({"env_kwargs": {"generator": "corridors"}}, ["height (10)", "odd", "11 and 11"]),
        ({"env_kwargs": {"density": 0.95}}, ["none of", "is solvable", "density"]),
        ({"env_kwargs": {"density": 1.5}}, ["env_kwargs.density (1.5)", "from 0 to 0.99"]),
        ({"env_kwargs": {"loops": -1}}, ["env_kwargs.loops (-1)", "from 0 to 1"]),
        ({"env_kwargs": {"generator": "braid"}}, ["height (10)", "odd for braid", "11 and 11"]),
        ({"env_kwargs": {"carver": "prim"}}, ["env_kwargs.carver ('prim')", "depth_first"]),
        ({"env_kwargs": {"room_size": 1}}, ["env_kwargs.room_size (1)", "from 2 to 128"]),
        ({"env_kwargs": {"view_size": 4}}, ["env_kwargs.view_size (4)", "odd", "use 5"]),
        ({"env_kwargs": {"num_levels": 0}}, ["env_kwargs.num_levels (0)", "from 1"]),
        ({"env_kwargs": {"num_held_out": -1}}, ["env_kwargs.num_held_out (-1)", "from 0"]),
        ({"env_kwargs": {"difficulty": (9, 3)}}, ["env_kwargs.difficulty ((9, 3))", "[10, 20]"]),
        ({"env_kwargs": {"difficulty": 9}}, ["env_kwargs.difficulty (9)", "fewest and the most"]),
        (
            {"env_kwargs": {"generator": "empty", "num_held_out": 1}},
            ["num_held_out (2) exceeds the 1 distinct levels", "lower it"],
        ),
        ({"env_params": {"held_out": 1}}, ["env_params 'held_out'", "known"]),
        ({"env_kwargs": {"generator": "layout"}}, ["layout", "not given"]),
        ({"env_kwargs": {"layout": "S.G"}}, ["layout", "generator = 'layout'"]),
        ({"env_kwargs": {"generator": "layout", "layout": "S?G\n..."}}, ["'?'", "use only"]),
        ({"env_kwargs": {"generator": "layout", "layout": "S.\n..G"}}, ["lengths [2, 3]"]),
        ({"env_kwargs": {"generator": "layout", "layout": "SS\n.G"}}, ["2 cells 'S'", "keep one"]),
        ({"env_kwargs": {"generator": "layout", "layout": "#.\n.G"}}, ["wall at the start"]),
        ({"env_kwargs": {"generator": "layout", "layout": "S#\n#G"}}, ["no way from start"]),
        ({"env_params": {"slipp": 0.1}}, ["env_params 'slipp'", "did you mean 'slip'?"]),
        ({"env_params": {"slip": 1.1}}, ["env_params.slip (1.1)", "from 0 to 1"]),
        ({"env_params": {"slip": "no"}}, ["env_params.slip ('no')", "number"]),
        ({"env_params": {"cell_rewards": np.zeros((2, 3))}}, ["cell_rewards", "(2, 3)", "4 rows"]),
        ({"env": "MetaMaze-misc", "env_kwargs": {"maze_size": 4}}, ["'maze_size': 4", "refused"]),
        ({"network": "residual"}, ["network ('residual')", "(H, W, C)", "observation = 'planes'"]),
    ],
)  # fmt: skip
def test_a_wrong_setting_ends_in_one_sentence_with_the_remedy(changes, fragments):
    refuse(small(**changes), *fragments)


@pytest.mark.parametrize(
    ("make", "fragments"),
    [
        (lambda: Config(learning_rat=1e-3), ["'learning_rat'", "did you mean 'learning_rate'?"]),
        (lambda: Config().replace(discout=1.0), ["'discout'", "did you mean 'discount'?"]),
        (lambda: Config(env_kwargs=None), ["env_kwargs (None)", "write {} for none"]),
        (lambda: Config(env_kwargs="a"), ["env_kwargs ('a')", "write {} for none"]),
        (lambda: Config(env_kwargs={1: 2}), ["env_kwargs ({1: 2})", "names"]),
        (lambda: jaxdqn.init(small(env_params=None), KEY), ["env_params (None)", "write {}"]),
        (lambda: jaxdqn.train("configs/maze.toml", KEY), ["'configs/maze.toml'", "load_config"]),
        (lambda: jaxdqn.run("maze", None), ["config ('maze')", "load_config"]),
        (lambda: jaxdqn.sweep("maze", 2), ["config ('maze')", "load_config"]),
        (lambda: jaxdqn.train(small(), 0), ["key (0)", "jax.random.key(0)"]),
        (lambda: jaxdqn.train(small(), jax.random.PRNGKey(0)), ["key (", "jax.random.key(0)"]),
        (lambda: jaxdqn.train(small(), jax.random.split(KEY)), ["shape (2,)", "jax.vmap"]),
        (lambda: jaxdqn.evaluate(small(), {}, 0), ["key (0)", "jax.random.key(0)"]),
        (lambda: jaxdqn.init(small(env=object()), KEY), ["env (<object", "registered with gymnax"]),
    ],
)
def test_a_wrong_call_ends_in_one_sentence_with_the_remedy(make, fragments):
    with pytest.raises(ConfigError) as caught:
        make()
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{}, {"num_envs": 3}, {"train_every": 3, "num_envs": 5}])
def test_the_schedule_is_exact_and_never_short(changes):
    config = small(**{"total_steps": 64 + 4 * 41, **changes})
    check(config)
    plan = config.schedule
    state, metrics = jaxdqn.train(config, jax.random.key(0))
    assert int(metrics.env_steps[-1]) == plan.env_steps
    assert int(state.vector_steps) * config.num_envs == plan.env_steps
    assert int(state.replay.added) == plan.env_steps
    assert int(metrics.updates[-1]) == int(state.agent.updates) == plan.updates
    assert plan.env_steps >= config.total_steps
    remainder = plan.env_steps - config.total_steps
    assert remainder < plan.env_steps_per_iteration * config.evaluations + config.num_envs
    assert plan.warmup_env_steps >= config.warmup_steps


def test_what_is_unusual_is_said_and_honoured():
    assert notes(small()) == []
    (said,) = notes(small(epsilon_steps=320))
    assert "epsilon_steps (320) exceed the 160 steps" in said
    assert "epsilon falls to 0.525, not to epsilon_end (0.05)" in said
    often = small(evaluations=41)
    (said,) = notes(often)
    assert "evaluations (41) exceed the 40 iterations" in said
    assert often.schedule.evaluations == 40
    assert often.schedule.env_steps == small().schedule.env_steps
    _, metrics = jaxdqn.train(often.replace(total_steps=64 + 4 * 2), KEY)
    assert metrics.env_steps.tolist() == [68, 72]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.stem)
@pytest.mark.parametrize("factor", [1e-6, 0.02, 0.1, 10])
def test_one_number_scales_the_schedule_of_every_shipped_configuration(path, factor):
    config = jaxdqn.load_config(path)
    other = scaled(config, factor)
    check(other)
    before, after = config.schedule, other.schedule
    assert other.capacity == config.capacity
    assert config.batch_size <= after.warmup_env_steps <= config.capacity
    if factor >= 0.02:
        assert after.env_steps == pytest.approx(factor * before.env_steps, rel=0.25)
        assert other.epsilon_steps == pytest.approx(factor * config.epsilon_steps, rel=0.01)


@pytest.mark.parametrize("factor", [0, -1.0, math.nan, math.inf, "2"])
def test_a_factor_that_scales_nothing_is_refused(factor):
    with pytest.raises(ConfigError, match=r"scale \(.*\) must be a number above 0: change it"):
        scaled(small(), factor)


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 500), st.integers(1, 20),
       st.integers(1, 5000))  # fmt: skip
def test_no_schedule_trains_on_fewer_steps_than_asked(envs, every, warmup, evaluations, total):
    config = Config(
        num_envs=envs,
        train_every=every,
        warmup_steps=warmup,
        evaluations=evaluations,
        total_steps=warmup + envs + total,
    )
    plan = config.schedule
    learning = plan.evaluations * plan.iterations_per_evaluation * plan.env_steps_per_iteration
    assert plan.env_steps == plan.warmup_env_steps + learning >= config.total_steps
    assert plan.warmup_env_steps % envs == 0


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        small(widths=(3, 5), max_grad_norm=math.inf, double=False),
        small(env_params={"cell_rewards": np.array([[0.5, 1.0], [0.0, -1.0]])}),
        small(learning_rate=np.array([1e-3, 1e-4])),
        small(env_kwargs={"generator": "layout", "layout": "S..\n.#.\n..G"}),
    ],
)
def test_a_configuration_round_trips_through_toml(config, tmp_path):
    (tmp_path / "config.toml").write_text(to_toml(config))
    read = jaxdqn.load_config(tmp_path / "config.toml")
    assert jax.tree.structure(read) == jax.tree.structure(config)
    for one, other in zip(jax.tree.leaves(read), jax.tree.leaves(config), strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


def write(tmp_path, text: str):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_tables_are_headings_and_overrides_replace(tmp_path):
    path = write(
        tmp_path,
        "num_envs = 4\n[learning]\nlearning_rate = 1\n[network]\nnetwork = 'mlp'\nwidths = [7]\n"
        "[env_kwargs]\nheight = 5\nwidth = 6\n[env_params]\nslip = 0.5\n",
    )
    config = jaxdqn.load_config(path, num_envs=8, env_kwargs={"width": 9})
    assert (config.num_envs, config.widths, config.learning_rate) == (8, (7,), 1.0)
    assert isinstance(config.learning_rate, float)
    assert dict(config.env_kwargs) == {"height": 5, "width": 9}
    assert config.env_params == {"slip": 0.5}


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("lerning_rate = 1.0", ["key 'lerning_rate'", "did you mean 'learning_rate'?"]),
        ("zzz = 1.0", ["key 'zzz'", "use one of"]),
        ("num_envs = ", ["is not TOML", "mend it"]),
        ("num_envs = 4\n[a]\nnum_envs = 5", ["'num_envs' stands twice", "remove one"]),
        ("env_kwargs = 3", ["env_kwargs (3)", "must be a table"]),
        ("learning_rate = [[1.0], [1.0, 2.0]]", ["ragged", "same length"]),
        ("discount = 2.0", ["discount (2.0)", "from 0 to 1"]),
    ],
)
def test_a_wrong_file_ends_in_one_sentence(text, fragments, tmp_path):
    with pytest.raises(ConfigError) as caught:
        jaxdqn.load_config(write(tmp_path, text))
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_missing_file_and_a_wrong_override_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'.*absent\.toml' can't be read.*check the path"):
        jaxdqn.load_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="override 'num_env' is not known: did you mean"):
        jaxdqn.load_config(write(tmp_path, ""), num_env=3)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_configuration_runs_at_small_size(path):
    config = jaxdqn.load_config(path)
    plan = config.schedule
    assert plan.env_steps == config.total_steps, "shipped schedules have no remainder"
    warmup = -(-config.batch_size // config.num_envs) * config.num_envs
    tiny = config.replace(
        warmup_steps=warmup,
        total_steps=warmup + 4 * config.num_envs,
        evaluations=2,
        eval_steps=5,
        eval_episodes=4,
        oracle_levels=2,
        channels=4,
        blocks=1,
        epsilon_steps=config.num_envs,
    )
    _, metrics = jaxdqn.train(tiny, jax.random.key(0))
    assert np.isfinite(metrics.loss).all()
    assert np.isfinite(metrics.eval_return).all()


def test_the_environment_is_made_once_for_a_configuration():
    one, _ = environment.make(small())
    other, _ = environment.make(small(discount=0.5))
    assert one.gymnax is other.gymnax
