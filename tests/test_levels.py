"""Banks of levels: every kind solvable, distinct, reproducible, and split without overlap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import breadth_first, maze_env
from scipy import stats

from jaxdqn import ConfigError, maze
from jaxdqn.maze import generate, levels

KINDS = {
    "empty": {"generator": "empty", "count": 1},
    "scatter": {"generator": "scatter", "density": 0.4},
    "corridors": {"generator": "corridors"},
    "depth_first": {"generator": "corridors", "carver": "depth_first"},
    "braid": {"generator": "braid"},
    "rooms": {"generator": "rooms"},
}


def bank(kind, height, width, count=50, **options):
    return maze.bank(height=height, width=width, **{"count": count, **KINDS[kind], **options})


def raw(kind, height, width, count, **options):
    draw = {"corridors": generate.corridors, "braid": generate.braid, "rooms": generate.rooms}[kind]
    return draw(np.random.default_rng(0), count, height, width, **options)


def nodes_and_edges(walls):
    free = ~np.asarray(walls)
    down, right = free[:, 1:] & free[:, :-1], free[:, :, 1:] & free[:, :, :-1]
    return free.sum((1, 2)), down.sum((1, 2)) + right.sum((1, 2))


def dead_ends(walls):
    walls = np.pad(walls, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    closed = sum(np.roll(walls, by, axis).astype(int) for by in (1, -1) for axis in (1, 2))
    return (~walls & (closed == 3)).sum()


def reachable(bank):
    far = levels.moves_to(np.asarray(bank.walls), bank.walls[0].size - 1)
    return {mark.tobytes() for mark in np.packbits(far < far.shape[1], axis=1)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(9, 7), (15, 21)])
def test_every_level_is_solvable_and_lists_its_connected_cells(kind, height, width):
    bank_ = bank(kind, height, width, seed=2)
    distances = jax.vmap(maze.distances, (0, None))(bank_.walls, height * width - 1)
    for index in range(len(bank_)):
        level = maze.level(bank_, index)
        far = breadth_first(level.walls, level.goal)
        np.testing.assert_array_equal(distances[index], far)
        np.testing.assert_array_equal(levels.moves_to(level.walls[None], level.goal)[0], far)
        assert sorted(level.cells) == list(np.flatnonzero(far < level.walls.size))
        assert (level.start, level.goal) == (0, height * width - 1)
        assert maze.shortest_path(level) == far[0] < level.walls.size


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_size_of_each_kind_is_made(kind):
    level = maze.level(bank(kind, 63, 63, count=1, density=0.3), 0)
    assert level.walls.shape == (63, 63)
    assert maze.shortest_path(level) >= 124


def test_no_two_levels_of_a_bank_have_the_same_connected_cells():
    for kind in ("scatter", "corridors", "depth_first", "braid", "rooms"):
        assert len(reachable(bank(kind, 7, 7, count=200))) == 200


def test_a_larger_bank_begins_with_the_smaller_one():
    for kind in ("scatter", "corridors", "braid", "rooms"):
        few, many = bank(kind, 7, 7, count=3), bank(kind, 7, 7, count=1_500)
        np.testing.assert_array_equal(few.walls, many.walls[:3])


def test_train_and_held_out_levels_are_as_many_as_asked_and_never_the_same():
    _, params = maze_env(height=7, width=7, generator="corridors", num_levels=900, num_held_out=100)
    assert (len(params.levels), len(params.held_out)) == (900, 100)
    assert not reachable(params.levels) & reachable(params.held_out)
    assert maze_env(height=7, width=7)[1].held_out is None


def test_held_out_levels_leave_the_training_levels_as_they_are():
    options = {"height": 7, "width": 7, "generator": "rooms", "num_levels": 20}
    alone, split = maze_env(**options)[1], maze_env(**options, num_held_out=20)[1]
    np.testing.assert_array_equal(alone.levels.walls, split.levels.walls)


def test_episodes_never_start_on_held_out_levels():
    env, params = maze_env(height=5, width=5, num_levels=3, num_held_out=4)
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 200), params)
    assert set(np.asarray(state.level).tolist()) == {0, 1, 2}


def test_difficulty_bounds_the_shortest_path():
    bank_ = bank("corridors", 9, 9, count=100, difficulty=(24, 28))
    paths = [maze.shortest_path(maze.level(bank_, index)) for index in range(100)]
    assert set(paths) == {24, 28}, "parity allows 16, 20, 24, 28 ... in corridors"


def test_scatter_has_the_density_asked_for():
    walls = generate.scatter(np.random.default_rng(0), 500, 20, 20, density=0.1)
    assert walls.mean() == pytest.approx(0.1 * (400 - 2) / 400, abs=0.002)


@pytest.mark.parametrize("carver", ["uniform", "depth_first"])
def test_corridors_are_trees(carver):
    nodes, edges = nodes_and_edges(raw("corridors", 11, 7, 100, carver=carver))
    assert (nodes == 6 * 4 * 2 - 1).all()
    assert (edges == nodes - 1).all()


def test_corridors_are_uniform_over_spanning_trees():
    walls = raw("corridors", 3, 5, 15_000, carver="uniform")
    _, counts = np.unique(walls.reshape(15_000, -1), axis=0, return_counts=True)
    assert len(counts) == 15, "a 2×3 lattice has 15 spanning trees"
    assert stats.chisquare(counts).pvalue > 1e-4


def test_depth_first_corridors_have_fewer_dead_ends():
    uniform, depth_first = (
        dead_ends(raw("corridors", 15, 15, 200, carver=carver))
        for carver in ("uniform", "depth_first")
    )
    assert depth_first < 0.6 * uniform


@pytest.mark.parametrize("loops", [0.0, 0.5, 1.0])
def test_braids_open_the_share_of_dead_ends_asked_for(loops):
    trees = raw("corridors", 13, 13, 300, carver="uniform")
    braids = raw("braid", 13, 13, 300, carver="uniform", loops=loops)
    nodes, edges = nodes_and_edges(braids)
    assert (edges - nodes + 1 >= 0).all(), "still connected"
    assert (loops > 0) == (edges - nodes + 1 > 0).any(), "loops are cycles"
    # One opening may serve two neighbouring dead ends, so at least the share asked for goes.
    left = dead_ends(braids) / dead_ends(trees)
    assert 1 - loops - 0.25 * loops <= left <= 1 - loops + 0.02


@pytest.mark.parametrize("room_size", [2, 3, 5])
def test_rooms_are_no_larger_than_asked_and_all_connected(room_size):
    walls = raw("rooms", 15, 13, 50, room_size=room_size)
    for maze_ in walls:
        far = levels.moves_to(maze_[None], maze_.size - 1)[0]
        assert ((far < maze_.size) == ~maze_.reshape(-1)).all()
        # A square of free cells larger than a room would span a wall.
        side = max(room_size, 2) + 1
        for row in range(15 - side + 1):
            for column in range(13 - side + 1):
                assert maze_[row : row + side, column : column + side].any()


def test_the_same_seed_gives_the_same_bank_and_another_another():
    one, same, other = (bank("scatter", 8, 8, count=5, seed=seed).walls for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"generator": "empty", "count": 2},
            ["count (2) exceeds the 1 distinct levels among 31000 draws", "lower it"],
        ),
        (
            {"generator": "scatter", "density": 0.97},
            ["count (1) can't be had, since none of", "is solvable", "density"],
        ),
        (
            {"generator": "corridors", "height": 3, "width": 5, "count": 16},
            ["(16) exceeds the 15 distinct levels", "enlarge the maze"],
        ),
        (
            {"generator": "corridors", "difficulty": (1, 3)},
            ["difficulty ([1, 3]) can't be had", "paths of 12 to 28 moves: change it"],
        ),
        (
            {"generator": "empty", "difficulty": (13, 20)},
            ["difficulty ([13, 20]) can't be had", "'empty' mazes of 7×7", "of 12 to 12 moves"],
        ),
        (
            {"generator": "scatter", "density": 0.97, "difficulty": (12, 20)},
            ["count (1) can't be had, since none of", "is solvable", "density"],
        ),
        (
            {"generator": "empty", "difficulty": (12, 12), "count": 2},
            ["the 1 distinct levels among", "a shortest path of 12 to 12 moves: lower it"],
        ),
        ({"generator": "layout", "layout": "S#G", "height": 1, "width": 3}, ["no way from start"]),
    ],
)
def test_too_few_levels_are_refused_with_what_was_found(options, words):
    with pytest.raises(ConfigError) as refusal:
        maze.bank(**{"height": 7, "width": 7, **options})
    for word in words:
        assert word in str(refusal.value)
    assert "env_kwargs" not in str(refusal.value)


def test_an_environment_calls_its_levels_as_they_are_set():
    with pytest.raises(
        ConfigError, match=r"^env_kwargs.num_levels \+ env_kwargs.num_held_out \(3\)"
    ):
        maze.Maze(generator="empty", num_levels=2, num_held_out=1)


def test_a_bank_that_can_not_be_had_is_not_looked_for_without_end(monkeypatch):
    drawn = []

    def scatter(rng, count, **options):
        drawn.append(count)
        return generate_scatter(rng, count, **options)

    generate_scatter = levels.generate.scatter
    monkeypatch.setattr(levels.generate, "scatter", scatter)
    with pytest.raises(ConfigError, match="the 45 distinct levels") as refusal:
        maze.bank("scatter", 3, 3, count=100_000)
    assert refusal.value.found == 45
    assert 100_000 <= sum(drawn) < 200_000, "of 2,000,000 that there might be"


@pytest.mark.parametrize("kinds", [900, 20_000, 100_000])
@pytest.mark.parametrize("share", [0.5, 0.98, 0.999, 2.0])
def test_what_is_called_hopeless_is_in_none_of_the_draws_that_are_left(kinds, share):
    """Of numbers in place of levels, the last of which are far rarer than the first."""
    count = int(kinds * share)
    most, size, drawn, after, said = 20 * max(count, 1_000), 1_000, 0, 0, False
    numbers = np.random.default_rng(0).random(most) ** 3 * kinds
    first = np.sort(np.unique(numbers.astype(int), return_index=True)[1])
    while drawn < most and after < count and not said:
        before, after = np.searchsorted(first, [drawn, drawn + size])
        drawn += size
        said = levels._is_hopeless(count - after, most - drawn, after - before, size)
        size = min(2 * size, 100_000)
    if said:
        assert len(first) < count
    assert said or share < 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"generator": "corridor"}, r"generator \('corridor'\) is not one of .*corridors"),
        ({"carver": "unifrom"}, r"carver \('unifrom'\) is not one of uniform, depth_first"),
        ({"carver": "unifrom"}, r"depth_first: choose 'uniform' or another\."),
        ({"carver": "prim"}, r"carver \('prim'\) is not one of uniform, depth_first: choose one\."),
        ({"height": 0}, r"height \(0\) must be a whole number from 1"),
        ({"width": 8}, r"height \(9\) and width \(8\) must be odd for corridors: use 9 and 9"),
        ({"count": 0}, r"count \(0\) must be a whole number from 1"),
        ({"count": 2.0}, r"count \(2.0\) must be a whole number"),
        ({"seed": -1}, r"seed \(-1\) must be a whole number from 0"),
        ({"generator": "scatter", "density": 2.0}, r"density \(2.0\) must be .* from 0 to 0.99"),
        ({"generator": "braid", "loops": "all"}, r"loops \('all'\) must be a number from 0 to 1"),
        ({"generator": "rooms", "room_size": 1}, r"room_size \(1\) must be a whole number from 2"),
        ({"layout": "S.G"}, r"generator \('corridors'\) and layout \(given\) contradict"),
        ({"generator": "layout", "layout": "S.G"}, r"\(9\) must be those of layout: use 1 and 3"),
        ({"difficulty": 9}, r"difficulty \(9\) must be the fewest and the most moves"),
    ],
)
def test_what_makes_no_bank_is_refused_before_anything_is_drawn(options, said, monkeypatch):
    monkeypatch.setattr(levels, "_choose", None)
    with pytest.raises(ConfigError, match=said) as refusal:
        maze.bank(**{"generator": "corridors", "height": 9, "width": 9, **options})
    assert "\n" not in str(refusal.value)
    assert str(refusal.value)[-1] == "."


def test_a_bank_takes_numbers_of_numpy():
    height, density, seed = np.int64(5), np.float32(0.25), np.uint32(3)
    same = maze.bank("scatter", height, 5, density=density, seed=seed).walls
    np.testing.assert_array_equal(same, maze.bank("scatter", 5, 5, density=0.25, seed=3).walls)


def test_a_view_is_the_surroundings_of_the_agent():
    layout = "S.#.\n..#.\n...G"
    env, params = maze_env(generator="layout", layout=layout, observation="view", view_size=3)
    state = maze.MazeState(*map(jnp.int32, (0, 6 + 4, 11, 0)))  # agent (2, 2)
    walls, goal = np.moveaxis(np.asarray(jax.jit(env.get_obs)(state, params)), -1, 0)
    np.testing.assert_array_equal(walls, [[0, 1, 0], [0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(goal, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    corner = state.replace(agent=jnp.int32(0))
    walls, goal = np.moveaxis(np.asarray(env.get_obs(corner, params)), -1, 0)
    np.testing.assert_array_equal(walls, [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert not goal.any(), "what is out of sight is not seen"


def test_tokens_are_the_maze_cell_by_cell():
    env, params = maze_env(generator="layout", layout="S.#\n#.G", observation="tokens")
    state = maze.MazeState(*map(jnp.int32, (0, 4, 5, 0)))
    names = [maze.TOKENS[token] for token in np.asarray(env.get_obs(state, params))]
    assert names == ["free", "free", "wall", "wall", "agent", "goal"]


DRAWN = "S..\n#.G"
SHUT = np.array([[False, False], [False, True]])
KEYS = jax.random.split(jax.random.key(0), 2)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: maze.draw(""), r"layout \(''\) has no cells: write a line per row"),
        (lambda: maze.to_text(maze.draw(DRAWN)), r"walls \(of type Level\) must be booleans"),
        (lambda: maze.to_text(np.zeros((2, 2))), r"walls \(of type ndarray\) must be booleans"),
        (lambda: maze.to_text(np.zeros((2, 2), bool), 4), r"start \(4\) is no cell: .* 0 to 3"),
        (lambda: maze.to_text(SHUT, 0, 3), r"goal \(3\) must be a free cell of its own: choose an"),
        (lambda: maze.to_text(SHUT, 1, 1), r"goal \(1\) must be a free cell of its own: choose an"),
        (lambda: maze.to_text(SHUT, 3), r"start \(3\) must be a free cell of its own"),
        (lambda: maze.to_text(np.ma.array(SHUT, mask=SHUT)), r"walls \(of type MaskedArray\) "),
        (lambda: maze.text.write(DRAWN, [1], "alone"), r"kind \('alone'\) has no path: leave "),
        (lambda: jax.jit(maze.to_text)(SHUT), r"walls \(traced\) aren't known yet: write the"),
        (lambda: jax.jit(maze.level)(maze.bank("empty", 2, 2), 0), r"levels \(traced\) has walls "),
        (lambda: maze.level(maze.draw(DRAWN), 0), r"levels \(of type Level\) must be a bank"),
        (lambda: maze.level(maze.bank("empty", 2, 2), 1), r"index \(1\) must .* 0 to 0, of 1 maze"),
        (lambda: maze.level(maze.bank("empty", 2, 2), "a"), r"index \('a'\) must be a whole"),
        (lambda: maze.text.write(None), r"level \(None\) is no maze: give a text, or a level"),
        (lambda: maze.text.write(DRAWN, [1, 99]), r"path \(99\) is no cell: .* 0 to 5"),
        (lambda: maze.text.write(DRAWN, 5), r"path \(5\) must be a list of cells"),
        (lambda: maze.text.write(DRAWN, kind="walks"), r"kind \('walks'\) .* choose 'walk' or an"),
        (lambda: maze.Maze(observation="txt"), r"observation \('txt'\) .* choose 'text' or an"),
        (lambda: maze.text.decode([0, 999], 12), "tokens contains 999: use those from 0 to 21"),
        (lambda: maze.text.decode([-1], 12), "tokens contains -1: use those from 0 to 21"),
        (lambda: maze.text.decode([0.5], 12), "tokens .* must be a list of whole numbers"),
        (lambda: maze.text.decode([0], "12"), r"cells \('12'\) must be a whole number from 1 to"),
        (lambda: maze.text.encode(5, 4), r"text \(5\) must be words: give what text\.write ret"),
        (lambda: maze.text.encode("free", None), r"cells \(None\) must be a whole number from 1"),
        (lambda: maze.text.read(["free"], 2, 2), r"text \(of type list\) must be words"),
        (lambda: maze.bank(np.zeros(3), 3, 4), r"generator \(array\(.*\) is not one of empty, sca"),
        (lambda: maze.bank("braid", 3, 3, carver=np.zeros(3)), r"carver \(array\(.*\) is not one"),
        (lambda: maze.Maze(start=np.array(["corner", "random"])), r"start \(array.* is not one of"),
        (lambda: maze.text.write(DRAWN, kind=np.zeros(2)), r"kind \(array.* is not one of alone"),
        (lambda: maze.text.write(DRAWN, [[1], []]), r"path \(of type list\) must be a list of ce"),
        (lambda: maze.text.write(DRAWN, KEYS), r"path \(of type .*\) must be a list of cells"),
        (lambda: maze.text.decode([[1], []], 12), r"tokens \(of type list\) must be a list of wh"),
        (lambda: maze.text.decode(KEYS, 12), r"tokens \(of type .*\) must be a list of whole"),
        (lambda: maze.text.read("free", "2", 2), r"height \('2'\) must be a whole number from 1"),
        (lambda: maze.text.read("free", 2, -2), r"width \(-2\) must be a whole number from 1 to"),
    ],
)  # fmt: skip
def test_what_is_no_level_no_cell_and_no_token_is_refused_in_one_sentence(ask, said):
    with pytest.raises(ConfigError, match=said) as refusal:
        ask()
    assert "\n" not in str(refusal.value)
    assert str(refusal.value)[-1] == "."


def test_a_text_is_a_level_and_walls_without_a_way_are_as_far_as_distances_say():
    assert maze.text.write(DRAWN, np.array([1, 2, 5])) == maze.text.write(
        maze.draw(DRAWN), [1, 2, 5]
    )
    shut = np.array([[False, True, False]])
    assert maze.shortest_path(shut) == maze.distances(shut)[0] == shut.size


def test_the_path_that_is_read_ends_with_the_text():
    solved = maze.text.write(DRAWN, [1, 2, 5])
    for more in ("", " padding padding", " 4 free 1 end"):
        assert maze.text.read(solved + more, 2, 3)[1] == [1, 2, 5]
