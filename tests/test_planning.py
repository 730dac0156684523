"""The network that plans: its plan is value iteration, its gradient that of where this ends."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MOVES, ROOT, small

import jaxdqn
from jaxdqn import ConfigError, maze
from jaxdqn.networks import planning
from jaxdqn.networks.network import Seen

KEY = jax.random.key(0)
WALLS, AGENT, GOAL = range(3)
DISCOUNT = 0.9
MAZE = ["S..#...", "##.#.#.", "...#.#.", ".###.#.", ".....#.", ".#...#.", "...#.#G"]


def planner(num_actions=4, width=1, **changes):
    """Return the network of four actions."""
    settings = planning.PlanningSettings(**{"plans": 1, "rounds": 100, **changes})
    network = settings.make(num_actions, width, None)
    apply = jax.jit(lambda params, obs: network.apply(params, (), obs, False, None)[0][:, 0])
    return apply, jax.jit(network.init)


def planes(walls, agent):
    """Return the observation ``[H, W, 3]`` of a maze whose goal is its last cell."""
    flat = np.zeros((walls.size, 3), bool)
    flat[:, WALLS], flat[agent, AGENT], flat[-1, GOAL] = walls.reshape(-1), True, True
    return jnp.asarray(flat.reshape(*walls.shape, 3))


def knowing():
    """Return weights of one plan that says what a maze is: walls stop, the goal is worth 10."""
    passed = -float(np.log(1 - DISCOUNT)) / planning.GAIN
    passage = {"kernel": jnp.array([[-passed, 0.0]]), "bias": jnp.array([passed])}
    source = jnp.array([[-1.0, 1.0]]) / planning.GAIN
    read = {
        "kernel": jnp.full((1, 1, 1), 10.0 / DISCOUNT / planning.GAIN),
        "bias": jnp.zeros((1, 1)),
    }
    return {"params": {"passage": passage, "source": source, **read}}


def test_a_plan_that_knows_walls_and_goal_has_the_exact_values_whatever_the_size():
    """Of every action, also of one into a wall; and the same to the bit by more rounds."""
    small_maze = maze.draw("\n".join(MAZE))
    large_maze = maze.level(maze.bank("corridors", 15, 15, seed=3), 0)
    for level in (small_maze, large_maze):
        walls = np.asarray(level.walls)
        apply, init = planner()
        more, _ = planner(rounds=300)
        fresh, known = init(KEY, planes(walls, 0)), knowing()
        assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, known)
        cells = np.flatnonzero(~walls.reshape(-1))[:-1]
        expected = np.asarray(maze.optimal_q(level, DISCOUNT))[cells]
        seen = jnp.stack([planes(walls, cell) for cell in cells])
        found = jax.vmap(apply, (None, 0))(known, seen)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        np.testing.assert_array_equal(found, jax.vmap(more, (None, 0))(known, seen))


def test_a_wall_that_lets_little_through_is_one_however_long_the_way_around():
    """By a tenth it would save 22 moves of those around it: no more than small mazes know."""
    level = maze.draw("S......\n######.\n.......\n.######\n.......\n######.\nG......")
    walls = np.asarray(level.walls)
    apply, _ = planner()
    seen = planes(walls, 0).at[-1, -1, GOAL].set(False).at[-1, 0, GOAL].set(True)
    closed, ajar = knowing(), knowing()
    passed = ajar["params"]["passage"]
    passed["kernel"] = passed["kernel"].at[0, WALLS].set(0.1 / planning.GAIN - passed["bias"][0])
    assert float(1 - jnp.exp(-0.1)) > DISCOUNT**23
    found = apply(closed, seen)
    assert int(jnp.argmax(found)) == MOVES.index((0, 1))
    np.testing.assert_array_equal(apply(ajar, seen), found)


def test_actions_are_the_moves_that_are_said_and_others_have_weights_of_their_own():
    walls = np.zeros((5, 5), bool)
    usual, init = planner(plans=3)
    apply, init_others = planner(num_actions=6, plans=3, moves="rsdl")
    seen = planes(walls, 12)
    params, others = init(KEY, seen), init_others(KEY, seen)
    kernel = jax.random.normal(KEY, others["params"]["kernel"].shape)
    others["params"]["kernel"] = kernel.at[1].set(kernel[0])
    params["params"]["kernel"] = kernel[:1]
    _, down, left, right = usual(params, seen)
    found = apply(others, seen)
    np.testing.assert_array_equal(found[jnp.array([0, 2, 3])], jnp.stack([right, down, left]))
    # By the same weights one more action is worth what staying is.
    assert found[4] == found[1] != found[5]


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
    shown = planes(walls, 7)
    twice = shown.at[2, 2, AGENT].set(True)
    each = apply(params, shown), apply(params, planes(walls, 12))
    np.testing.assert_allclose(apply(params, twice), sum(each), rtol=1e-5)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_the_gradient_is_that_of_many_rounds(backend, monkeypatch):
    """Also where several rounds are one piece of program, and some are left over."""
    monkeypatch.setattr(planning.jax, "default_backend", lambda: backend)
    row, cells = 6, 30
    keys = jax.random.split(KEY, 3)
    inside = jnp.arange(cells) % row < row - 1
    passage = jnp.where(inside, 0.8 * jax.random.uniform(keys[0], (2, cells)), 0.0)
    source = jax.random.uniform(keys[1], (2, cells)) ** 8  # few are much greater than others
    weights = jax.random.normal(keys[2], (2, cells))

    def through(passage, source):
        found = source
        for _ in range(64):
            beside = planning.neighbours(passage * found, row)
            found = jnp.maximum(source, functools.reduce(jnp.maximum, beside))
        return jnp.sum(weights * found)

    def implicit(passage, source):
        return jnp.sum(weights * planning.values(passage, source, row, 64))

    (value, expected), (same, found) = (
        jax.value_and_grad(f, (0, 1))(passage, source) for f in (through, implicit)
    )
    assert value == pytest.approx(float(same), rel=1e-6)
    # Passages of what is no cell are none.
    expected, found = ((jnp.where(inside, p, 0.0), r) for p, r in (expected, found))
    assert all(0.1 < np.mean(np.asarray(of) != 0) < 0.9 for of in expected)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_what_is_closed_beyond_measure_has_finite_gradients():
    apply, init = planner(plans=8)
    seen = planes(np.eye(5, k=1, dtype=bool), 0)
    params = init(KEY, seen)
    wide = 255.0 * seen.astype(jnp.float32)
    slopes = jax.grad(lambda params: jnp.sum(apply(params, wide)))(params)
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))


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
        ({"moves": "lrud"}, ["moves ('lrud') must be 'udlr'", "leave it out"]),
        ({"head": "implicit_quantile"}, ["(PlanningSettings) gives no numbers at fractions"]),
        ({"dueling": True}, ["dueling (True) belongs to network"]),
        (
            {"memory": "gru", "method": "ppo", "minibatches": 2},
            ["network ('planning') reads a whole maze", "memory = 'none'"],
        ),
        ({"rounds": 0}, ["rounds (0)", "1 or more"]),
        ({"plans": 0}, ["plans (0)", "1 or more"]),
    ],
)
def test_what_it_cannot_plan_on_is_refused(changes, said):
    maze = {"height": 4, "width": 4, "generator": "empty", "observation": "planes"}
    with pytest.raises(ConfigError) as refused:
        jaxdqn.train(small(env_kwargs=maze).replace(**{"network": "planning", **changes}), KEY)
    assert all(part in str(refused.value) for part in said), refused.value


@pytest.mark.parametrize("moves", ["", "udlx", "udlrs"])
def test_moves_that_are_none_or_too_many_are_refused(moves):
    grid = Seen("Grid", {}, (4, 4, 2), None, 4, is_maze=False)
    with pytest.raises(ConfigError, match=rf"moves \('{moves}'\) must be .* which has 4: change"):
        planning.PlanningSettings(moves=moves).check_reads(grid)


def test_a_grid_that_is_the_agent_alone_is_refused():
    alone = Seen("Grid", {}, (4, 4, 1), None, 4, is_maze=False)
    with pytest.raises(ConfigError, match=r"nothing to plan on in Grid's .*: set network = "):
        planning.PlanningSettings(agent_plane=0).check_reads(alone)


@pytest.mark.slow
def test_what_small_mazes_teach_holds_in_larger_ones_that_it_never_saw():
    """Learned on 5×5; then 11×11 from corner to corner, of the same kind and of another."""
    shipped = jaxdqn.load_config(ROOT / "configs" / "planning.toml")
    mazes = {**shipped.env_kwargs, "height": 5, "width": 5, "num_levels": 128, "num_held_out": 48}
    config = shipped.replace(
        env_kwargs=mazes, rounds=12, warmup_steps=2_048, total_steps=2_048 + 64 * 600,
        epsilon_steps=15_000, capacity=40_000, evaluations=1, eval_episodes=96, oracle_levels=1,
    )  # fmt: skip
    keys = jax.vmap(jax.random.key)(jnp.arange(4))
    state, metrics = jax.jit(jax.vmap(jaxdqn.train, (None, 0)))(config, keys)
    found = [metrics.held_out.success[:, -1]]
    for generator in ("corridors", "scatter"):
        grid = {"height": 11, "width": 11, "generator": generator, "observation": "planes"}
        larger = config.replace(
            env_kwargs={**grid, "num_held_out": 16}, rounds=64, eval_steps=64, eval_episodes=16,
            env_params={"max_steps_in_episode": 65},
        )  # fmt: skip
        judged = jax.vmap(jaxdqn.evaluate, (None, 0, None))(larger, state.agent.params, KEY)
        found.append(judged.held_out.spl)
    assert np.min(found) > 0.9, found
