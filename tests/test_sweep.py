"""A sweep is its cells, wherever they run; memory is known before it is used."""

import os
import re
import subprocess
import sys
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import COLLECTIVES, RESIDUAL, ROOT, assert_same_bits, small

import jaxdqn
from jaxdqn import ConfigError, environment
from jaxdqn.metrics import to_arrays
from jaxdqn.networks.network import SideBySide
from jaxdqn.parallel import estimate, executor, grid, memory, seeds, sweeps

RATES, SLIPS = [1e-3, 1e-2], [0.0, 0.3]
CORRIDORS = {"height": 7, "width": 7, "generator": "corridors", "observation": "planes"}
LARGE_BATCH = {"batch_size": 512, "warmup_steps": 512, "capacity": 1_024, "total_steps": 600}


def assert_close(one, other):
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def set_widest(monkeypatch, count):
    """Let as many agents as that be trained side by side on a core."""
    real = executor.assemble

    def assembled(config):
        parts = real(config)
        return parts._replace(method=parts.method._replace(side_by_side=SideBySide(count)))

    monkeypatch.setattr(executor, "assemble", assembled)


@pytest.fixture(scope="module")
def result():
    """Numbers, numbers of the environment, and structure, swept as one grid."""
    said = []
    swept = jaxdqn.sweep(
        small(), seeds=[4, 0, 7], say=said.append,
        learning_rate=RATES, double=[True, False], env_params={"slip": SLIPS},
    )  # fmt: skip
    return swept, said


def test_axes_have_names_and_come_in_the_order_given(result):
    swept, _ = result
    assert swept.axes == {
        "learning_rate": RATES, "double": [True, False], "env_params.slip": SLIPS,
        "seed": [4, 0, 7],
    }  # fmt: skip
    assert swept.metrics.loss.shape == (2, 2, 2, 3, small().evaluations)
    assert swept.at(double=False, seed=0).loss.shape == (2, 2, small().evaluations)


@pytest.mark.parametrize(
    ("rate", "double", "slip", "seed"), [(1e-3, True, 0.0, 4), (1e-2, False, 0.3, 7)]
)
def test_a_cell_of_a_sweep_is_that_setting_alone(result, rate, double, slip, seed):
    swept, _ = result
    config = small(
        learning_rate=rate, double=double,
        env_params={"slip": slip, "max_steps_in_episode": 20},
    )  # fmt: skip
    _, alone = jaxdqn.train(config, jax.random.key(seed))
    cell = swept.at(**{"env_params.slip": slip}, learning_rate=rate, double=double, seed=seed)
    assert_close(cell, alone)


def test_a_sweep_says_what_it_will_do_before_it_starts(result):
    _, said = result
    assert len(said) == 1
    for words in ("2 learning_rate × 2 double × 2 env_params.slip × 3 seeds = 24 agents",
                  "2 compilations", "on 2 devices", "at a time"):  # fmt: skip
        assert words in said[0]


def test_numbers_of_a_sweep_share_one_program_and_chunks_change_nothing(monkeypatch):
    def run(widest):
        set_widest(monkeypatch, widest)
        return jaxdqn.sweep(small(), seeds=3, say=None, discount=[0.5, 0.9, 0.95])

    assert executor.plan(small(), 9).turns == 1
    wide = run(8)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(wide.params)} == {9}
    narrow = run(2)
    assert executor.plan(small(), 9).turns == 3
    assert_close(narrow.metrics, wide.metrics)


def test_devices_do_not_talk_to_each_other():
    how = executor.plan(small(), 4)
    assert how.devices == 2
    numbers, keys = seeds.arguments(range(4), {"discount": np.full(4, 0.9)}, how)
    run = executor.programs(small(), how)
    state = run.begin(small(), numbers, keys)
    text = run.advance.lower(small(), numbers, state).compile().as_text()
    assert "while" in text
    for collective in COLLECTIVES:
        assert collective not in text


@pytest.mark.slow
def test_parts_are_swept_beside_numbers_that_both_have():
    config = small(**RESIDUAL)
    swept = jaxdqn.sweep(
        config, seeds=1, say=None, network=["mlp", "residual"], discount=[0.5, 0.9]
    )
    assert swept.metrics.loss.shape == (2, 2, 1, config.evaluations)
    assert len(swept.params) == 2
    _, alone = jaxdqn.train(config.replace(network="residual", discount=0.9), jax.random.key(0))
    assert_close(swept.at(network="residual", discount=0.9, seed=0), alone)


@pytest.mark.parametrize("counts", [[4, 0], [0, 4]])
def test_what_only_some_settings_measure_is_left_out(counts):
    mazes = {"height": 4, "width": 4, "generator": "scatter", "num_levels": 4}
    config = small(env_kwargs=mazes, evaluations=1)
    found = jaxdqn.sweep(config, seeds=1, say=None, env_kwargs={"num_held_out": counts})
    assert found.metrics.held_out is None
    assert found.metrics.success.shape == (2, 1, 1)


def test_zipped_lists_are_one_axis():
    swept = jaxdqn.sweep(
        small(), seeds=1, zipped=True, say=None, discount=[0.9, 0.5], learning_rate=RATES
    )
    assert list(swept.axes) == ["setting", "seed"]
    assert swept.axes["setting"][1] == {"discount": 0.5, "learning_rate": 1e-2}
    _, alone = jaxdqn.train(small(discount=0.5, learning_rate=1e-2), jax.random.key(0))
    assert_close(jax.tree.map(lambda x: x[1, 0], swept.metrics), alone)
    for coordinates in (
        {"setting": 1}, {"setting": np.int64(1)}, {"discount": 0.5}, {"learning_rate": 1e-2},
        {"learning_rate": np.float32(1e-2), "discount": 0.5}, {"setting": 1, "discount": 0.5},
        {"setting": {"discount": 0.5, "learning_rate": 1e-2}},
    ):  # fmt: skip
        assert_close(swept.at(seed=0, **coordinates), alone)


def test_one_number_and_one_for_each_cell_are_swept_side_by_side():
    cells = np.zeros((4, 4))
    rewards = [0.0, cells, 0.5, cells - 0.1]
    found = grid.grid(small(), 1, {"env_params": {"cell_rewards": rewards}})
    groups = grid.groups(found)
    assert [group.cells for group in groups] == [[0, 2], [1, 3]]
    shapes = [group.numbers["env_params.cell_rewards"].shape for group in groups]
    assert shapes == [(2,), (2, 4, 4)]


def test_a_field_of_several_settings_names_none():
    settings = [{"discount": 0.5, "double": True}, {"discount": 0.5, "double": False}]
    swept = sweeps.Sweep({"setting": settings, "seed": [0]}, np.arange(2)[:, None], [])
    assert swept.at(double=False) == [1]
    for coordinates, said in (
        ({"discount": 0.5}, r"{'discount': 0.5} is of 2 settings: write setting=0, its place, or"),
        ({"discount": 0.7}, r"axis setting has no value {'discount': 0.7}: choose from"),
        ({"setting": 2}, r"axis setting has no value 2: choose from"),
        ({"setting": 1, "double": True}, r"no value {'setting': 1, 'double': True}: choose"),
        ({"dubble": True}, r"axis 'dubble' is not known: did you mean 'double'\?"),
    ):
        with pytest.raises(ConfigError, match=said):
            swept.at(**coordinates)


@pytest.mark.parametrize("given", [float, np.float32, jnp.float32])
@pytest.mark.parametrize("asked", [float, np.float32, jnp.float32])
def test_coordinates_are_the_numbers_that_are_trained(given, asked):
    axes = grid.grid(small(), [2**31, 2**31 + 1], {"learning_rate": [*map(given, RATES)]}).axes
    swept = sweeps.Sweep({**axes, "seed": [2**31, 2**31 + 1]}, np.arange(4).reshape(2, 2), [])
    assert swept.at(learning_rate=asked(RATES[1]), seed=2**31 + 1) == 3
    with pytest.raises(ConfigError, match="axis learning_rate has no value"):
        swept.at(learning_rate=asked(1.001e-2))
    with pytest.raises(ConfigError, match="axis seed has no value 2147483650: choose from"):
        swept.at(seed=2**31 + 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"discout": [0.9]}, ["field 'discout'", "did you mean 'discount'?"]),
        ({"slip": [0.0, 0.1]}, ["slip ([0.0, 0.1])", "write env_params={'slip': [0.0, 0.1]}."]),
        ({"height": [4, 5]}, ["height ([4, 5])", "write env_kwargs={'height': [4, 5]}."]),
        ({"discount": 0.9}, ["discount (0.9) must be a list"]),
        ({"discount": []}, ["discount ([]) has no values"]),
        ({"discount": [0.9, 1.5]}, ["discount (1.5)", "from 0 to 1"]),
        ({"discount": [[0.9], [0.8]]}, ["discount ([0.9]) is a sweep", "give one number"]),
        ({"evaluations": [2, 4]}, ["evaluations can't be swept"]),
        ({"total_steps": [72, 224]}, ["evaluations (4) are more", "(2 to 4): set 2 or fewer"]),
        ({"env_params": {"slop": [0.1]}}, ["env_params 'slop'", "did you mean 'slip'?"]),
        ({"channels": [4]}, ["channels (4) belongs to network 'residual'", "is 'mlp'"]),
        ({"network": ["mlp", "mpl"]}, ["network = 'mpl'", "did you mean 'mlp'?"]),
        ({"seeds": 0}, ["seeds (0)"]),
        ({"seeds": 10**12}, ["seeds (1000000000000) must be at most 1,000,000: train some"]),
        ({"seeds": range(10**9)}, ["seeds (1000000000) must be at most"]),
        ({"zipped": "no"}, ["zipped ('no') must be True or False"]),
        ({"say": 3}, ["say (3) must be a function", "None for silence"]),
        ({"learning_rate": (x for x in RATES)}, ["(of type generator) must be a list of values"]),
        ({"seeds": [-1]}, ["seeds ([-1])"]),
        ({"seeds": True}, ["seeds (True)"]),
        ({"seeds": [0.5]}, ["seeds ([0.5])"]),
        ({"seeds": np.float32(2)}, ["seeds (np.float32(2.0))"]),
        ({"seeds": [3, 3]}, ["seeds has 3 more than once", "leave the others out"]),
        ({"zipped": True, "discount": [0.9], "learning_rate": RATES}, ["{'discount': 1, 'learn"]),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_in_one_sentence(arguments, words):
    with pytest.raises(ConfigError) as refusal:
        jaxdqn.sweep(small(), **arguments)
    for word in words:
        assert word in str(refusal.value)
    assert str(refusal.value).count("\n") == 0


@pytest.mark.parametrize("zipped", [False, True])
def test_large_arrays_are_told_apart_by_all_their_numbers(zipped):
    one = np.zeros((36, 36))
    other = one.copy()
    other[18, 18] = 1.0
    config = small(env_kwargs={"height": 36, "width": 36, "generator": "empty"})
    axes = grid.grid(config, 1, {"env_params": {"cell_rewards": [one, other]}}, zipped).axes
    assert [len(values) for values in axes.values()] == [2]
    with pytest.raises(ConfigError, match=r"^[^\n]{,300} more than once: leave the others out.$"):
        grid.grid(config, 1, {"env_params": {"cell_rewards": [one, one.copy()]}}, zipped)


def test_coordinates_that_are_arrays_are_found_by_their_numbers():
    swept = sweeps.Sweep({"env_params.cell_rewards": [np.zeros(2), np.ones(2)]}, np.arange(2), [])
    assert swept.at(**{"env_params.cell_rewards": np.ones(2)}) == 1
    assert swept.at(cell_rewards=np.zeros(2)) == 0
    with pytest.raises(ConfigError, match=r"has no value array\(\[2., 0.\]\): choose from"):
        swept.at(**{"env_params.cell_rewards": np.array([2.0, 0.0])})


def test_a_name_that_two_tables_have_is_written_in_full():
    swept = sweeps.Sweep({"env_kwargs.size": [3, 4], "env_params.size": [5, 6]}, np.eye(2), [])
    assert swept.at(**{"env_params.size": 6}).tolist() == [0, 1]
    with pytest.raises(ConfigError, match="axis 'size' is not known: "):
        swept.at(size=6)


@pytest.mark.parametrize("seeds", [2, np.int64(2), jnp.int32(2), np.arange(2), range(2), [0, 1]])
def test_seeds_are_a_count_or_their_numbers(seeds):
    found = grid.grid(small(), seeds, {}).seeds
    assert found == [0, 1]
    assert set(map(type, found)) == {int}


def test_seeds_far_apart_are_no_row_and_take_no_memory_to_say_so():
    assert grid.grid(small(), [3, 4, 5], {}).run == range(3, 6)
    far = grid.grid(small(), [0, 2_000_000], {})
    tracemalloc.start()
    assert far.run is None
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100_000


@pytest.mark.parametrize("value", [2, 2.0, np.int64(2), np.float32(2)])
def test_a_number_of_the_environment_is_of_its_own_kind_swept_or_alone(value):
    def numbers(value):
        changes = {"goal_reward": value, "max_steps_in_episode": 5}
        return environment.make(small(env_params=changes))[1]

    def kinds(params):
        return [jnp.result_type(x) for x in (params.goal_reward, params.max_steps_in_episode)]

    alone, swept = numbers(value), jax.eval_shape(numbers, jnp.asarray(value))
    assert kinds(alone) == [np.float32, np.int32]
    assert swept.goal_reward.dtype == np.float32


def test_unknown_coordinates_are_refused(result):
    swept, _ = result
    with pytest.raises(ConfigError, match="axis 'sed' is not known: did you mean 'seed'"):
        swept.at(sed=1)
    with pytest.raises(ConfigError, match="axis seed has no value 5: choose from"):
        swept.at(seed=5)


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity": 100_000},
        {"widths": (256, 256), "batch_size": 64},
        pytest.param(
            {"network": "residual", "channels": 16, "blocks": 2, "batch_size": 64,
             "env_kwargs": {"height": 7, "width": 7, "observation": "planes"}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"method": "pqn", "rollout_steps": 4_096, "minibatches": 256}, marks=pytest.mark.slow
        ),
        {"replay": "prioritised", "batch_size": 4_096, "warmup_steps": 4_096, "capacity": 4_096,
         "total_steps": 8_000, "widths": (64, 64)},
        {**RESIDUAL, "env_kwargs": {**CORRIDORS, "num_levels": 16}},
        {**RESIDUAL, "env_kwargs": CORRIDORS, "eval_episodes": 1_024},
        pytest.param(
            {**RESIDUAL, "env_kwargs": CORRIDORS, "eval_episodes": 5_000}, marks=pytest.mark.slow
        ),
        pytest.param(
            {**RESIDUAL, "env_kwargs": {**CORRIDORS, "num_held_out": 16}}, marks=pytest.mark.slow
        ),
    ],
)  # fmt: skip
def test_the_estimate_of_memory_is_near_what_xla_takes(changes):
    estimated, used = estimated_and_used(changes)
    assert estimated == pytest.approx(used, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["quantile", "implicit_quantile"])
def test_of_a_loss_of_pairs_more_memory_is_estimated_than_xla_takes_and_not_much_more(head):
    """XLA fuses the pairs, and nobody can know how many: rather too much than too little."""
    estimated, used = estimated_and_used({"head": head, **LARGE_BATCH})
    assert used <= estimated <= 3 * used


def estimated_and_used(changes) -> tuple[float, float]:
    """Return the bytes of one agent, and what they are in a compiled program of four."""
    config = small(**changes)
    agents = 4

    def train(keys):
        state, metrics = jax.vmap(jaxdqn.train, (None, 0))(config, keys)
        return state.agent.params, metrics

    keys = jax.random.split(jax.random.key(0), agents)
    used = jax.jit(train).lower(keys).compile().memory_analysis()
    total = used.temp_size_in_bytes + used.output_size_in_bytes + used.argument_size_in_bytes
    return estimate.per_agent(config).total, total / agents


def test_a_sweep_larger_than_memory_says_so_and_goes_in_chunks(monkeypatch):
    config = small(capacity=10_000_000)
    each = estimate.per_agent(config).total
    monkeypatch.setattr(memory, "free", lambda _: 3 * each)
    agents = int(100e9 / each)
    how = executor.plan(config, agents)
    assert how.width <= 3
    assert how.agents >= agents
    results = sweeps.Results(grid.grid(config, agents, {}))
    text = sweeps.announcement(results.grid, sweeps.chunks(results))
    assert re.search(
        r"times one after the other, since all at once need 100 GB; a device has", text
    )
    monkeypatch.setattr(memory, "free", lambda _: each - 1)
    wanted = (
        r"^one agent takes 140 MB of memory, 140 MB of it for experience, and 140 MB are free: "
        r"lower capacity \(10000000\) or num_envs \(4\)\.$"
    )
    with pytest.raises(ConfigError, match=wanted):
        executor.plan(config, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "for networks, and 1 kB are free: lower widths ((16,))."),
        ({"total_steps": 10**6, "evaluations": 10**9},
         "30 MB of it for metrics, and 1 kB are free: lower evaluations (1000000000)."),
        ({"batch_size": 600, "warmup_steps": 600, "capacity": 600, "total_steps": 800},
         "for updates, and 1 kB are free: lower batch_size (600) or widths ((16,))."),
        ({"method": "pqn", "rollout_steps": 4_096, "minibatches": 256},
         "for updates, and 1 kB are free: lower rollout_steps (4096), num_envs (4) or widths"),
        ({"eval_episodes": 500},
         "for evaluation, and 1 kB are free: lower eval_episodes (500), oracle_levels (64) or wid"),
    ],
)  # fmt: skip
def test_a_refusal_for_memory_names_what_takes_most_and_what_lowers_it(monkeypatch, changes, words):
    monkeypatch.setattr(memory, "free", lambda _: 1000)
    with pytest.raises(ConfigError) as refusal:
        executor.plan(small(**changes), 1)
    assert words in str(refusal.value)
    assert str(refusal.value).count(" ") < 40


def test_metrics_count_as_many_rows_as_the_schedule_has():
    """There is at most one for each iteration."""
    assert estimate.per_agent(small(evaluations=10**9)).metrics < 10_000


def test_bytes_are_written_with_the_unit_that_suits_them():
    written = {0: "0 bytes", 999: "999 bytes", 72_500: "72.5 kB", 1_080_000: "1.08 MB",
               999_499: "999 kB", 999_999: "1 MB", 5 * 10**10: "50 GB", 999_600 * 10**6: "1 TB",
               1_080 * 10**9: "1.08 TB"}  # fmt: skip
    assert {count: memory.written(count) for count in written} == written


def test_agents_in_turns_share_what_only_those_at_work_need(monkeypatch):
    """Most is what XLA takes: all states, and once more those of one turn, with what they need."""
    config = small(**RESIDUAL, eval_episodes=256)
    need, width = estimate.per_agent(config), 1
    free = 6 * need.held + width * need.total
    monkeypatch.setattr(memory, "free", lambda _: free)
    how = executor.plan(config, 12)
    assert (how.devices, how.turns, how.width, how.most) == (2, 6, width, 12)
    assert 12 * need.total > 2 * free
    run = executor.programs(config, how)
    state = jax.eval_shape(run.begin, config, *seeds.arguments(range(12), {}, how))
    used = run.advance.lower(config, {}, state).compile().memory_analysis()
    total = used.temp_size_in_bytes + used.argument_size_in_bytes
    assert total == pytest.approx(free, rel=0.2)


def test_an_announcement_counts_settings_and_agents_side_by_side():
    """Two networks of which one device holds unlike many: 4 and 2 of 12 agents each."""
    found = grid.grid(
        small(), 6, {"learning_rate": [1e-3, 1e-2], "widths": [[8], [64]]}, zipped=True
    )
    results = sweeps.Results(found)
    waiting = sweeps.chunks(results)
    waiting = [
        chunk._replace(how=chunk.how._replace(width=2 + 2 * chunk.group)) for chunk in waiting
    ]
    said = sweeps.announcement(found, waiting)
    assert said.startswith("sweep: 2 settings × 6 seeds = 12 agents")
    assert "; 2 to 4 side by side on 2 devices, " in said


def test_seeds_of_new_settings_run_on_one_device_and_then_on_two():
    """What is made inside one mesh must not be kept for another."""
    config = small(env_kwargs={"height": 3, "width": 6, "generator": "empty"})
    for count in (1, 2):
        how = executor.plan(config, count)
        assert how.devices == count
        keys = jax.random.split(jax.random.key(0), count)
        assert executor.programs(config, how).begin.trace(config, {}, keys)


_SHARED = """
import sys, jax, numpy as np
process, folder = int(sys.argv[1]), sys.argv[3]
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=process)
import jaxdqn
from jaxdqn.commands import resume, train
swept = jaxdqn.sweep(jaxdqn.load_config(f"{folder}/tiny.toml"), seeds=5, discount=[0.5, 0.9])
if process == 0:
    np.savez(f"{folder}/all.npz", loss=swept.metrics.loss, success=swept.metrics.success)
assert train.main([f"{folder}/tiny.toml", "--seeds", "5", "--out", f"{folder}/run"]) == 0
refused = [
    (lambda: resume.main([folder]), "was trained by one process"),
    (lambda: jaxdqn.sweep(jaxdqn.Config(), 1, out=folder, say=None), "is no sweep's"),
]
for wrong, words in refused:
    try:
        wrong()
    except jaxdqn.ConfigError as error:
        assert words in str(error)
    else:
        raise AssertionError(words)
"""


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    (tmp_path / "share.py").write_text(_SHARED)
    (tmp_path / "tiny.toml").write_text(jaxdqn.config.to_toml(small()))
    both = [
        subprocess.Popen(
            [sys.executable, tmp_path / "share.py", str(process), "localhost:39251", tmp_path],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for process in range(2)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    alone = jaxdqn.sweep(small(), seeds=5, discount=[0.5, 0.9], say=None)
    with np.load(tmp_path / "all.npz") as together:
        np.testing.assert_array_equal(together["loss"], alone.metrics.loss)
        np.testing.assert_array_equal(together["success"], alone.metrics.success)
    alone = jaxdqn.sweep(small(), seeds=5, say=None)
    with np.load(tmp_path / "run" / "metrics.npz") as together:
        assert_same_bits(dict(together), to_arrays(alone.metrics))
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 5 * 4 + 1
