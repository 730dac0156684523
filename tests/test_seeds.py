"""Seeds spread over devices are the same seeds."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from conftest import COLLECTIVES, RESIDUAL, ROOT, small

import jaxdqn
from jaxdqn import ConfigError, cli
from jaxdqn.config import to_toml
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import devices, executor, seeds


@pytest.mark.parametrize(
    ("numbers", "changes"),
    [
        (range(3), {}),
        pytest.param(range(5, 7), {}, marks=pytest.mark.slow),
        (range(1), {}),
        pytest.param(range(3), RESIDUAL, id="one by one on each core", marks=pytest.mark.slow),
    ],
)
def test_seed_i_is_trained_with_key_i_wherever_it_runs(numbers, changes):
    config = small(**changes)
    rows, final = [], None
    for state, row in seeds.train_in_periods(config, numbers):
        final = state
        if row is not None:
            rows.append(row)
    assert len(jax.devices()) == 2
    assert len(rows) == config.evaluations
    metrics = concatenate(rows)
    for index, number in enumerate(numbers):
        state, alone = jaxdqn.train(config, jax.random.key(number))
        mine = jax.tree.map(lambda x, i=index: x[i], metrics)
        for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(final.replay.storage.a_tm1[index], state.replay.storage.a_tm1)
        params = seeds.parameters_of(final, index)
        for one, other in zip(
            jax.tree.leaves(params), jax.tree.leaves(state.agent.params), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_spread_over_devices_is_taken_apart_without_a_collective():
    """One hangs in one of several processes, and on a CPU with fewer threads than devices."""
    *_, (padded, _) = seeds.train_in_periods(small(), range(3))
    assert len(padded.obs) == 3
    spread, _ = next(seeds.train_in_periods(small(), range(4)))
    assert len(spread.obs.sharding.device_set) == 2
    seeds.parameters_of(spread, 3)
    wider = executor.plan(small(), 4)._replace(width=3)
    next(seeds.train_in_periods(small(), range(4), spread, how=wider))
    programs = jax.devices()[0].client.live_executables()
    texts = [module.to_string() for program in programs for module in program.hlo_modules()]
    assert any("num_partitions=2" in text for text in texts)
    for collective in COLLECTIVES:
        assert not any(f" {collective}(" in text for text in texts)


def test_the_first_pause_comes_before_learning():
    state, row = next(seeds.train_in_periods(small(), range(2)))
    assert row is None
    assert int(state.replay.added) == small().warmup_steps
    np.testing.assert_array_equal(state.agent.updates, np.zeros(2))


@pytest.mark.parametrize("cores", [1, 3])
def test_so_many_cores_are_so_many_devices_and_threads(cores):
    program = f"from jaxdqn import devices; devices.use_cores({cores})\n"
    program += "import jax, os; print(len(jax.devices()), os.environ['PJRT_NPROC'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PJRT_NPROC", None)
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert said == f"{cores} {cores}\n"


def test_asking_for_cores_after_the_start_is_refused():
    with pytest.raises(ConfigError, match="jax_num_cpu_devices \\(7\\) comes too late"):
        devices.use_cores(7)


@pytest.mark.parametrize("count", [1.5, "a", True, [2]])
def test_cores_are_a_whole_number(count):
    with pytest.raises(jaxdqn.ConfigError, match=r"cores \(.*\) must be a whole number: write"):
        devices.use_cores(count)


def test_asking_again_for_as_many_cores_changes_nothing():
    before = dict(os.environ)
    for kind in (int, np.int64):
        devices.use_cores(kind(len(jax.devices())))
    assert len(jax.devices()) == 2
    assert dict(os.environ) == before


def test_a_single_agent_with_a_small_network_gets_one_core(tmp_path):
    everything = devices.usable_cores()
    assert devices.best_cores(small(), 1) == 1
    assert devices.best_cores(small(), 2) == everything
    assert devices.best_cores(small(widths=(512, 512), batch_size=64), 1) == everything
    assert devices.best_cores(small(**RESIDUAL), 1) == everything
    (tmp_path / "tiny.toml").write_text(to_toml(small()))
    file = str(tmp_path / "tiny.toml")
    assert cli.best_cores("train", [file, "--seeds", "1"]) == 1
    assert cli.best_cores("train", ["--seeds=1", file]) == 1
    for count in (1, 2):
        many = jax.vmap(jaxdqn.init, (None, 0))(small(), jax.random.split(jax.random.key(0), count))
        (tmp_path / f"of {count}").mkdir()
        (tmp_path / f"of {count}" / "config.toml").write_text(to_toml(small()))
        jaxdqn.save(tmp_path / f"of {count}", many, small(), seeds=range(count))
    assert cli.best_cores("resume", [str(tmp_path / "of 1")]) == 1
    other = str(tmp_path / "of 2")
    for command, *rest in (
        ["train", file], ["train", file, "--seeds", "8"], ["resume", "run"], ["resume", other],
        ["resume"], ["evaluate", str(tmp_path / "of 1")],
    ):  # fmt: skip
        assert cli.best_cores(command, rest) is None
    assert cli.best_cores("train", [file, "--seeds", "1", "--network=residual"]) == everything


def test_parts_of_ones_own_are_not_imported_before_cores_are_chosen(tmp_path, monkeypatch):
    """Their modules may import gymnax, which starts JAX."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "one_that_starts_jax.py").write_text("")
    own = "one_that_starts_jax:Mine"
    named, usual = tmp_path / "named.toml", tmp_path / "usual.toml"
    named.write_text(f"method = {own!r}")
    usual.write_text("")
    assert cli.best_cores("train", [str(named), "--seeds", "1"]) is None
    assert cli.best_cores("train", [str(usual), "--seeds", "1", "--network", own]) is None
    assert "one_that_starts_jax" not in sys.modules
