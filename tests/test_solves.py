"""Learning at full length: the shipped configurations reach what the README says."""

import numpy as np
import pytest
from conftest import ROOT, SOLVED

import jaxdqn
from jaxdqn import statistics
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import seeds

BY_RETURN = "cartpole"


def train(name: str):
    config = jaxdqn.load_config(ROOT / "configs" / f"{name}.toml")
    assert config.schedule.env_steps < 200_000
    numbers = range(SOLVED[name])
    rows = [row for _, row in seeds.train_in_periods(config, numbers) if row is not None]
    return concatenate(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SOLVED.keys() - {BY_RETURN}))
def test_all_seeds_but_one_walk_the_shortest_path(name):
    metrics = train(name)
    assert (metrics.spl[:, -1] == 1.0).sum() >= SOLVED[name] - 1
    if name == "maze":
        assert metrics.success[:, -1].mean() >= 0.99


@pytest.mark.slow
def test_cartpole_is_solved():
    """Some seeds dip between their first 500 and the end, so the last four are looked at."""
    metrics = train(BY_RETURN)
    assert statistics.iqm(np.median(metrics.eval_return[:, -4:], axis=1)) >= 475
