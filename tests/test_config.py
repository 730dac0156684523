"""A configuration is a pytree, round-trips through TOML, and refuses what can't be honoured."""

import copy
import math
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import AGENTS, METHODS, RESIDUAL, ROOT, SOLVED, small, tiny
from flax import struct
from hypothesis import given
from hypothesis import strategies as st

import jaxdqn
from jaxdqn import Config, ConfigError, environment, settings, training
from jaxdqn.commands import compare, sweep, train
from jaxdqn.config import check, notes, parts, scaled, to_toml
from jaxdqn.config.toml import from_toml
from jaxdqn.language.config import LanguageConfig
from jaxdqn.language.config import load as load_language
from jaxdqn.losses import heads
from jaxdqn.method import Tally
from jaxdqn.runs import folder
from jaxdqn.runs.export import export_policy
from jaxdqn.settings import RunSettings, elsewhere

KEY = jax.random.key(0)
STATIC = {
    "method", "env", "env_kwargs", "total_steps", "num_envs", "train_every", "updates_per_step",
    "warmup_steps", "capacity", "replay", "stored", "batch_size", "double", "head", "loss",
    "network",
    "widths", "channels", "blocks", "activation", "layer_norm", "evaluations", "eval_episodes",
    "eval_steps", "oracle_levels", "n_step", "bootstrap", "dueling", "noisy", "precision",
    "shared_noise",
}  # fmt: skip


def refuse(attempt, *fragments: str) -> None:
    """It is refused in one sentence with these words, before anything is traced."""
    traced = training._init._cache_size(), training._run._cache_size()
    with pytest.raises(ConfigError) as caught:
        attempt()
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    assert "\n" not in message
    assert " at 0x" not in message
    assert message[-1] in ".?"
    assert (training._init._cache_size(), training._run._cache_size()) == traced


def test_structure_is_static_and_numbers_are_leaves():
    config = small(**RESIDUAL)
    paths = jax.tree.leaves_with_path(config.replace(env_params={}))
    leaves = {path[-1].name for path, _ in paths}
    assert {*config.chosen, *config.words} - leaves - {"env_params"} == STATIC
    assert isinstance(hash(jax.tree.structure(small())), int)
    assert hash(jax.tree.structure(Config())) == hash(jax.tree.structure(Config(env_kwargs={})))


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"num_envs": 0}, ["num_envs (0)", "1 or more"]),
        ({"num_envs": 2.5}, ["num_envs (2.5)", "whole number"]),
        ({"num_envs": True}, ["num_envs (True)", "whole number"]),
        ({"widths": 64}, ["widths (64)", "list of whole numbers"]),
        ({"shared_noise": True}, ["shared_noise (True) has no noise to share", "leave it out"]),
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
        ({"n_step": 0}, ["n_step (0)", "1 or more"]),
        ({"n_step": 17}, ["n_step (17)", "warm-up", "(16)", "raise warmup_steps to 68"]),
        ({"n_step": 2, "capacity": 130},
         ["capacity (130)", "multiple of num_envs (4)", "n_step (2)", "set it to 132"]),
        ({"total_steps": 60}, ["total_steps (60)", "(64)", "raise total_steps to 68", "--scale"]),
        ({"total_steps": 2**31}, ["total_steps (2147483648)", "below 2147483648"]),
        ({"total_steps": 2**31 - 1},
         ["total_steps (2147483647) comes to 2147483648 after rounding up", "lower it"]),
        ({"learning_rate": 1e-50}, ["learning_rate (1e-50) is 0 in 32 bits", "write 0, or 1.1"]),
        ({"env_params": {"slip": np.array([0.1, 1e-46])}}, ["slip (array", "is 0 in 32 bits"]),
        ({"env_params": {"step_cost": -1e-40}}, ["env_params.step_cost (-1e-40) is 0 in 32 bits"]),
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
        ({"env_kwargs": {"height": None}}, ["height (None)", "can't be written down", "leave it"]),
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
        ({"env_params": {"slip": True}}, ["env_params.slip (True) is a number in Maze-jaxdqn"]),
        ({"env_params": {"slip": 1.1}}, ["env_params.slip (1.1)", "from 0 to 1"]),
        ({"env_params": {"max_steps_in_episode": 0}}, ["max_steps_in_episode (0)", "from 1 to"]),
        ({"env_params": {"max_steps_in_episode": 2.5}}, ["max_steps_in_episode (2.5)", "whole"]),
        ({"env": "CartPole-v1", "env_kwargs": {}, "env_params": {"max_steps_in_episode": -5}},
         ["env_params.max_steps_in_episode (-5)", "from 1 to"]),
        ({"env": "Seaquest-MinAtar", "env_kwargs": {}, "env_params": {"max_oxygen": 2.5}},
         ["env_params.max_oxygen (2.5) is a whole number in Seaquest-MinAtar: change it"]),
        ({"env": "Pong-misc", "env_kwargs": {}, "env_params": {"ball_x_speed": 1.0}},
         ["env_params.ball_x_speed (1.0) is a whole number in Pong-misc"]),
        ({"env_params": {"slip": "no"}}, ["env_params.slip ('no')", "number"]),
        ({"env_params": {"cell_rewards": np.zeros((2, 3))}}, ["cell_rewards", "(2, 3)", "4 rows"]),
        ({"env": "DeepSea-bsuite", "env_kwargs": {"size": 10**6}},
         ["env ('DeepSea-bsuite') has arrays to begin with of 4e+12 bytes", "env_kwargs"]),
        ({"env": "Catch-bsuite", "env_kwargs": {"rows": 10**6, "columns": 10**6}},
         ["env ('Catch-bsuite') has observation and state of 4e+12 bytes", "env_kwargs"]),
        ({"env": "MetaMaze-misc", "env_kwargs": {"maze_size": 4}}, ["'maze_size': 4", "refused"]),
        ({"network": "residual"},
         ["network ('residual')", "(H, W, C)", "set env_kwargs.observation = 'planes'"]),
        ({"network": "residual", "env": "CartPole-v1", "env_kwargs": {}, "env_params": {}},
         ["network ('residual')", "CartPole-v1 gives (4,)", "set network = 'mlp'"]),
    ],
)  # fmt: skip
def test_a_wrong_setting_ends_in_one_sentence_with_the_remedy(changes, fragments):
    refuse(lambda: jaxdqn.train(small(**changes), KEY), *fragments)


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


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ({"num_envs": 0}, "num_envs (0) must be a whole number, 1 or more"),
        ({"num_envs": -1}, "num_envs (-1) must be a whole number, 1 or more"),
        ({"evaluations": 0}, "evaluations (0) must be a whole number, 1 or more"),
        ({"train_every": 0}, "train_every (0) must be a whole number, 1 or more"),
        ({"method": "ppo", "rollout_steps": 0}, "rollout_steps (0) must be a whole number, 1"),
        ({"total_steps": "many"}, "total_steps ('many') must be a whole number, 1 or more"),
    ],
)
def test_a_schedule_of_what_cannot_be_counted_with_is_refused(words, fragment):
    refuse(lambda: Config(**words).schedule, fragment)


def test_single_numbers_of_numpy_are_those_of_python():
    given = {"total_steps": np.int64(224), "widths": (np.int32(16),), "double": np.bool_(True),
             "env_kwargs": {**small().env_kwargs, "height": np.int8(4)}}  # fmt: skip
    config = small(**given)
    check(config)
    assert config == small()
    assert to_toml(config) == to_toml(small())
    assert type(config.total_steps) is int


def test_what_is_unusual_is_said_and_honoured():
    assert notes(small()) == []
    (said,) = notes(small(epsilon_steps=320))
    assert "epsilon_steps (320) exceed the 160 steps" in said
    assert "epsilon falls to 0.525, not to epsilon_end (0.05)" in said
    assert notes(small(noisy=True, epsilon_steps=320)) == []
    often = small(evaluations=41)
    (said,) = notes(often)
    assert "evaluations (41) exceed the 40 iterations" in said
    assert often.schedule.evaluations == 40
    assert often.schedule.env_steps == small().schedule.env_steps
    _, metrics = jaxdqn.train(often.replace(total_steps=64 + 4 * 2), KEY)
    assert metrics.env_steps.tolist() == [68, 72]


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"widths": (), "layer_norm": True}, ["layer_norm (True)", "'mlp' and widths is ()"]),
        ({"loss": "squared", "huber_delta": 2.0}, ["huber_delta (2.0)", "loss is 'squared'"]),
    ],
)
def test_what_changes_nothing_beside_other_settings_is_said(words, fragments):
    (said,) = notes(small(**words))
    for fragment in [*fragments, "changes nothing, since"]:
        assert fragment in said
    for name in words:
        assert notes(small(**{name: words[name]})) == []


def test_what_a_switch_implies_is_nobodys_mistake():
    assert Config(method="pqn", widths=()).layer_norm
    assert notes(Config(method="pqn", widths=())) == []
    planes = {"env_kwargs": {"observation": "planes"}}
    assert notes(Config(network="residual", widths=(), layer_norm=True, **planes)) == []


@pytest.mark.parametrize("path", AGENTS, ids=lambda p: p.stem)
@pytest.mark.parametrize("factor", [1e-6, 0.02, 0.1, 10])
def test_one_number_scales_the_schedule_of_every_shipped_configuration(path, factor):
    config = jaxdqn.load_config(path)
    other = scaled(config, factor)
    check(other)
    before, after = config.schedule, other.schedule
    if config.method == "dqn":
        assert other.capacity == config.capacity
        assert config.batch_size <= after.warmup_env_steps <= config.capacity
    if factor >= 0.02:
        # Whole iterations, of which a rollout of many environments makes few.
        one = after.env_steps_per_iteration
        assert after.env_steps == pytest.approx(factor * before.env_steps, rel=0.25, abs=one / 2)
    if factor >= 0.02 and "epsilon_steps" in config.words:
        assert other.epsilon_steps == pytest.approx(factor * config.epsilon_steps, rel=0.01)


def test_a_factor_is_any_number():
    for half in (np.float32(0.5), np.float64(0.5)):
        assert scaled(small(), half).total_steps == scaled(small(), 0.5).total_steps == 112


@pytest.mark.parametrize("factor", [0, -1.0, math.nan, math.inf, "2", True])
def test_a_factor_that_scales_nothing_is_refused(factor):
    with pytest.raises(ConfigError, match=r"scale \(.*\) must be a number above 0: change it"):
        scaled(small(), factor)


@pytest.mark.parametrize(
    ("config", "factor", "said"),
    [
        (Config(total_steps=100_000), 1e5, r"scale \(100000.0\) takes total_steps \(100000\)"),
        (Config(method="pqn"), 1e300, r"scale \(1e\+300\) takes total_steps \(100000\)"),
        (Config(method="ppo"), 10**30, r"scale \(1000.*takes total_steps \(100000\)"),
        (Config(total_steps=30_000, epsilon_steps=2**30), 2, r"takes epsilon_steps \(1073741824\)"),
        (Config(epsilon_steps=np.array([1, 2**30])), 2, r"takes epsilon_steps \(array"),
    ],
)
def test_a_schedule_isnt_scaled_beyond_what_is_counted(config, factor, said):
    check(config)
    with pytest.raises(ConfigError, match=said + r".*beyond 2147483647, .*: lower it\.$"):
        scaled(config, factor)


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


def test_none_is_left_out_of_toml_and_what_toml_lacks_is_refused(tmp_path):
    usual = small(env_kwargs={"difficulty": None, "height": 4})
    assert to_toml(usual) == to_toml(small(env_kwargs={"height": 4}))
    config = small(env_kwargs={"difficulty": (None, 3)})
    said = "env_kwargs ({'difficulty': [None, 3]}) can't be written down"
    refuse(lambda: to_toml(config), said)
    refuse(lambda: folder.create(tmp_path / "run", config), said)
    assert not list(tmp_path.iterdir())


def test_whole_numbers_are_written_as_they_are_read():
    """A sweep's folder knows its settings by this text."""
    written = to_toml(small(discount=1, epsilon_end=np.float32(0)))
    assert "discount = 1.0" in written
    assert to_toml(from_toml(written, "text")) == written


@pytest.mark.parametrize("load", [jaxdqn.load_config, load_language])
@pytest.mark.parametrize("path", [5, None, b"maze.toml", ["maze.toml"]])
def test_what_is_no_file_of_settings_is_refused(load, path):
    refuse(lambda: load(path), "must be that of a TOML file", "load_config('")


def write(tmp_path, text: str):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_a_list_in_a_table_of_numbers_is_an_array():
    rows = [[0.1, 0.2], [0.3, 0.4]]
    config = small(env_params={"cell_rewards": rows})
    assert config == small(env_params={"cell_rewards": np.array(rows)})
    assert config == from_toml(to_toml(config), "here")
    with pytest.raises(ConfigError, match="ragged: give a number, or rows of the same length"):
        small(env_params={"cell_rewards": [[0.1], [0.2, 0.3]]})


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


def test_what_a_switch_implied_is_taken_back_with_it(tmp_path):
    noisy = write(tmp_path, to_toml(small(noisy=True)))
    assert jaxdqn.load_config(noisy, noisy=False) == small()
    assert train.parse([str(noisy), "--no-noisy"]).settings == small()
    pqn = write(tmp_path, to_toml(jaxdqn.Config(method="pqn")))
    assert jaxdqn.load_config(pqn).layer_norm
    assert not jaxdqn.load_config(pqn, method="ppo").layer_norm
    for wrong in ("noisy = [true]", "method = ['dqn']"):
        replaced = jaxdqn.load_config(write(tmp_path, wrong), noisy=False, method="dqn")
        assert replaced == jaxdqn.Config()
    explored = write(tmp_path, "epsilon_start = 0.5\nepsilon_end = 0.2")
    for config in (
        jaxdqn.load_config(explored, noisy=True),
        train.parse([str(explored), "--noisy"]).settings,
    ):
        assert (config.noisy, config.epsilon_start, config.epsilon_end) == (True, 0.5, 0.2)


def test_what_a_switch_implies_is_there_again_with_the_part_that_has_it():
    there = Config(noisy=True).replace(method="ppo")
    assert there.replace(method="dqn") == Config(noisy=True)
    assert there.replace(method="dqn", noisy=True) == Config(noisy=True)
    assert there.replace(method="dqn", epsilon_start=0.5, epsilon_end=0.2).epsilon_start == 0.5
    assert there.replace(noisy=False).replace(method="dqn") == Config()
    assert there.replace(method="dqn", noisy=False) == Config()


@pytest.mark.parametrize(
    "words", [{"network": "residual"}, {"method": "pqn"}, {"method": "r2d2"}, {"head": "quantile"}]
)
def test_a_part_chosen_on_the_command_line_is_the_one_chosen_in_python(tmp_path, words):
    path = write(tmp_path, (ROOT / "configs" / "planning.toml").read_text())
    if "method" in words:
        path = write(tmp_path, "num_envs = 8\nlayer_norm = false")
    options = [word for name, value in words.items() for word in (f"--{name}", value)]
    assert train.parse([str(path), *options]).settings == jaxdqn.load_config(path, **words)


def test_arguments_of_an_environment_that_the_command_line_chooses_are_options(tmp_path):
    path = write(tmp_path, "num_envs = 8")
    options = ["--env", "TMaze-jaxdqn", "--env_params.length", "5"]
    found = train.parse([str(path), *options]).settings
    assert found == jaxdqn.load_config(path, env="TMaze-jaxdqn", env_params={"length": 5})


def test_what_a_file_sets_of_a_part_goes_with_it_when_another_replaces_it(tmp_path):
    path = write(tmp_path, "widths = [7]\nhead = 'categorical'\natoms = 7\nreplay = 'prioritised'")
    assert jaxdqn.load_config(path).atoms == 7
    assert jaxdqn.load_config(path, head="expected").widths == (7,)
    pqn = jaxdqn.load_config(path, method="pqn", epochs=3)
    assert (pqn.method, pqn.widths, pqn.epochs) == ("pqn", (7,), 3)
    with pytest.raises(ConfigError, match=r"blocks \(3\) belongs to network 'residual'"):
        jaxdqn.load_config(write(tmp_path, "blocks = 3"), head="quantile")


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("lerning_rate = 1.0", ["key 'lerning_rate'", "did you mean 'learning_rate'?"]),
        ("zzz = 1.0", ["key 'zzz'", "use one of"]),
        ("num_envs = ", ["is not TOML", "mend it"]),
        ("num_envs = 4\n[a]\nnum_envs = 5", ["'num_envs' stands twice", "remove one"]),
        ("[env_kwarg]\nwidth = 5", ["table [env_kwarg] in", "did you mean 'env_kwargs'?"]),
        ("[sweeps]\nseeds = 5", ["table [sweeps] in", "did you mean 'sweep'?"]),
        ("env_kwargs = 3", ["env_kwargs (3)", "must be a table"]),
        ("learning_rate = [[1.0], [1.0, 2.0]]", ["ragged", "same length"]),
        ("discount = 2.0", ["discount (2.0)", "from 0 to 1"]),
        ("blocks = 3", ["blocks (3) belongs to network 'residual'", "is 'mlp' in config file"]),
        ("network = 3", ["network = 3 is not known: use one of mlp, planning"]),
    ],
)
def test_a_wrong_file_ends_in_one_sentence(text, fragments, tmp_path):
    with pytest.raises(ConfigError) as caught:
        jaxdqn.load_config(write(tmp_path, text))
    for fragment in fragments:
        assert fragment in str(caught.value)


NAMES_ELSEWHERE = [
    ("lr", "'learning_rate'"),
    ("gamma", "'discount'"),
    ("tau", "'target_rate'"),
    ("hidden_sizes", "'widths' or 'width'"),
    ("buffer_size", "'capacity'"),
    ("total_timesteps", "'total_steps'"),
    ("epsilon", "'epsilon_start' or 'epsilon_end' or 'epsilon_steps'"),
    ("target_update_interval", "'target_period'"),
    ("n_envs", "'num_envs'"),
    ("train_freq", "'train_every'"),
    ("learning_starts", "'warmup_steps'"),
    ("n_steps", "'n_step' or 'rollout_steps'"),
]


@pytest.mark.parametrize(("name", "ours"), NAMES_ELSEWHERE)
def test_what_a_setting_is_called_elsewhere_is_told_by_its_name_here(tmp_path, name, ours):
    """In Python, of a sweep, on the command line and in a file; none of them is accepted."""
    path = write(tmp_path, "")
    option = f"--{name.replace('_', '-')}=1"
    for kind, ask in {
        "setting": lambda: Config(**{name: 1}),
        "field": lambda: jaxdqn.sweep(small(), **{name: [1]}),
        "option": lambda: train.parse([str(path), option]),
        "option ": lambda: sweep.parse([str(path), option, "2"]),
        "key": lambda: jaxdqn.load_config(write(tmp_path, f"{name} = 1")),
    }.items():
        refuse(ask, f"{kind.strip()} {name!r} is not known", f": did you mean {ours}?")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("height", "env_kwargs"),
        ("observation", "env_kwargs"),
        ("slip", "env_params"),
        ("max_steps_in_episode", "env_params"),
    ],
)
def test_who_sets_what_a_maze_takes_beside_its_table_is_told_where_it_belongs(
    tmp_path, name, table
):
    path, option = str(write(tmp_path, "")), f"--{name.replace('_', '-')}"
    for parse, line in ((train.parse, [path]), (sweep.parse, [path]), (compare.parse, [path] * 2)):
        refuse(
            lambda parse=parse, line=line: parse([*line, option, "1"]),
            f"option {name!r} is not known: write --{table}.{name}.",
        )
    remedy = f"write {table}={{{name!r}: ...}}, in TOML {name} under [{table}]."
    for kind, ask in {
        f"setting {name!r}": lambda: Config(**{name: 1}),
        f"setting '{table}.{name}'": lambda: Config(**{f"{table}.{name}": 1}),
        f"field '{table}.{name}'": lambda: jaxdqn.sweep(small(), **{f"{table}.{name}": [1]}),
        f"key {name!r}": lambda: jaxdqn.load_config(write(tmp_path, f"{name} = 1")),
    }.items():
        refuse(ask, f"{kind} is not known", remedy)


def test_who_sets_what_another_environment_takes_is_told_of_the_tables(tmp_path):
    said = "What the environment takes goes into env_kwargs or env_params."
    refuse(lambda: Config(env="CartPole-v1", zzz=1), "'zzz' is not known: use one of", f" {said}")
    refuse(lambda: Config(gravity=9.8), f"'gravity' is not known: did you mean 'capacity'? {said}")
    with pytest.raises(ConfigError, match=r"did you mean 'discount'\?$"):
        Config(discout=0.9)
    refuse(
        lambda: load_language(write(tmp_path, "zzz = 3")),
        ". What the environment takes goes into env_kwargs.",
    )
    refuse(lambda: load_language(write(tmp_path, "height = 3")), "write env_kwargs={'height': ...}")


def test_names_elsewhere_are_of_settings_that_there_are():
    every = {
        *parts.every_word(),
        *settings.words(LanguageConfig),
        *train.Arguments.__dataclass_fields__,
    }
    for name, ours in elsewhere.NAMES.items():
        assert {*ours} <= every
        assert name not in parts.every_word()


def test_who_writes_a_seed_among_settings_is_told_where_it_belongs(tmp_path):
    path = str(write(tmp_path, ""))
    line = [path, "--seed", "3"]
    for ask in (lambda: train.parse(line), lambda: sweep.parse(line)):
        refuse(ask, "option 'seed' is not known: did you mean 'seeds' or 'first_seed'?")
    for ask in (
        lambda: Config(seed=1),
        lambda: jaxdqn.load_config(write(tmp_path, "seeds = 3")),
        lambda: load_language(write(tmp_path, "seed = 3")),
    ):
        refuse(ask, "since seeds are no settings: ", "--seeds and --first_seed")


def test_a_missing_file_and_a_wrong_override_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'.*absent\.toml' can't be read.*check the path"):
        jaxdqn.load_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="override 'num_env' is not known: did you mean"):
        jaxdqn.load_config(write(tmp_path, ""), num_env=3)
    with pytest.raises(ConfigError, match=r"blocks \(3\) belongs to network 'residual'"):
        jaxdqn.load_config(write(tmp_path, ""), blocks=3)
    assert jaxdqn.load_config(write(tmp_path, "blocks = 3"), network="residual").blocks == 3


@pytest.mark.parametrize("path", AGENTS, ids=lambda p: p.stem)
def test_shipped_schedules_have_no_remainder(path):
    config = jaxdqn.load_config(path)
    assert config.schedule.env_steps == config.total_steps


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in AGENTS if path.stem not in {*METHODS, *SOLVED}], ids=lambda p: p.stem
)
def test_every_shipped_configuration_runs_at_small_size(path):
    """Others run in ``test_family.py`` and ``test_solves.py``, where more is asked of them."""
    _, metrics = jaxdqn.train(tiny(jaxdqn.load_config(path)), jax.random.key(0))
    assert np.isfinite(metrics.loss).all()
    assert np.isfinite(metrics.eval_return).all()


def test_the_environment_is_made_once_for_a_configuration():
    one, _ = environment.make(small())
    other, _ = environment.make(small(discount=0.5))
    assert one.gymnax is other.gymnax


ENTRIES = {
    "init": lambda config, key: jaxdqn.init(config, key),
    "train": lambda config, key: jaxdqn.train(config, key),
    "evaluate": lambda config, key: jaxdqn.evaluate(config, {}, key),
    "run": lambda config, _: jaxdqn.run(config, {}),
    "sweep": lambda config, _: jaxdqn.sweep(config, seeds=1, say=None),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"env_kwargs": None}, ["env_kwargs (None)", "a table", "env_kwargs={...}"]),
        ({"env_kwargs": "a"}, ["env_kwargs ('a')", "a table"]),
        ({"env_kwargs": {1: 2}}, ["env_kwargs key 1", "must be a name"]),
        ({"env_kwargs": {"height": np.zeros(3)}}, ["env_kwargs.height (array(", "structure"]),
        ({"env_params": None}, ["env_params (None)", "a table"]),
        ({"env_params": "a"}, ["env_params ('a')", "a table"]),
        ({"env_params": {1: 2}}, ["env_params key 1", "must be a name"]),
        ({"env_params": {"slip": object()}}, ["env_params.slip (of type object)", "a number"]),
        ({"env_params": {"cell_rewards": [[1.0], [1.0, 2.0]]}}, ["cell_rewards", "a number"]),
        ({"env_params": {"slip": 1e39}}, ["env_params.slip (1e+39)", "finite in 32 bits"]),
        ({"env_params": {"slip": 2**31}}, ["env_params.slip (2147483648)", "below 2147483648"]),
        ({"discount": jax.random.key(0)}, ["discount (", "a number, from 0 to 1"]),
        ({"learning_rate": [[1.0], [1.0, 2.0]]}, ["learning_rate", "a number"]),
        ({"env": object()}, ["env (of type object)", "register it with gymnax", "module:Class"]),
        ({"loss": object()}, ["loss = of type object", "huber, squared"]),
    ],
)
def test_no_entry_lets_a_raw_exception_through(entry, changes, fragments):
    refuse(lambda: ENTRIES[entry](small(**changes), KEY), *fragments)


@pytest.mark.parametrize("length", [-1, 2.5, "1", True])
def test_a_run_is_of_a_whole_number_of_evaluations(length):
    words = f"evaluations ({length!r}) must be a whole number, 0 or more"
    refuse(lambda: jaxdqn.run(small(), {}, evaluations=length), words)


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_no_config_is_refused_with_the_way_to_make_one(entry):
    for thing in ("configs/maze.toml", None, {"discount": 0.9}):
        refuse(lambda thing=thing: ENTRIES[entry](thing, KEY), "must be a Config", "load_config(")


def test_only_settings_that_can_be_honoured_are_exported(state, tmp_path):
    params = state.agent.params
    for thing, *words in (
        ("maze", "must be a Config", "load_config('maze')"),
        (small(num_envs=0), "num_envs (0) must be a whole number, 1 or more"),
        (small(learning_rate=np.ones(2)), "learning_rate (an array of shape (2,)) is a sweep"),
    ):
        refuse(lambda thing=thing: export_policy(tmp_path / "policy", thing, params), *words)


@pytest.fixture(scope="module")
def state():
    """The shapes of a state of ``small``."""
    return training.outline(small())


def test_what_is_no_network_is_refused_with_where_one_is(state, tmp_path):
    words = ["params (", " is not what these settings make", "give state.agent.params, of a state"]
    for thing in (state, state.agent, None, KEY, "maze", small(), {"a": 1.0}):
        refuse(lambda thing=thing: jaxdqn.evaluate(small(), thing, KEY), *words)
        refuse(lambda thing=thing: export_policy(tmp_path / "policy", small(), thing), *words)


def test_what_is_no_state_is_refused_with_where_one_is(state, tmp_path):
    words = ["state (", " must be a State: give what init, run or train returned first."]
    for thing in (state.agent, state.agent.params, None, KEY, Tally.zero()):
        refuse(lambda thing=thing: jaxdqn.run(small(), thing), *words)
        refuse(lambda thing=thing: jaxdqn.save(tmp_path / "state", thing, small()), *words)


def test_of_what_stands_in_the_wrong_place_only_the_type_is_said(state, tmp_path):
    words = "config (of type State) must be a Config"
    refuse(lambda: jaxdqn.run(state, small()), words)
    refuse(lambda: jaxdqn.save(tmp_path / "state", state, state), words)
    refuse(lambda: jaxdqn.train(small(), state), "key (of type State) must be typed")


@pytest.mark.parametrize("entry", ["init", "train", "evaluate"])
@pytest.mark.parametrize(
    ("key", "fragments"),
    [
        (7, ["key (7)", "write jax.random.key(7)."]),
        (None, ["key (None)", "write jax.random.key(0)."]),
        (np.zeros(2), ["key (an array float64[2])", "write jax.random.key(0)"]),
        (jnp.zeros(2, jnp.uint32), ["key (an array uint32[2])", "jax.random.wrap_key_data(key)"]),
        (jax.random.split(KEY, 3), ["key (an array of shape (3,))", "jax.vmap"]),
    ],
    ids=["number", "nothing", "array", "old-style", "many"],
)
def test_what_is_no_typed_key_is_refused(entry, key, fragments):
    refuse(lambda: ENTRIES[entry](small(), key), *fragments)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"lerning_rate": 1.0}, ["setting 'lerning_rate'", "did you mean 'learning_rate'?"]),
        ({"zzz": 1.0}, ["setting 'zzz'", "use one of action_words, activation, "]),
        ({"network": "mpl"}, ["network = 'mpl'", "did you mean 'mlp'?"]),
        ({"network": None}, ["network = None", "use one of mlp, planning"]),
        ({"head": jnp.arange(2)}, ["head = Array(", "use one of categorical, expected"]),
        ({"method": "dqm"}, ["method = 'dqm'", "did you mean 'dqn'?"]),
        ({"channels": 4}, ["channels (4) belongs to network 'residual', and network is 'mlp': set "
                           "network = 'residual' or leave it out."]),
    ],
)  # fmt: skip
def test_an_unknown_word_and_one_of_a_part_not_chosen_are_refused_when_set(words, fragments):
    refuse(lambda: Config(**words), *fragments)
    refuse(lambda: small().replace(**words), *fragments)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"capacity": 3}, ["capacity (3) belongs to method 'dqn' or 'r2d2', and method is 'pqn'"]),
        ({"target_period": 3}, ["target_period (3) belongs to method 'dqn' or 'r2d2', and method"]),
        ({"batch_size": 3}, ["batch_size (3) belongs to method 'dqn'"]),
        ({"head": "quantile"}, ["head ('quantile') has no part in method 'pqn', which has no head: "
                                "leave it out, or set method = 'dqn' or 'r2d2'."]),
        ({"replay": "uniform"}, ["replay ('uniform') has no part in method 'pqn'"]),
        ({"atoms": 7}, ["atoms (7) has no part in method 'pqn', which has no head"]),
        ({"loss": "huber"}, ["loss ('huber') has no part in method 'pqn'"]),
        ({"munchausen_alpha": 1.0}, ["munchausen_alpha (1.0) has no part in method 'pqn'"]),
        ({"minibatches": 5}, ["minibatches (5) must divide num_envs (4) × rollout_steps (8) = 32: "
                              "set it to 4."]),
        ({"minibatches": 64}, ["minibatches (64)", "set it to 32."]),
        ({"rollout_steps": 0}, ["rollout_steps (0)", "1 or more"]),
        ({"td_lambda": 1.5}, ["td_lambda (1.5)", "from 0 to 1"]),
        ({"epochs": 2**30}, ["epochs (1073741824) × minibatches (4) makes", "lower it"]),
        ({"total_steps": 2**31}, ["total_steps (2147483648)", "below 2147483648"]),
        ({"total_steps": 2**31 - 9}, ["total_steps (2147483639) comes to 2147483648 after"]),
        ({"epsilon_start": 0.01}, ["epsilon_end (0.05)", "epsilon_start (0.01)"]),
    ],
)  # fmt: skip
def test_a_method_refuses_what_it_does_not_use_and_what_contradicts_itself(words, fragments):
    refuse(lambda: jaxdqn.train(small(method="pqn", **words), KEY), *fragments)
    refuse(lambda: check(small(method="pqn").replace(**words)), *fragments)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"minibatches": 32}, ["minibatches (32) leaves one step in each", ": lower it, or set"]),
        (
            {"minibatches": 1, "rollout_steps": 1, "num_envs": 1},
            ["minibatches (1) leaves one step in each", "raise rollout_steps or num_envs, or set"],
        ),
        ({"epsilon_start": 0.5}, ["epsilon_start (0.5) belongs to method 'dqn' or 'pqn'"]),
        ({"td_lambda": 0.5}, ["td_lambda (0.5) belongs to method 'pqn', and method is 'ppo'"]),
        ({"capacity": 3}, ["capacity (3) belongs to method 'dqn' or 'r2d2', and method is 'ppo'"]),
        ({"head": "expected"}, ["head ('expected') has no part in method 'ppo'"]),
        ({"clip_range": -0.1}, ["clip_range (-0.1)", "0 or more"]),
        ({"gae_lambda": 2.0}, ["gae_lambda (2.0)", "from 0 to 1"]),
        ({"normalise_advantages": "yes"}, ["normalise_advantages ('yes')", "true or false"]),
        ({"dueling": True}, ["dueling (True) splits action values", "set dueling = false"]),
        ({"noisy": True}, ["noisy (True) explores by", "set noisy = false"]),
    ],
)
def test_ppo_refuses_what_a_policy_has_no_use_for(words, fragments):
    refuse(lambda: jaxdqn.train(small(method="ppo", **words), KEY), *fragments)


def test_words_of_other_methods_are_refused_with_double_dqn():
    refuse(lambda: small(td_lambda=0.5), "td_lambda (0.5) belongs to method 'pqn'", "is 'dqn'")
    refuse(lambda: small(rollout_steps=4), "rollout_steps (4) belongs to method 'pqn' or 'ppo'")


def test_another_method_keeps_what_both_have_and_brings_layer_normalisation(tmp_path):
    config = jaxdqn.load_config(ROOT / "configs" / "maze.toml", num_envs=8)
    other = config.replace(method="pqn")
    assert set(other.chosen) == {"method", "network", "memory"}
    assert (other.learning_rate, other.num_envs, other.widths) == (1e-3, 8, (128, 128))
    assert other.layer_norm
    assert not other.replace(layer_norm=False).replace(method="pqn").layer_norm
    assert not Config(method="pqn", layer_norm=False).layer_norm
    assert other.replace(method="dqn").capacity == Config().capacity
    path = write(tmp_path, to_toml(other))
    assert jaxdqn.load_config(path) == other
    assert train.parse([str(path), "--td_lambda", "0.5"]).settings.td_lambda == 0.5
    by_flag = train.parse([str(ROOT / "configs" / "maze.toml"), "--method", "pqn"]).settings
    assert by_flag == jaxdqn.load_config(ROOT / "configs" / "maze.toml").replace(method="pqn")


def test_another_part_keeps_the_words_that_both_have():
    deep = small(network="residual", channels=9, widths=(7,), learning_rate=0.5)
    flat = deep.replace(network="mlp", layer_norm=True)
    assert (flat.network, flat.widths, flat.layer_norm) == ("mlp", (7,), True)
    assert flat.learning_rate == 0.5
    assert not hasattr(flat, "channels")
    assert flat.replace(network="residual").channels == Config(network="residual").channels


def test_a_configuration_is_a_value():
    config = small(**RESIDUAL)
    for same in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config)),
                 config.replace(), jax.tree.map(lambda x: x, config)):  # fmt: skip
        assert same == config
        assert jax.tree.structure(same) == jax.tree.structure(config)
    assert config != config.replace(channels=5)
    assert config != config.replace(discount=0.5)
    axes = jax.tree.map(lambda _: None, config).replace(learning_rate=0)
    assert (axes.learning_rate, axes.discount, axes.channels) == (0, None, 4)
    with pytest.raises(AttributeError, match=r"write config.replace\(discount=...\)"):
        config.discount = 0.5
    assert config.part("network").channels == config.channels == 4
    refuse(lambda: config.part("mlp"), "part 'mlp' is not known: use one of bootstrap, head, ")
    refuse(lambda: config.part("memory"), "part 'memory' is not known: did you mean 'method'?")
    assert "channels=4" in repr(config)
    assert {"learning_rate", "channels", "network"} <= set(dir(config))


def test_nothing_changes_a_configuration_in_place_nor_those_made_of_it(tmp_path):
    rewards, rates, numbers = np.zeros((4, 4)), np.array([1e-3, 1e-2]), {"slip": 0.0}
    numbers["cell_rewards"] = rewards
    one = small(env_params=numbers, learning_rate=rates)
    (tmp_path / "settings.toml").write_text(to_toml(one))
    read = jaxdqn.load_config(tmp_path / "settings.toml")
    numbers["slip"], rewards[:], rates[:] = 0.9, 1.0, 1.0
    made = [config.replace(discount=0.5) for config in (one, read)]
    for config in (one, read, *made, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        with pytest.raises(ValueError, match="immutable"):
            config.env_params["slip"] = 0.9
        for array in (config.env_params["cell_rewards"], config.learning_rate):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
        assert config.env_params["slip"] == 0.0
        np.testing.assert_array_equal(config.env_params["cell_rewards"], np.zeros((4, 4)))
        np.testing.assert_array_equal(config.learning_rate, [1e-3, 1e-2])
    with pytest.raises(ValueError, match="immutable"):
        Config().env_params["slip"] = 0.9


def test_leaves_of_tables_are_found_by_the_paths_that_they_always_had():
    config = small(env_params={"slip": 0.5, "max_steps_in_episode": 9})
    paths = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(config)}
    assert paths[".run.env_params['slip']"] == 0.5
    assert jax.tree.structure(config) == jax.tree.structure(small(env_params=config.env_params))
    assert {**config.env_params} == {"slip": 0.5, "max_steps_in_episode": 9}


@pytest.mark.parametrize("array", [np.array, jnp.array])
def test_configurations_are_equal_where_all_numbers_of_their_arrays_are(array):
    def paying(*rewards, **words):
        return small(env_params={"cell_rewards": array(rewards)}, **words)

    one = paying(0.0, 1.0)
    assert one == paying(0.0, 1.0)
    assert one == one.replace()
    for other in (paying(0.0, 2.0), paying(0.0), small(), paying(0.0, 1.0, discount=0.5)):
        assert one != other
    swept = small(learning_rate=array([0.25, 0.5]))
    assert swept == small(learning_rate=array([0.25, 0.5]))
    assert swept != small(learning_rate=array([0.25, 0.75]))
    assert swept != small(learning_rate=0.25)


def test_words_are_unique_among_parts_that_can_be_chosen_together():
    names = set(parts.PARTS) | {"part", "replace", "chosen", "words", "schedule"}
    for kinds in ([RunSettings], *(table.values() for table in parts.PARTS.values())):
        here = {name for kind in kinds for name in settings.words(kind)}
        assert not here & names
        names |= here


def test_every_word_says_what_it_is():
    for kind in (RunSettings, *(kind for kinds in parts.PARTS.values() for kind in kinds.values())):
        assert all(settings.descriptions(kind)[name].endswith(".") for name in settings.words(kind))


class Toy(struct.PyTreeNode):
    """A head for this test."""

    atoms: int = settings.static(5, low=2)
    """How many."""
    v_max: settings.Float = settings.leaf(1.0, low=0.0)
    """The greatest."""

    def make(self) -> heads.Head:
        """Return the usual head."""
        return heads.expected("squared")


def test_a_head_plugs_in_by_one_entry_of_the_table(monkeypatch, tmp_path, capsys):
    refuse(lambda: small(head="toy"), "head = 'toy'")
    monkeypatch.setitem(parts.PARTS["head"], "toy", Toy)
    config = small(head="toy", atoms=7)
    assert (config.atoms, config.v_max) == (7, 1.0)
    refuse(lambda: small(head="toy", loss="huber"), "loss ('huber') belongs to head 'expected'")
    refuse(lambda: small(v_max=2.0), "v_max (2.0) belongs to head 'categorical' or 'toy', and")
    refuse(lambda: jaxdqn.train(small(head="toy", atoms=1), KEY), "atoms (1)", "2 or more")
    refuse(lambda: jaxdqn.sweep(small(), atoms=[2, 3]), "atoms (2) belongs to head 'categorical'")
    refuse(lambda: jaxdqn.sweep(small(head="toy"), seeds=1, v_max=[1.0, -1.0]), "v_max (-1.0)")
    path = write(tmp_path, to_toml(config))
    assert jaxdqn.load_config(path) == config
    assert train.parse([str(path), "--v_max", "3"]).settings == config.replace(v_max=3.0)
    with pytest.raises(SystemExit):
        train.parse([str(path), "--help"])
    shown = capsys.readouterr().out
    assert "--atoms INT" in shown
    assert "--huber_delta" not in shown
    jax.eval_shape(partial(jaxdqn.run, config), training.outline(config))


class Brief(settings.MethodSettings):
    """A method for this test, without replay."""

    rollout: int = settings.static(8, low=1)
    """Steps."""

    def schedule(self, run: RunSettings) -> settings.Schedule:
        """Return counts."""
        return settings.Schedule(0, run.evaluations, 1, run.num_envs, 0, run.total_steps, 1, 1)

    def check(self, _: RunSettings) -> None:
        """Refuse what can't be."""
        if self.rollout > 9:
            raise ConfigError("rollout is above 9: lower it.")


def test_a_method_brings_its_words_its_schedule_and_its_checks(monkeypatch):
    monkeypatch.setitem(parts.PARTS["method"], "brief", Brief)
    config = Config(method="brief", total_steps=30)
    check(config)
    assert config.schedule.env_steps == 30
    refuse(lambda: check(config.replace(rollout=10)), "rollout is above 9")
    refuse(lambda: config.replace(capacity=3), "capacity (3) belongs to method 'dqn'")
    assert "capacity" not in to_toml(config)
