"""Programs are kept: what has the same structure is compiled once."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import RESIDUAL, assert_same_bits, compiles_nothing, small

import jaxdqn
from jaxdqn import pytrees, training
from jaxdqn.metrics import concatenate
from jaxdqn.networks.network import SideBySide
from jaxdqn.parallel import executor, seeds


def test_a_second_sweep_of_the_same_structure_compiles_nothing():
    jaxdqn.sweep(small(), seeds=3, say=None, discount=[0.5, 0.9])
    with compiles_nothing():
        jaxdqn.sweep(small(learning_rate=0.1), seeds=[5, 7, 9], say=None, discount=[0.6, 0.8])


def test_going_on_after_a_pause_compiles_nothing_and_changes_nothing():
    whole = [row for _, row in seeds.train_in_periods(small(), range(4)) if row is not None]
    pausing = seeds.train_in_periods(small(), range(4))
    next(pausing)
    state, first = next(pausing)
    host = jax.device_get(state)
    with compiles_nothing():
        later = [row for _, row in seeds.train_in_periods(small(), range(4), host) if row]
    assert_same_bits(concatenate([first, *later]), concatenate(whole))


def test_only_counters_are_shared_by_agents():
    axes = pytrees.agent_axes(training.outline(small()))
    shared = {
        jax.tree_util.keystr(path)
        for path, axis in jax.tree.leaves_with_path(axes, is_leaf=lambda x: x is None)
        if axis is None
    }
    assert shared == {".replay.added", ".vector_steps", ".evaluations"}


@pytest.mark.slow
def test_turns_give_what_all_at_once_give(monkeypatch):
    """Six agents on two cores: three at once on each, or two, of whom one is padding at last."""
    real = executor.assemble

    def train(width):
        def assembled(config):
            parts = real(config)
            return parts._replace(method=parts.method._replace(side_by_side=SideBySide(width)))

        monkeypatch.setattr(executor, "assemble", assembled)
        rows = [row for _, row in seeds.train_in_periods(small(), range(6)) if row is not None]
        return concatenate(rows)

    for one, other in zip(jax.tree.leaves(train(2)), jax.tree.leaves(train(32)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_network_says_how_many_agents_are_worth_training_side_by_side(monkeypatch):
    wide = {**RESIDUAL, "channels": 64}
    assert executor.plan(small(), 8).width == 4
    assert executor.plan(small(widths=(128, 128)), 16).width == 4
    assert executor.plan(small(widths=(128, 128), dueling=True), 16).width == 1
    assert executor.plan(small(widths=(64, 64), noisy=True), 16).width == 8
    assert executor.plan(small(widths=(64, 64), head="quantile"), 16).width == 1
    assert executor.plan(small(**RESIDUAL), 8).width == 1
    assert executor.plan(small(**wide), 8).width == 1
    gpu = SimpleNamespace(platform="gpu")
    monkeypatch.setattr(executor.jax, "local_devices", lambda: [gpu])
    monkeypatch.setattr(executor.memory, "free", lambda _: 10**12)
    assert executor.plan(small(), 8).width == 8
    assert executor.plan(small(**RESIDUAL), 8).width == 8
    assert executor.plan(small(**wide), 8)[:3] == (1, 8, 1)
