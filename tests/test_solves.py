"""Learning at full length: the shipped configurations reach what the README says."""

import numpy as np
import pytest
from conftest import LONG, ROOT

import jaxdqn
from jaxdqn import statistics
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import seeds


def train(name: str, count: int):
    config = jaxdqn.load_config(ROOT / "configs" / f"{name}.toml")
    rows = [row for _, row in seeds.train_in_periods(config, range(count)) if row is not None]
    return config, concatenate(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "limit", "least"),
    [("maze", 16, 200_000, 15), ("seed_maze", 16 if LONG else 8, 500_000, 14 if LONG else 7)],
)
def test_seeds_walk_the_shortest_path(name, count, limit, least):
    config, metrics = train(name, count)
    assert config.schedule.env_steps <= limit
    assert (metrics.spl[:, -1] == 1.0).sum() >= least
    if name == "maze":
        assert metrics.success[:, -1].mean() >= 0.99


@pytest.mark.slow
def test_the_residual_network_walks_the_shortest_path():
    _, metrics = train("residual_maze", 4)
    assert (metrics.spl[:, -1] == 1.0).sum() >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pqn", "ppo"])
def test_methods_without_replay_walk_the_shortest_path(name):
    _, metrics = train(name, 4)
    assert (metrics.spl[:, -1] == 1.0).sum() >= 3


@pytest.mark.slow
def test_cartpole_is_solved():
    """Some seeds dip between their first 500 and the end, so the last four are looked at."""
    config, metrics = train("cartpole", 8)
    assert config.schedule.env_steps < 200_000
    assert statistics.iqm(np.median(metrics.eval_return[:, -4:], axis=1)) >= 475
