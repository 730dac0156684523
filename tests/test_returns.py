"""The true distribution of a policy's returns, and how far a learned one is from it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LONG, small

import jaxdqn
from jaxdqn import maze
from jaxdqn.assembly import assemble
from jaxdqn.maze import oracle, solve

KEY = jax.random.key(0)
GAMMA = 0.9
LEVELS = jnp.linspace(-15.0, 15.0, 601)
SPACING = 0.05
BOUND = SPACING / (2 * np.sqrt(1 - GAMMA**2))
CORRIDOR = {"generator": "layout", "layout": "S.G"}
RIGHT, DOWN = 3, 1


def distance(short, returns, chances) -> float:
    """Wasserstein-1 between what a shortfall says and returns with their chances."""
    chances = np.asarray(chances) / np.sum(chances)
    true = np.maximum(np.asarray(LEVELS, np.float64)[:, None] - returns, 0.0) @ chances
    slope = np.diff(np.asarray(short, np.float64)) / SPACING
    assert slope.min() > -1e-2
    assert slope[-1] == pytest.approx(1.0, abs=1e-2)
    return SPACING * np.abs(slope - np.diff(true) / SPACING).sum()


def test_noise_on_a_path_of_k_steps_makes_the_2_to_the_k_returns_that_it_must():
    level = maze.draw("S...G")
    model = maze.exact.model(level, GAMMA, step_cost=0.5)
    short = solve.shortfall(model, 1.5, jnp.full(5, RIGHT), LEVELS)
    signs = np.array(list(itertools.product([1.5, -1.5], repeat=4)))
    rewards = signs - 0.5 + np.array([0, 0, 0, 10.0])
    returns = rewards @ GAMMA ** np.arange(4)
    assert distance(short[0], returns, np.ones(16)) < BOUND
    assert distance(short[0], returns + 0.3, np.ones(16)) > 0.2


def test_slips_make_the_returns_of_all_times_of_arrival():
    """Against a chain in double precision: with one prize a return says when it was won."""
    level = maze.draw("S..\n.#.\n..G")
    slip, cost = 0.3, 0.2
    model = maze.exact.model(level, GAMMA, slip=slip, step_cost=cost)
    actions = np.argmax(solve.optimal_q(model), axis=1)
    chance = np.zeros((9, 9))
    for cell in range(9):
        straight = int(model.successors[cell, actions[cell]])
        sides = [0, 1] if actions[cell] in (2, 3) else [2, 3]
        chance[cell, straight] += 1 - slip
        for side in sides:
            chance[cell, int(model.successors[cell, side])] += slip / 2
    here, returns, chances = np.eye(9)[0], [], []
    for step in range(400):
        here = here @ chance
        spent = cost * (1 - GAMMA ** (step + 1)) / (1 - GAMMA)
        returns.append(10 * GAMMA**step - spent)
        chances.append(here[8])
        here[8] = 0.0
    assert sum(chances) > 1 - 1e-6
    short = solve.shortfall(model, 0.0, jnp.asarray(actions), LEVELS)
    assert distance(short[0], returns, chances) < BOUND


@pytest.mark.parametrize(("slip", "noise"), [(0.0, 0.0), (0.25, 2.0)])
def test_the_mean_of_the_returns_is_the_value_of_the_policy(slip, noise):
    walls = np.asarray(maze.bank("scatter", 5, 5, seed=3).walls[0])
    model = maze.exact.model(walls, GAMMA, slip=slip, step_cost=0.3)
    actions = jnp.argmax(solve.optimal_q(model), axis=1)
    levels = jnp.linspace(-40.0, 40.0, 401)
    short = solve.shortfall(model, noise, actions, levels)
    exact = solve.policy_value(model, actions)
    inside = (np.arange(25) != 24) & ~walls.reshape(-1)
    np.testing.assert_allclose((40.0 - short[:, -1])[inside], exact[inside], atol=2e-2)


def tabular(head: str, **changes):
    """A network that is a table of distributions, on a corridor of two steps with noisy rewards."""
    fixed = {
        "head": head, "env_kwargs": CORRIDOR, "env_params": {"reward_noise": 1.0}, "widths": (),
        "discount": GAMMA,
    }  # fmt: skip
    return small(**{**fixed, **changes})


def test_a_table_of_the_true_quantiles_is_at_no_distance_and_one_moved_by_1_at_1():
    config = tabular("quantile", quantiles=4)
    params = jaxdqn.init(config, KEY).agent.params
    layer = jax.tree.map(jnp.zeros_like, params["params"]["dense"]["output"])
    true = jnp.sort(jnp.array([a + GAMMA * (10 + b) for a in (1, -1) for b in (1, -1)]))
    bias = jnp.full((4, 4), -5.0).at[RIGHT].set(true)
    found = []
    for moved in (0.0, 1.0):
        here = {"kernel": layer["kernel"], "bias": (bias + moved).reshape(-1)}
        here = {"params": {"dense": {"output": here}}}
        found.append(float(jaxdqn.evaluate(config, here, KEY).return_distance))
    assert found == pytest.approx([0.0, 1.0], abs=0.1)


@pytest.mark.parametrize("cost", [1.0, -1.0, 0.0])
def test_returns_beyond_what_is_compared_have_no_distance(cost):
    """Who runs into a wall for ever pays for it, or earns, for ever."""
    paid = {"reward_noise": 0.0, "step_cost": cost}
    found = []
    for discount in (0.9, 0.999, 0.9999, 1.0):
        config = tabular("quantile", quantiles=4, discount=discount, env_params=paid)
        params = jax.tree.map(jnp.zeros_like, jaxdqn.init(config, KEY).agent.params)
        found.append(float(jaxdqn.evaluate(config, params, KEY).return_distance))
    # To learn nothing is right where nothing is paid.
    assert found[:2] == pytest.approx([10 * abs(cost), 1_000 * abs(cost)], rel=1e-2, abs=1e-2)
    if cost:
        assert np.isnan(found[2:]).all()
    else:
        assert found[2:] == pytest.approx([0.0, 0.0], abs=1e-2), "also after 10,000 sweeps"


@pytest.mark.parametrize(("cells", "discount", "cost"), [
    (2, 0.9, 0.0), (3, 0.999, 0.0), (20, 0.9999, 0.0), (20, 1.0, 0.0), (60, 0.999, 0.1),
])  # fmt: skip
def test_who_knows_the_return_of_the_shortest_path_is_at_no_distance(cells, discount, cost):
    """However near the goal is: its reward is then the most that can be had."""
    kwargs = {"height": 1, "width": cells, "generator": "empty"}
    parts = assemble(small(env_kwargs=kwargs, env_params={"step_cost": cost}, discount=discount))
    returns = [0.0]
    for _ in range(cells - 1):
        reward = (0.0 if returns[1:] else 10.0) - cost
        returns.append(reward + discount * returns[-1])
    known = np.tile(np.array(returns[::-1], np.float32)[:, None, None], (1, 4, 1))
    known[:, :RIGHT] -= 1.0

    @jax.jit
    def distance():
        maze, params = parts.environment.gymnax, parts.env_params
        return oracle.return_distance(
            maze, params, discount, lambda cell: (jnp.asarray(known)[cell], jnp.ones((4, 1)))
        )

    spacing = (10 + 1_000 * cost) / 509
    steps = min(cells, 1 / (1 - discount**2)) if discount < 1 else cells
    assert 0.0 <= float(distance()) <= spacing * np.sqrt(steps) / 2


@pytest.mark.parametrize("head", [
    {"head": "quantile", "quantiles": 20, "huber_delta": 0.05},
    pytest.param({"head": "categorical", "v_min": 0.0, "v_max": 15.0}, marks=pytest.mark.slow),
    pytest.param({"head": "implicit_quantile", "huber_delta": 0.05, "widths": (64, 64),
                  "learning_rate": 1e-3}, marks=[pytest.mark.slow, pytest.mark.skipif(
                      not LONG, reason="half a minute: with JAXDQN_LONG")]),
    pytest.param({"head": "categorical", "v_min": 0.0, "v_max": 15.0, "replay": "prioritised",
                  "priority_exponent": 0.5}, marks=pytest.mark.slow),
], ids=["quantile", "categorical", "implicit", "prioritised"])  # fmt: skip
def test_the_true_distribution_of_returns_is_learned(head):
    """Four returns, 9 ± 1 ± 0.9; nothing but their mean would be at 0.95 from them."""
    config = tabular(**{
        "learning_rate": 3e-2, "learning_rate_end_factor": 0.0, "target_period": 20,
        "batch_size": 64, "capacity": 4_000, "warmup_steps": 400, "epsilon_end": 1.0,
        "total_steps": 400 + 4 * 3_000, "evaluations": 1, **head,
    })  # fmt: skip
    _, metrics = jax.jit(jaxdqn.train)(config, KEY)
    assert float(metrics.return_distance[-1]) < 0.3
    assert float(metrics.q_error[-1]) < 0.3
    assert float(metrics.regret[-1]) == pytest.approx(0.0, abs=1e-4)


def test_where_no_distribution_is_learned_none_is_measured():
    assert jaxdqn.train(small(), KEY)[1].return_distance is None


def test_sequences_without_memory_learn_a_distribution_that_is_measured():
    config = small(method="r2d2", memory="none", head="quantile")
    assert jax.eval_shape(jaxdqn.train, config, KEY)[1].return_distance is not None
