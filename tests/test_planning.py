"""The network that plans: its plan is value iteration, its gradient that of where this ends."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, small

import jaxdqn
from jaxdqn import ConfigError
from jaxdqn.maze import exact
from jaxdqn.networks import planning
from jaxdqn.networks.network import Seen

KEY = jax.random.key(0)
WALLS, AGENT, GOAL = range(3)
DISCOUNT = 0.9
MAZE = ["S..#...", "##.#.#.", "...#.#.", ".###.#.", ".....#.", ".#...#.", "...#.#G"]


def planner(**changes):
    """Return the network of four actions, linear behind its plans."""
    settings = planning.PlanningSettings(**{"plans": 1, "rounds": 100, **changes})
    network = settings.make(4, 1, None)
    return lambda params, obs: network.apply(params, (), obs, False, None)[0][:, 0], network.init


def planes(walls, agent):
    """Return the observation ``[H, W, 3]`` of a maze whose goal is its last cell."""
    flat = np.zeros((walls.size, 3), bool)
    flat[:, WALLS], flat[agent, AGENT], flat[-1, GOAL] = walls.reshape(-1), True, True
    return jnp.asarray(flat.reshape(*walls.shape, 3))


def logit(share):
    return float(np.log(share / (1 - share))) / planning.GAIN


def knowing():
    """Return weights of one plan that says what this maze is: walls stop, the goal is worth 10."""
    passed, entered = DISCOUNT, 0.5
    passage = {
        "kernel": jnp.array([[logit(1e-30) - logit(passed), logit(entered) - logit(passed)]]),
        "bias": jnp.array([logit(passed)]),
    }
    # The goal's own value counts the way back to it: what comes after an episode isn't planned.
    worth = 10.0 / entered * (1 - passed * entered) / planning.GAIN
    reward = {"kernel": jnp.array([[0.0, worth]]), "bias": jnp.zeros(1)}
    # What each of four moves leads to, neither staying nor the cell itself.
    output = {"kernel": jnp.eye(9)[jnp.array([1, 0, 3, 2])], "bias": jnp.zeros(4)}
    return {"params": {"passage": passage, "reward": reward, "dense": {"output": output}}}


def test_a_plan_that_knows_walls_and_goal_has_the_exact_values_and_the_shortest_ways():
    walls = np.array([[cell == "#" for cell in row] for row in MAZE])
    apply, init = planner()
    fresh, known = init(KEY, planes(walls, 0)), knowing()
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, known)
    cells = np.flatnonzero(~walls.reshape(-1))[:-1]
    expected = np.asarray(exact.optimal_q("\n".join(MAZE), DISCOUNT))[cells]
    found = np.stack([apply(known, planes(walls, cell)) for cell in cells])
    np.testing.assert_allclose(found.max(axis=1), expected.max(axis=1), rtol=1e-4)
    chosen = np.take_along_axis(expected, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    np.testing.assert_array_equal(chosen, expected.max(axis=1))


@pytest.mark.parametrize("rounds", [1, 5, 11])
def test_it_sees_as_many_cells_far_as_it_has_rounds(rounds):
    """And one more, which is that of the move."""
    corridor = np.zeros((1, 16), bool)
    apply, init = planner(rounds=rounds, plans=3)
    params = init(KEY, planes(corridor, 0))

    def hidden(agent):
        seen = planes(corridor, agent)
        gone = seen.at[0, -1, GOAL].set(False)
        return bool(jnp.allclose(apply(params, seen), apply(params, gone), rtol=0, atol=1e-9))

    assert not hidden(15 - rounds - 1)
    assert hidden(15 - rounds - 2)


def test_the_plan_does_not_depend_on_where_the_agent_is():
    """Marked in two cells, it reads the sum of what moves from each lead to."""
    walls = np.zeros((5, 5), bool)
    apply, init = planner(plans=4)
    params = init(KEY, planes(walls, 0))
    output = params["params"]["dense"]["output"]
    of_plans = output["kernel"].reshape(4, 4, 9)
    output["kernel"] = of_plans.at[..., 4:8].set(0.0).reshape(4, 36)  # of staying, a product
    shown = planes(walls, 7)
    twice = shown.at[2, 2, AGENT].set(True)
    each = apply(params, shown), apply(params, planes(walls, 12))
    np.testing.assert_allclose(apply(params, twice), sum(each) - output["bias"], rtol=1e-5)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_the_gradient_is_that_of_many_rounds(backend, monkeypatch):
    """Also where several rounds are one piece of program, and some are left over."""
    monkeypatch.setattr(planning.jax, "default_backend", lambda: backend)
    row, cells = 6, 30
    keys = jax.random.split(KEY, 3)
    inside = jnp.arange(cells) % row < row - 1
    passage = jnp.where(inside, 0.8 * jax.random.uniform(keys[0], (2, cells)), 0.0)
    reward, weights = jax.random.normal(keys[1], (2, 2, cells))

    def through(passage, reward):
        found = reward
        for _ in range(64):
            beside = planning.neighbours(passage * found, row)
            found = reward + functools.reduce(jnp.maximum, beside)
        return jnp.sum(weights * found)

    def implicit(passage, reward):
        return jnp.sum(weights * planning.values(passage, reward, row, 64))

    (value, expected), (same, found) = (
        jax.value_and_grad(f, (0, 1))(passage, reward) for f in (through, implicit)
    )
    assert value == pytest.approx(float(same), rel=1e-6)
    # Passages of what is no cell are none.
    expected, found = ((jnp.where(inside, p, 0.0), r) for p, r in (expected, found))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agent_plane": 3}, ["agent_plane (3)", "the 3 planes", "0 to 2"]),
        ({"agent_plane": 2}, ["agent_plane (2) must be that of the agent", "agent_plane = 1"]),
        (
            {"env_kwargs": {"observation": "view"}},
            ["agent_plane (1) must be that of the agent", "env_kwargs.observation = 'planes'"],
        ),
        ({"env_kwargs": {}}, ["network ('planning')", "(H, W, C)", "observation = 'planes'"]),
        ({"rounds": 0}, ["rounds (0)", "1 or more"]),
        ({"plans": 0}, ["plans (0)", "1 or more"]),
    ],
)
def test_what_it_cannot_plan_on_is_refused(changes, said):
    maze = {"height": 4, "width": 4, "generator": "empty", "observation": "planes"}
    config = small(**{"network": "planning", "widths": (), "env_kwargs": maze, **changes})
    with pytest.raises(ConfigError) as refused:
        jaxdqn.train(config, KEY)
    assert all(part in str(refused.value) for part in said), refused.value


def test_a_grid_that_is_the_agent_alone_is_refused():
    alone = Seen("Grid", {}, (4, 4, 1), None, 4, is_maze=False)
    with pytest.raises(ConfigError, match=r"nothing to plan on in Grid's .*: set network = "):
        planning.PlanningSettings(agent_plane=0).check_reads(alone)


@pytest.mark.slow
def test_it_finds_its_way_in_mazes_that_it_never_saw():
    """5×5, the better half of four seeds; who keeps to straight ways solves some 50 % of them."""
    shipped = jaxdqn.load_config(ROOT / "configs" / "planning.toml")
    mazes = {**shipped.env_kwargs, "height": 5, "width": 5, "num_levels": 128, "num_held_out": 48}
    config = shipped.replace(
        env_kwargs=mazes, rounds=12, warmup_steps=2_048, total_steps=2_048 + 64 * 1_600,
        epsilon_steps=20_000, capacity=40_000, evaluations=1, eval_episodes=96, oracle_levels=1,
    )  # fmt: skip
    found = jaxdqn.sweep(config, seeds=4, say=None).metrics.held_out.success[:, -1]
    assert np.median(found) > 0.85, found
