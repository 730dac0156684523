"""The exact oracle against value iteration in plain NumPy, and against its own equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MOVES, breadth_first, maze_env

import jaxdqn
from jaxdqn import maze
from jaxdqn.maze import solve

SIDES = [(2, 3), (2, 3), (0, 1), (0, 1)]


def model_of(walls, goal, rewards, slip, discount) -> solve.Model:
    return solve.Model(solve.successors(walls), rewards, goal, slip, discount)


backup = jax.jit(solve.backup)


def numpy_q(walls, goal, rewards, slip, discount):
    """Value iteration in double precision, cell by cell."""
    height, width = walls.shape
    size = walls.size
    next_cell = np.zeros((size, 4), int)
    for cell in range(size):
        for action, (dr, dc) in enumerate(MOVES):
            row, column = cell // width + dr, cell % width + dc
            inside = 0 <= row < height and 0 <= column < width
            free = inside and not walls[row, column]
            next_cell[cell, action] = row * width + column if free else cell
    chance = np.zeros((size, 4, size))
    for cell in range(size):
        for action in range(4):
            chance[cell, action, next_cell[cell, action]] += 1 - slip
            for side in SIDES[action]:
                chance[cell, action, next_cell[cell, side]] += slip / 2
    values = np.zeros(size)
    for _ in range(100_000):
        worth = rewards + discount * np.where(np.arange(size) == goal, 0.0, values)
        q = chance @ worth
        if np.abs(q.max(1) - values).max() < 1e-12:
            break
        values = q.max(1)
    return q


def random_problems(count: int, seed: int):
    """Mazes of mixed kinds, sizes, slip, costs, discounts and reward cells."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        generator = ("empty", "scatter", "corridors", "braid", "rooms")[index % 5]
        height, width = ((5, 5), (7, 9), (3, 11))[index // 5 % 3]
        walls = np.asarray(maze.bank(generator, height, width, seed=seed + index).walls[0])
        rewards = np.full(walls.size, -rng.choice([0.0, 0.1]))
        rewards += rng.choice([0.0, 0.0, 1.0, -2.0], size=walls.size)
        goal = walls.size - 1
        rewards[goal] += 10.0
        yield walls, goal, rewards, rng.choice([0.0, 0.1, 0.7]), rng.choice([0.9, 0.95])


@pytest.mark.parametrize("seed", [0, 1_000])
def test_optimal_values_equal_value_iteration_in_numpy(seed):
    oracle = jax.jit(lambda *problem: solve.optimal_q(model_of(*problem)))
    for walls, goal, rewards, slip, discount in random_problems(100, seed):
        found = oracle(walls, goal, jnp.asarray(rewards, jnp.float32), slip, discount)
        expected = numpy_q(walls, goal, rewards, slip, discount)
        assert np.abs(found - expected).max() < 1e-4


def test_optimal_values_satisfy_their_own_equation():
    for problem in random_problems(30, 7):
        walls, goal, rewards, slip, discount = problem
        model = model_of(walls, goal, jnp.asarray(rewards, jnp.float32), slip, discount)
        q = solve.optimal_q(model)
        scale = max(1.0, float(jnp.abs(q).max()))
        assert jnp.abs(backup(model, q.max(1)) - q).max() < 1e-5 * scale


@pytest.mark.parametrize("generator", ["empty", "scatter", "corridors", "braid", "rooms"])
def test_greedy_on_optimal_values_walks_a_shortest_path(generator):
    levels = maze.bank(generator, 9, 9, count=1 if generator == "empty" else 20, seed=5)
    goal_rewards = jnp.zeros(81).at[80].set(10.0)

    def follow(walls):
        model = model_of(walls, 80, goal_rewards, 0.0, 0.95)
        step = jnp.take_along_axis(
            model.successors, solve.optimal_q(model).argmax(1)[:, None], axis=1
        )[:, 0]
        return step, maze.distances(walls, 80)

    for step, distance in zip(*jax.vmap(follow)(levels.walls), strict=True):
        for cell in np.flatnonzero((distance > 0) & (distance < 81)):
            assert distance[step[cell]] == distance[cell] - 1


def test_a_bank_is_solved_at_once_like_each_maze_alone():
    levels = maze.bank("scatter", 6, 6, count=8, seed=2)
    rewards = jnp.zeros(36).at[35].set(10.0)

    def of_one(walls):
        return solve.optimal_q(model_of(walls, 35, rewards, 0.2, 0.9))

    together = jax.vmap(of_one)(levels.walls)
    for index in range(8):
        np.testing.assert_allclose(together[index], of_one(levels.walls[index]), atol=1e-5)


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_the_value_of_a_policy_solves_its_linear_system(slip):
    rng = np.random.default_rng(0)
    walls = np.asarray(maze.bank("scatter", 6, 6, seed=4).walls[0])
    rewards = rng.normal(size=36).astype(np.float32)
    actions = rng.integers(4, size=36)
    model = model_of(walls, 35, jnp.asarray(rewards), slip, 0.9)
    backup = jax.jit(solve.backup)
    basis = jax.vmap(lambda values: backup(model, values), out_axes=-1)(jnp.eye(36))
    constant = backup(model, jnp.zeros(36))
    rows = np.arange(36)
    matrix = np.asarray(basis - constant[..., None])[rows, actions]
    expected = np.linalg.solve(np.eye(36) - matrix, np.asarray(constant)[rows, actions])
    np.testing.assert_allclose(solve.policy_value(model, actions), expected, atol=1e-4)


def softmax_value(logits, slip, rewards, walls):
    """The value of a policy by chance, by a dense system in double precision."""
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    model = model_of(walls, 35, jnp.asarray(rewards, jnp.float32), slip, 0.9)
    basis = jax.vmap(lambda values: solve.backup(model, values), out_axes=-1)(jnp.eye(36))
    constant = np.asarray(solve.backup(model, jnp.zeros(36)), np.float64)
    moves = np.asarray(basis, np.float64) - constant[..., None]
    matrix = np.eye(36) - np.einsum("sa,sat->st", chance, moves)
    return np.linalg.solve(matrix, (chance * constant).sum(axis=1))


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_the_value_of_a_policy_by_chance_and_its_gradient_solve_the_linear_system(slip):
    rng = np.random.default_rng(1)
    walls = np.asarray(maze.bank("scatter", 6, 6, seed=4).walls[0])
    rewards, logits = rng.normal(size=36), rng.normal(size=(36, 4))

    @jax.jit
    def value(logits):
        model = model_of(walls, 35, jnp.asarray(rewards, jnp.float32), slip, 0.9)
        return solve.stochastic_value(model, jax.nn.softmax(logits))

    found = value(jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(found, softmax_value(logits, slip, rewards, walls), atol=1e-4)
    gradient = jax.grad(lambda logits: value(logits)[0])(jnp.asarray(logits, jnp.float32))
    for cell, action in ((0, 1), (1, 3), (6, 2)):
        shift = np.zeros((36, 4))
        shift[cell, action] = 1e-4
        up, down = (softmax_value(logits + s, slip, rewards, walls)[0] for s in (shift, -shift))
        assert float(gradient[cell, action]) == pytest.approx((up - down) / 2e-4, abs=1e-4)
    table = np.asarray(logits).argmax(axis=1)
    sure = jax.nn.one_hot(table, 4)
    model = model_of(walls, 35, jnp.asarray(rewards, jnp.float32), slip, 0.9)
    by_chance = jax.jit(solve.stochastic_value)(model, sure)
    np.testing.assert_allclose(by_chance, jax.jit(solve.policy_value)(model, table), atol=1e-4)


def test_the_optimal_policy_is_worth_the_optimal_values():
    for walls, goal, rewards, slip, discount in random_problems(9, 3):
        model = model_of(walls, goal, jnp.asarray(rewards, jnp.float32), slip, discount)
        q = solve.optimal_q(model)
        np.testing.assert_allclose(
            solve.policy_value(model, q.argmax(1)), q.max(1), rtol=1e-4, atol=1e-3
        )


DRAWN = """
S..#
.#..
...G
"""
RULES = {"goal_reward": 3.0, "step_cost": 0.25, "slip": 0.3}
UP = np.zeros(12, int)
KEY, SHUT_IN = jax.random.key(0), np.ones((3, 4), bool)


def kinds_of_maze():
    """One maze, S and G in the corners, in the three ways that it may be given."""
    level = maze.draw(DRAWN)
    return {"text": DRAWN, "level": level, "walls": level.walls}


def test_exact_values_are_those_of_the_environment():
    rng = np.random.default_rng(0)
    env, params = maze_env(height=3, width=4, generator="scatter", level_seed=2)
    cells = rng.normal(size=(3, 4)).astype(np.float32)
    actions = rng.integers(4, size=12)
    level = maze.level(params.levels, 0)
    for rules in ({}, {**RULES, "cell_rewards": cells}):
        model = env.model(params.replace(**rules), 0, level.goal, 0.9)
        q, worth = solve.optimal_q(model), solve.policy_value(model, actions)
        np.testing.assert_array_equal(maze.optimal_q(level, 0.9, **rules), q, strict=True)
        np.testing.assert_allclose(
            maze.policy_value(level, actions, 0.9, **rules), worth, rtol=1e-5, atol=1e-6
        )
        lost = (q.max(axis=1) - worth)[level.start]
        assert float(maze.regret(level, actions, 0.9, **rules)) == pytest.approx(float(lost))
        assert lost > 0


@pytest.mark.parametrize("kind", ["text", "level", "walls"])
def test_exact_values_are_those_of_plain_python(kind):
    drawn, (walls, start, goal) = kinds_of_maze()[kind], maze.parse(DRAWN)
    far = breadth_first(walls, goal)
    assert list(maze.distances(drawn)) == list(far)
    assert list(maze.distances(drawn, start)) == list(breadth_first(walls, start))
    assert maze.shortest_path(drawn) == far[start] == 5
    rewards = np.full(12, -0.25)
    rewards[goal] += 3.0
    np.testing.assert_allclose(
        maze.optimal_q(drawn, discount=0.9, **RULES), numpy_q(walls, goal, rewards, 0.3, 0.9),
        atol=1e-4,
    )  # fmt: skip


def test_values_without_cost_or_slip_are_the_discounted_distance():
    far = np.asarray(maze.distances(DRAWN))
    free = (far > 0) & (far < 12)
    values = maze.optimal_q(DRAWN, 0.9).max(axis=1)
    np.testing.assert_allclose(values[free], 10.0 * 0.9 ** (far[free] - 1), rtol=1e-6)


def test_the_optimal_table_has_no_regret_and_a_hopeless_one_the_whole_value():
    best = maze.optimal_q(DRAWN, 0.9).argmax(axis=1)
    assert float(maze.regret(DRAWN, best, 0.9)) == 0.0
    assert float(maze.policy_value(DRAWN, UP, 0.9)[0]) == 0.0
    assert float(maze.regret(DRAWN, UP, 0.9)) == pytest.approx(10.0 * 0.9**4)
    detour = "S..\n.#.\nG.."
    table = np.array([3, 3, 1, 1, 0, 1, 0, 2, 2])  # around the wall: six moves in place of two
    lost = 10.0 * (0.9**1 - 0.9**5)
    assert float(maze.regret(detour, table, 0.9)) == pytest.approx(lost)


def test_a_policy_by_chance_has_the_value_of_a_random_walk():
    """In a corridor of one cell and the goal, right takes a step and all else stays."""
    chance = np.array([[0.25] * 4, [0.25] * 4], np.float32)
    expected = 10.0 * 0.25 / (1 - 0.9 * 0.75)
    assert float(maze.policy_value("SG", chance, 0.9)[0]) == pytest.approx(expected, rel=1e-5)
    assert float(maze.regret("SG", chance, 0.9)) == pytest.approx(10.0 - expected, rel=1e-5)


def test_values_are_exact_for_discounts_near_1_or_nan_where_they_are_traced():
    """Up, from the top, costs 0.1 for ever; with a reward for each step the best never ends."""
    level, cost = maze.draw(DRAWN), {"step_cost": 0.1}
    np.testing.assert_allclose(maze.policy_value(level, UP, 0.99999, **cost), -10_000, rtol=1e-6)
    np.testing.assert_allclose(
        maze.optimal_q(level, 0.99999, step_cost=-0.2).max(axis=1), 20_000, rtol=1e-6
    )
    assert float(maze.regret(level, UP, 0.99999, **cost)) == pytest.approx(10_009.49995)
    swept = jax.jit(lambda discount: maze.policy_value(level, UP, discount, **cost))
    assert np.isnan(swept(0.99999)).all()
    assert np.isnan(swept(0.99996)).all(), "sweeps change little, and 2 % are left"
    np.testing.assert_allclose(swept(0.9999), -1000.0, rtol=1e-3)
    np.testing.assert_allclose(swept(0.9), -1.0, rtol=1e-5)
    lost = jax.jit(lambda discount: maze.regret(level, UP, discount, **cost))
    assert np.isnan(lost(1.0))


def test_without_a_discount_a_policy_that_never_ends_is_worth_an_infinity():
    level = maze.draw(DRAWN)
    down = maze.optimal_q(level, 0.9).argmax(axis=1)
    for cost in (0.1, -0.1):
        values = maze.policy_value(level, UP, 1.0, step_cost=cost)
        np.testing.assert_array_equal(values, -np.inf if cost > 0 else np.inf)
        far = maze.distances(level)[level.start]
        ends = maze.policy_value(level, down, 1.0, step_cost=cost)[level.start]
        assert float(ends) == pytest.approx(10.0 - cost * float(far))
    assert float(maze.regret(level, UP, 1.0, step_cost=0.1)) == np.inf
    assert np.isnan(maze.optimal_q(level, 1.0, step_cost=-0.1)).all(), "infinite, and not swept"
    assert float(maze.regret(level, UP, 1.0)) == pytest.approx(10.0), "no cost, and no goal"
    walk = np.full((12, 4), 0.25)
    problem = maze.model(level, 1.0, step_cost=0.1)
    swept = jax.jit(solve.stochastic_value)(problem, jnp.asarray(walk, jnp.float32))
    np.testing.assert_allclose(
        maze.policy_value(level, walk, 1.0, step_cost=0.1), swept, rtol=1e-4, atol=1e-3
    )
    # Right and left again, by +1 and -1, in the first two cells; the others come to a wall.
    there_and_back = np.zeros((3, 4)), UP.copy()
    there_and_back[0][0, :2], there_and_back[1][:2] = (1.0, -1.0), (3, 2)
    values = maze.policy_value(level, there_and_back[1], 1.0, cell_rewards=there_and_back[0])
    np.testing.assert_array_equal(np.isnan(values), [c in (0, 1, 4, 5, 8) for c in range(12)])


def test_the_oracle_of_a_training_says_nan_where_values_have_not_converged():
    env, params = maze_env(height=3, width=4, generator="empty")
    model = env.model(params.replace(step_cost=0.1), 0, 11, 1.0)
    right = np.full(12, 3)
    values = jax.jit(solve.policy_value)(model, right)
    assert np.isnan(values[:8]).all(), "along the upper rows for ever"
    np.testing.assert_allclose(values[8:11], [9.7, 9.8, 9.9], rtol=1e-5)
    assert not np.isnan(solve.optimal_q(model)).any()
    corridor = maze.model(f"S{118 * '.'}G", 1.0, step_cost=0.01)
    slow = jax.jit(solve.stochastic_value)(corridor, jnp.full((120, 4), 0.25))
    assert np.isnan(slow[0]), "a slow walk"


def test_exact_values_are_mapped_over_numbers_actions_and_walls():
    level = maze.draw(DRAWN)
    for name in ("discount", "slip"):
        numbers = jnp.asarray([0.0, 0.5, 0.9])

        def of(number, name=name):
            return maze.optimal_q(level, **{"discount": 0.8, name: number})

        together = jax.jit(jax.vmap(of))(numbers)
        for row, number in zip(together, (0.0, 0.5, 0.9), strict=True):
            np.testing.assert_allclose(row, of(number), atol=1e-5)
    tables = jnp.stack([maze.optimal_q(level, 0.9).argmax(axis=1), UP])
    lost = jax.vmap(lambda actions: maze.regret(level, actions, 0.9))(tables)
    np.testing.assert_allclose(lost, [0.0, 10.0 * 0.9**4], rtol=1e-6)
    walls = maze.bank("scatter", 3, 4, count=2, seed=1).walls
    values = jax.vmap(lambda walls: maze.optimal_q(walls, 0.8))(walls)
    for index in range(2):
        np.testing.assert_allclose(values[index], maze.optimal_q(walls[index], 0.8), atol=1e-5)


def test_a_text_may_stand_in_what_is_compiled():
    def exact(discount):
        return (
            maze.optimal_q(DRAWN, discount),
            maze.policy_value(DRAWN, UP, discount),
            maze.regret(DRAWN, UP, discount),
            maze.distances(DRAWN),
            maze.optimal_q(maze.draw(DRAWN), 0.9),
            maze.policy_value(DRAWN, UP, 0.9),
            maze.optimal_q(maze.level(maze.bank("empty", 2, 2), 0), discount),
            maze.shortest_path(DRAWN) * discount,
        )

    for one, other in zip(exact(0.9), jax.jit(exact)(0.9), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    with pytest.raises(jaxdqn.ConfigError, match=r"goal \(5\) is a wall"):
        jax.jit(lambda discount: maze.distances("S..\n..#\n..G", 5) * discount)(0.9)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: maze.optimal_q(DRAWN, 1.5), r"discount \(1.5\) must be a number from 0 to 1"),
        (lambda: maze.optimal_q(DRAWN, "high"), r"discount \('high'\) must be a number"),
        (lambda: maze.optimal_q(DRAWN, np.ones(3)), r"discount .*\(3,\).* map .* jax.vmap"),
        (lambda: maze.optimal_q(DRAWN, 0.9, goal_reward=np.inf), r"goal_reward \(inf\) must be a"),
        (lambda: maze.optimal_q(DRAWN, 0.9, slip=2), r"slip \(2\) must be .* from 0 to 1"),
        (lambda: maze.optimal_q(DRAWN, 0.9, cell_rewards=UP), "cell_rewards .* 3 rows of 4"),
        (lambda: maze.optimal_q(0, 0.9), r"level \(0\) is no maze: give a text"),
        (lambda: maze.optimal_q(np.zeros((3, 4)), 0.9), r"float64, shape \(3, 4\).* booleans"),
        (lambda: maze.optimal_q(UP == 0, 0.9), r"shape \(12,\).* booleans \[H, W\]"),
        (lambda: maze.optimal_q(np.ones((3, 4), bool), 0.9), r"goal \(11\) is a wall"),
        (lambda: maze.distances(DRAWN, 12), r"goal \(12\) is no cell: .* from 0 to 11"),
        (lambda: maze.distances(DRAWN, 1.7), r"goal \(1.7\) must be the number of one cell"),
        (lambda: maze.distances(DRAWN, "G"), r"goal \('G'\) must be .*: choose one from 0 to 11"),
        (lambda: maze.distances(maze.bank("empty", 3, 3)), "level .* bank of 1.*maze.level"),
        (lambda: maze.draw(5), r"layout \(5\) must be text: write a line per row"),
        (lambda: maze.draw("S#G"), "layout has no way from start to goal"),
        (lambda: maze.regret(DRAWN, UP[1:], 0.9), r"actions has shape \(11,\): .* 12 cells"),
        (lambda: maze.regret(DRAWN, UP + 4, 0.9), "actions contains 4: use 0 up, 1 down"),
        (lambda: maze.policy_value(DRAWN, UP - 1, 0.9), "actions contains -1: use 0 up"),
        (lambda: maze.policy_value(DRAWN, UP * 1.0, 0.9), r"actions \(float64\) .* whole"),
        (lambda: maze.policy_value(DRAWN, np.ones((12, 3)), 0.9), r"shape \(12, 3\): .*\(12, 4\)"),
        (lambda: maze.regret(DRAWN, np.full((12, 4), 0.5), 0.9), r"cell 0 \(\[0.5, .* sum 1"),
        (lambda: maze.policy_value(DRAWN, np.tile([2.0, -1, 0, 0], (12, 1)), 0.9), "0 or more"),
        (lambda: maze.policy_value(DRAWN, "up", 0.9), r"actions \('up'\) .* whole numbers"),
        (lambda: maze.optimal_q(DRAWN, KEY), r"discount \(Array.*\) must be a number from 0 to 1"),
        (lambda: maze.optimal_q(DRAWN, [[1], []]), r"discount \(\[\[1\], \[\]\]\) must be a num"),
        (lambda: jax.jit(lambda key: maze.model(DRAWN, key))(KEY), r"discount .*must be a number"),
        (lambda: maze.model(DRAWN, np.ma.masked), r"discount \(masked\) must be a number from 0"),
        (lambda: maze.regret(DRAWN, UP, 0.9, cell_rewards=KEY), r"cell_rewards .* must be a num"),
        (lambda: maze.regret(DRAWN, KEY, 0.9), r"actions \(key<fry>\) must be an array of whole"),
        (lambda: maze.regret(DRAWN, np.ma.masked_equal(UP, 0), 0.9), r"\(of type Mask.* whole"),
        (lambda: maze.distances(DRAWN, KEY), r"goal \(Array.*\) must be the number of one cell"),
        (lambda: maze.distances(np.ma.masked_equal(UP == 1, 0)), "level .*MaskedArray.* no maze"),
        (lambda: maze.shortest_path(SHUT_IN), r"goal \(11\) is a wall: choose a free cell"),
        (lambda: jax.jit(maze.shortest_path)(~SHUT_IN), r"level \(traced\) .* maze\.distances"),
        (lambda: maze.Maze().check_params(maze.MazeParams(None, slip=KEY)), r"ams.slip .* 0 to 1"),
        (lambda: maze.TMaze().check_params(maze.TMazeParams(KEY)), r"params.length .* whole"),
    ],
)  # fmt: skip
def test_what_makes_no_maze_no_number_or_no_table_is_refused_in_one_sentence(ask, said):
    with pytest.raises(jaxdqn.ConfigError, match=said) as refused:
        ask()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith((".", "?"))
