"""Any gymnax environment with discrete actions trains by its name."""

import sys
import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import AGENTS, assert_same_bits, small
from jax.sharding import Mesh, PartitionSpec

import jaxdqn
from jaxdqn import Config, ConfigError, evaluation, training
from jaxdqn import environment as environments
from jaxdqn.assembly import assemble
from jaxdqn.config import notes
from jaxdqn.parallel import seeds
from jaxdqn.runs import console

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "name",
    [
        "CartPole-v1",
        "FrozenLake-misc",
        "DeepSea-bsuite",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "Acrobot-v1",
                "FourRooms-misc",
                "MetaMaze-misc",
                "Catch-bsuite",
                "Breakout-MinAtar",
            )
        ),
    ],
)
def test_it_trains_for_a_few_hundred_steps(name):
    config = small(env=name, env_kwargs={}, env_params={}, total_steps=64 + 4 * 80)
    with jax.numpy_rank_promotion("allow"):  # some of gymnax relies on it
        state, metrics = jaxdqn.train(config, KEY)
    environment, _ = environments.make(config)
    stored = state.replay.storage
    assert stored.obs_tm1.dtype == environment.obs.dtype
    assert stored.obs_tm1.shape == (config.capacity, *environment.obs.shape)
    assert np.isfinite(metrics.loss).all()
    assert (np.asarray(metrics.loss) > 0).any()
    assert np.isfinite(metrics.eval_return).all()
    assert metrics.success is None
    assert int(metrics.env_steps[-1]) == config.total_steps


def test_a_grid_of_any_environment_feeds_the_residual_network():
    config = small(
        env="Breakout-MinAtar", env_kwargs={}, env_params={}, network="residual", channels=4
    )
    _, metrics = jaxdqn.train(config, KEY)
    assert np.isfinite(metrics.loss).all()


def test_parameters_are_overridden_by_name():
    _, params = environments.make(small(env_params={"slip": 0.25, "step_cost": 1.0}))
    assert (params.slip, params.step_cost, params.goal_reward) == (0.25, 1.0, 10.0)


def test_an_argument_is_refused_whatever_was_made_by_an_equal_one():
    environments.make(Config(env_kwargs={"height": 7, "width": 1}))
    for equal in ({"height": 7.0, "width": 1}, {"height": 7, "width": True}):
        with pytest.raises(ConfigError, match=r"must be a whole number from 1 to 128"):
            environments.make(Config(env_kwargs=equal))


def test_rows_without_an_ended_episode_are_nan_with_a_count_of_zero():
    config = small(env_params={"max_steps_in_episode": 1_000}, epsilon_end=0.0, epsilon_start=0.0)
    config = config.replace(env_kwargs={"generator": "corridors", "height": 21, "width": 21})
    _, metrics = jaxdqn.train(config, KEY)
    assert (np.asarray(metrics.episodes) == 0).all()
    assert np.isnan(metrics.episode_return).all()


def test_stored_transitions_follow_the_rules_of_the_world():
    """Discount 0 exactly at the goal, and what follows a step is one move away, never a reset."""
    kwargs = {"height": 4, "width": 4, "generator": "empty", "start": "random"}
    config = small(capacity=256, env_kwargs=kwargs, env_params={"max_steps_in_episode": 7})
    state, _ = jaxdqn.train(config, KEY)
    rows = state.replay.storage
    filled = int(state.replay.added)
    assert filled <= config.capacity
    obs_tm1, obs_t = (np.asarray(x)[:filled] for x in (rows.obs_tm1, rows.obs_t))
    moved = np.abs(obs_tm1 // 4 - obs_t // 4) + np.abs(obs_tm1 % 4 - obs_t % 4)
    assert set(moved) == {0, 1}
    at_goal = obs_t == 15
    assert at_goal.any()
    np.testing.assert_array_equal(np.asarray(rows.discount_t)[:filled], 1.0 - at_goal)
    np.testing.assert_array_equal(np.asarray(rows.r_t)[:filled], 10.0 * at_goal)
    assert (obs_tm1 != 15).all()


def test_many_networks_and_sweeps_are_not_evaluated_as_one():
    many = jax.vmap(partial(jaxdqn.init, small()))(jax.random.split(KEY, 3)).agent.params
    with pytest.raises(ConfigError, match=r"params hold many networks \(leading axes \(3,\)\)"):
        jaxdqn.evaluate(small(), many, KEY)
    one = jax.tree.map(lambda x: x[0], many)
    with pytest.raises(ConfigError, match=r"discount \(an array of shape \(2,\)\) is a sweep"):
        jaxdqn.evaluate(small(discount=np.array([0.5, 0.9])), one, KEY)


def test_greedy_evaluation_counts_each_episode_once():
    """On two cells in a row every policy that moves right reaches the goal in one step."""
    config = small(
        env_kwargs={"generator": "layout", "layout": "SG"}, eval_steps=9, eval_episodes=3
    )
    environment, _ = environments.make(config)
    params = jaxdqn.init(config, KEY).agent.params

    def always(action):
        bias = jnp.where(jnp.arange(4) == action, 1.0, 0.0)
        zero = jax.tree.map(jnp.zeros_like, params)
        zero["params"]["dense"]["output"]["bias"] = bias
        return jaxdqn.evaluate(config, zero, KEY)

    right, up = always(3), always(0)
    assert (float(right.eval_return), float(right.eval_length)) == (10.0, 1.0)
    assert (float(right.success), float(right.spl)) == (1.0, 1.0)
    assert (float(up.eval_return), float(up.eval_length)) == (0.0, 9.0)
    assert (float(up.success), float(up.spl)) == (0.0, 0.0)
    assert environment.num_actions == 4


def test_episodes_in_turns_are_those_at_once(monkeypatch):
    """Nothing is left to chance here but which mazes there are: each is walked once."""
    mazes = {"height": 5, "width": 5, "generator": "corridors", "num_levels": 10,
             "num_held_out": 10, "observation": "planes"}  # fmt: skip
    config = small(env_kwargs=mazes, eval_episodes=10, epsilon_end=0.0)
    params = training.init(config, jax.random.key(3)).agent.params

    def measured():
        parts = assemble(config)
        return jax.jit(lambda: evaluation.measure(parts, params, jax.random.key(0)))()

    at_once = measured()
    monkeypatch.setattr(evaluation, "TOGETHER", 4)
    in_turns = measured()
    assert 0 < at_once.success < 1 or at_once.eval_length == config.eval_steps
    for one, other in zip(jax.tree.leaves(in_turns), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_what_was_made_inside_one_mesh_serves_another():
    environments._made.cache_clear()
    config = small(env="MetaMaze-misc", env_kwargs={}, env_params={})
    for count in (1, 2):
        mesh = Mesh(np.array(jax.devices()[:count]), ("seeds",))
        spec = PartitionSpec("seeds")
        start = jax.shard_map(
            jax.vmap(partial(jaxdqn.init, config)), mesh=mesh, in_specs=spec, out_specs=spec,
            check_vma=False,
        )  # fmt: skip
        assert jax.eval_shape(start, jax.random.split(KEY, count)).obs.shape[0] == count


OWN = """
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces


class State(struct.PyTreeNode):
    time: object


class Params(struct.PyTreeNode):
    max_steps_in_episode: int = 9


class Lever(environment.Environment):
    def __init__(self, pay=1.0):
        super().__init__()
        self.pay = pay

    @property
    def default_params(self):
        return Params()

    def reset_env(self, key, params):
        return jnp.zeros(2), State(jnp.int32(0))

    def step_env(self, key, state, action, params):
        state = State(state.time + 1)
        reward = self.pay * action
        return jnp.ones(2), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state, params):
        return state.time >= 5

    def action_space(self, params=None):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(0.0, 1.0, (2,), jnp.float32)


class Old(Lever):
    def step_env(self, key, state, action, params):
        return jnp.ones(2), state, 1.0, False


class OldStep(Lever):
    def step(self, key, state, action, params):
        return jnp.ones(2), state, 1.0, False, {}


class Blind(Lever):
    observation_space = property()


class Named(NamedTuple):
    max_steps_in_episode: int = 9


class Bare(Lever):
    default_params = Named()


class Keyed(struct.PyTreeNode):
    time: object
    key: object


class Chance(Lever):
    def reset_env(self, key, params):
        return jnp.zeros(2), Keyed(jnp.int32(0), key)

    def step_env(self, key, state, action, params):
        state = Keyed(state.time + 1, jax.random.fold_in(state.key, 1))
        return jnp.ones(2), state, 1.0 * action, self.is_terminated(state, params), {}


class Typo(Lever):
    def step_env(self, key, state, action, params):
        return super().step_env(key, state, oops, params)  # an error


class Branch(Lever):
    def is_terminated(self, state, params):
        if state.time >= 5:  # traced
            return True
        return False


class Picky(Lever):
    def __init__(self, pay=1.0):
        raise ValueError("no pay")  # picky


class Column(Lever):
    def step_env(self, key, state, action, params):
        obs, state, reward, ended, info = super().step_env(key, state, action, params)
        return obs, state, jnp.full(1, reward), ended, info


class Share(Lever):
    def step_env(self, key, state, action, params):
        obs, state, reward, ended, info = super().step_env(key, state, action, params)
        return obs, state, reward, jnp.float32(ended), info


class Count(Lever):
    def step_env(self, key, state, action, params):
        obs, state, reward, ended, info = super().step_env(key, state, action, params)
        return obs, state, reward, jnp.int32(ended), info


class Idle(Lever):
    def action_space(self, params=None):
        return spaces.Discrete(0)


class Both(Lever):
    def action_space(self, params=None):
        return spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3)))


class Force(Lever):
    def action_space(self, params=None):
        return spaces.Box(-1.0, 1.0, (1,))


@dataclasses.dataclass(frozen=True)
class Plain:
    max_steps_in_episode: int = 9


class Frozen(Lever):
    default_params = Plain()


class Screen(Lever):
    def reset_env(self, key, params):
        return jnp.zeros(2, jnp.uint8), State(jnp.int32(0))

    def step_env(self, key, state, action, params):
        _, *others = super().step_env(key, state, action, params)
        return jnp.full(2, 255, jnp.uint8), *others

    def observation_space(self, params):
        return spaces.Box(0, 255, (2,), jnp.uint8)


class Pays(Params):
    pays: jax.Array = struct.field(default_factory=lambda: jnp.array([0.0, 1.0]))
    order: jax.Array = struct.field(default_factory=lambda: jnp.array([0, 1], jnp.int8))


class Levers(Lever):
    default_params = property(lambda self: Pays())

    def step_env(self, key, state, action, params):
        obs, state, _, ended, info = super().step_env(key, state, action, params)
        half = jnp.full_like(params.pays, 0.5) * params.pays
        return obs, state, half[params.order[action]], ended, info


class Sized(Params):
    size: int = struct.field(pytree_node=False, default=2)
    choices: int = 2
    inner: object = struct.field(default_factory=Params)
    key: object = struct.field(default_factory=lambda: jax.random.key(0))


class Sizes(Lever):
    default_params = property(lambda self: Sized())

    def reset_env(self, key, params):
        return jnp.zeros(params.size), State(jnp.int32(0))

    def step_env(self, key, state, action, params):
        _, *others = super().step_env(key, state, action, params)
        return jnp.ones(params.size), *others

    def action_space(self, params=None):
        return spaces.Discrete(params.choices)


class Seeing(Lever):
    seen = None

    def reset_env(self, key, params):
        return self.seen, State(jnp.int32(0))

    def step_env(self, key, state, action, params):
        _, *others = super().step_env(key, state, action, params)
        return self.seen, *others


class Dark(Seeing):
    seen = jnp.zeros(0)


class Waves(Seeing):
    seen = jnp.zeros(2, jnp.complex64)


class Locks(Seeing):
    seen = property(lambda self: jax.random.key(0))


class Phase(Lever):
    def step_env(self, key, state, action, params):
        obs, state, reward, ended, info = super().step_env(key, state, action, params)
        return obs, state, 1j * reward, ended, info


class Late(Lever):
    def is_truncated(self, state, params):
        return jnp.int32(state.time >= 3)


class Silent(Lever):
    def step_env(self, key, state, action, params):
        return *super().step_env(key, state, action, params)[:4], None


class Drift(Lever):
    def reset_env(self, key, params):
        return jnp.zeros(2), State(0.0)

    def step_env(self, key, state, action, params):
        return super().step_env(key, State(jnp.int32(state.time)), action, params)


class Grows(Lever):
    def reset_env(self, key, params):
        return jnp.zeros(3), State(jnp.int32(0))


class Open(Lever):
    def __init__(self, **others):
        super().__init__(others["pay"])


class Nothing:
    pass


lever = Lever()
"""


def line_of(words):
    return f"own_worlds.py:{OWN[: OWN.index(words)].count(chr(10)) + 1}"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A module from outside the package, and two that can't be imported."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_worlds.py").write_text(OWN)
    (folder / "own_typo.py").write_text("class Lever(\n")
    (folder / "own_fault.py").write_text("int.absent\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    sys.modules.pop("own_worlds", None)


@pytest.mark.usefixtures("own")
def test_an_environment_of_ones_own_is_named_by_its_class(tmp_path):
    config = small(env="own_worlds:Lever", env_kwargs={"pay": 2.0}, env_params={})
    state, metrics = jaxdqn.train(config, KEY)
    assert float(metrics.eval_length[-1]) == 5.0
    assert int(metrics.episodes.sum()) == 160 // 5
    jaxdqn.save(tmp_path, state, config)
    assert jaxdqn.restore(tmp_path).config == config


@pytest.mark.usefixtures("own")
def test_a_class_that_takes_any_argument_by_name_is_given_it():
    config = small(env="own_worlds:Open", env_kwargs={"pay": 2.0}, env_params={})
    assert environments.make(config)[0].gymnax.pay == 2.0


@pytest.mark.usefixtures("own")
def test_arrays_of_parameters_keep_their_dtype_and_say_themselves_what_is_whole():
    """In a file ``[2, 2]`` is whole, and means the same as ``[2.0, 2.0]`` where fractions are."""
    config = small(env="own_worlds:Levers", env_kwargs={}, env_params={"pays": [2.0, 2.0]})
    whole = config.replace(env_params={"pays": [2, 2], "order": [1, 0]})
    assert_same_bits(*(jaxdqn.train(each, KEY)[1] for each in (config, whole)))
    _, params = environments.make(whole)
    assert (params.pays.dtype, params.order.dtype) == (jnp.float32, jnp.int8)
    for order, said in (([0.5, 1.0], "is a whole number in"), ([0, 300], "from -128 to 127")):
        with pytest.raises(ConfigError, match=said):
            environments.make(config.replace(env_params={"order": order}))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"choices": 3}, ["how many actions own_worlds:Sizes has (2)", "set it in env_kwargs"]),
        ({"size": 3}, ["what its observations are (float32 (2,))", "set it in env_kwargs"]),
        ({"size": -1}, ["env_params can't be used by own_worlds:Sizes (", "change them"]),
        ({"inner": 1}, ["env_params.inner is no number in own_worlds:Sizes: leave it out"]),
        ({"key": 1}, ["env_params.key is no number in own_worlds:Sizes: leave it out"]),
    ],
)
def test_parameters_that_a_network_is_made_of_and_what_is_no_number_are_refused(given, words):
    """With three actions where there were two, one would never be tried."""
    config = small(env="own_worlds:Sizes", env_kwargs={}, env_params=given)
    with pytest.raises(ConfigError) as refusal:
        jaxdqn.init(config, KEY)
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.usefixtures("own")
def test_structure_of_parameters_is_not_swept():
    config = small(env="own_worlds:Sizes", env_kwargs={}, env_params={"size": np.array([2, 2])})
    axes = jax.tree.map(lambda _: None, config).replace(env_params={"size": 0})
    with pytest.raises(ConfigError, match=r"env_params.size is structure in own_worlds:Sizes"):
        jax.vmap(jaxdqn.init, in_axes=(axes, None))(config, KEY)


def test_a_class_that_is_defined_again_is_the_one_that_is_trained(monkeypatch):
    """As in a notebook, or after importlib.reload: alone, on all cores, and in what is restored."""
    notebook = types.ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    config = small(env="notebook:World", env_kwargs={}, env_params={}, evaluations=1)

    def paid(train):
        metrics = train()
        return float(metrics.eval_return.reshape(-1)[-1] / metrics.eval_length.reshape(-1)[-1])

    def alone():
        return jaxdqn.train(config, KEY)[1]

    def on_all_cores():
        return [row for _, row in seeds.train_in_periods(config, range(2)) if row is not None][-1]

    for pay in (1.0, 5.0):
        source = OWN.replace("self.pay * action", f"{pay}").replace("class Lever", "class World")
        exec(source.partition("class Old")[0], vars(notebook))
        assert paid(alone) == paid(on_all_cores) == pay
    wider = source.replace("zeros(2)", "zeros(3)").replace("ones(2)", "ones(3)")
    exec(wider.partition("class Old")[0], vars(notebook))
    assert training.outline(config).obs.shape == (4, 3)


@pytest.mark.usefixtures("own")
def test_bytes_as_they_are_and_evaluations_that_are_cut_are_noted(tmp_path, capsys):
    config = small(env="own_worlds:Screen", env_kwargs={}, env_params={}, eval_steps=500)
    (said,) = environments.notes(config)
    assert "bytes up to 255" in said
    assert "divide by 255 in the environment" in said
    longer = config.replace(env_params={"max_steps_in_episode": 1_000})
    cut = environments.notes(longer)[1]
    assert "cut after eval_steps (500)" in cut
    assert "max_steps_in_episode (1,000)" in cut
    assert environments.notes(longer.replace(eval_steps=200)) == [said], "who sets it means it"
    assert environments.notes(longer.replace(env="own_worlds:Lever")) == [cut]
    console.announce(longer, range(2), tmp_path)
    printed = capsys.readouterr().out
    assert f"note: {said}" in printed
    assert f"note: {cut}" in printed


DRAWN = {"generator": "layout", "layout": "S..\n..G"}


@pytest.mark.parametrize(
    ("arguments", "idle", "why"),
    [
        ({**DRAWN, "height": 5, "width": 3}, "height (5)", "layout has 2 × 3 cells"),
        ({**DRAWN, "width": 4}, "width (4)", "layout has 2 × 3 cells"),
        ({"view_size": 3}, "view_size (3)", "observation is 'position'"),
        ({"generator": "empty", "density": 0.1}, "density (0.1)", "generator is 'empty'"),
        ({"generator": "rooms", "loops": 0.1, "room_size": 4}, "loops (0.1)", "is 'rooms'"),
    ],
)
def test_arguments_that_change_nothing_beside_others_are_noted(arguments, idle, why):
    (said,) = environments.notes(Config(env_kwargs=arguments))
    assert f"env_kwargs.{idle} changes nothing, since env_kwargs." in said
    assert why in said


@pytest.mark.parametrize(
    "arguments",
    [
        {**DRAWN, "height": 2, "width": 3, "view_size": 5},
        {"observation": "view", "view_size": 3},
        {"generator": "braid", "height": 5, "width": 5, "loops": 0.1, "carver": "depth_first"},
    ],
)
def test_arguments_that_agree_or_are_read_are_not_noted(arguments):
    assert environments.notes(Config(env_kwargs=arguments)) == []


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_nothing_is_to_be_noted_of_what_is_shipped(path):
    config = jaxdqn.load_config(path)
    assert notes(config) + environments.notes(config) == []


@pytest.mark.usefixtures("own")
def test_an_environment_whose_state_holds_a_random_key_goes_on_to_the_same_bits(tmp_path):
    config = small(env="own_worlds:Chance", env_kwargs={}, env_params={}, evaluations=2)
    half, _ = jaxdqn.run(config, jaxdqn.init(config, KEY), evaluations=1)
    jaxdqn.save(tmp_path, half, config)
    restored = jaxdqn.restore(tmp_path).state
    ends = [jaxdqn.run(config, state, evaluations=1)[0] for state in (half, restored)]
    assert_same_bits(*(jax.tree.map(_data, end) for end in ends))


def _data(x):
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_words:Lever", ["imported (ModuleNotFoundError: No module named", "package.module"]),
        ("own_worlds:Laver", ["a class that own_worlds doesn't have", "check its name"]),
        (":Lever", ["can't be imported"]),
        (".own_worlds:Lever", ["can't be imported (TypeError: the 'package' argument"]),
        ("own_typo:Lever", ["can't be imported (SyntaxError: ", "own_typo.py, line 1"]),
        ("own_fault:Lever", ["can't be imported (AttributeError: type object 'int' has no"]),
        ("builtins:int", ["is no gymnax environment"]),
        ("own_worlds.Lever", ["package.module:Class", "such as 'own_worlds:Lever'"]),
        ("own_worlds:lever", ["is no class"]),
        ("own_worlds:Nothing", ["has no default_params", "derive it from gymnax"]),
        ("own_worlds:Blind", ["has no observation_space"]),
        ("own_worlds:Bare", ["default_params of type Named", "flax.struct.dataclass"]),
        ("own_worlds:Frozen", ["default_params of type Plain", "flax.struct.dataclass"]),
        ("own_worlds:Column", ["a reward of float32 (1,) from step_env", "without axes"]),
        ("own_worlds:Share", ["ended by float32 () from step_env", "one bool", "such as done > 0"]),
        ("own_worlds:Count", ["ended by int32 () from step_env", "one bool"]),
        ("own_worlds:Idle", ["no action to choose (Discrete(0))", "1 or more"]),
        ("own_worlds:Both", ["an action_space of type Tuple", "all combinations"]),
        ("own_worlds:Force", ["has continuous actions", "use another environment"]),
        ("own_worlds:Dark", ["observations of float32 (0,)", "one at least"]),
        ("own_worlds:Waves", ["observations of complex64 (2,)", "whole numbers or fractions"]),
        ("own_worlds:Locks", ["observations of key<fry> ()", "networks read numbers"]),
        ("own_worlds:Phase", ["a reward of complex64 () from step_env", "one real number"]),
        ("own_worlds:Late", ["an episode ended by int32 () from is_truncated", "one bool"]),
        ("own_worlds:Silent", ["gives info of type NoneType from step_env", "a dictionary"]),
        ("own_worlds:Drift", ["state.time as float32 () from reset and int32 () from step_env"]),
        ("own_worlds:Grows", ["observation as float32 (3,) from reset and float32 (2,) from"]),
        ("own_worlds:Old", ["returns 4 values from step_env", "whether the world ended"]),
        ("own_worlds:Typo", [f"'oops' is not defined at {line_of('# an error')}): mend it"]),
        ("own_worlds:Branch", [f" at {line_of('# traced')}): use jnp.where in place of if"]),
        ("own_worlds:Picky", [f"(no pay at {line_of('# picky')}): change them"]),
        ("own_worlds:OldStep", ["returns 5 values from step", "six", "final_observation"]),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_no_gymnax_environment_is_told_what_it_lacks(name, words):
    with pytest.raises(ConfigError) as refusal:
        jaxdqn.init(small(env=name, env_kwargs={}, env_params={}), KEY)
    for word in words:
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)
