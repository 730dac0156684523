"""Pictures show what is there, and can be drawn again from a run folder."""

import functools
import io

import chex
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from conftest import compiles_at_most, small
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageColor

import jaxdqn
from jaxdqn import ConfigError, maze, plots, training, walks
from jaxdqn import environment as environments
from jaxdqn.commands import plot
from jaxdqn.language import generation
from jaxdqn.language.config import LanguageConfig
from jaxdqn.maze import render, text
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import seeds
from jaxdqn.plots import language as pictures
from jaxdqn.plots import mazes
from jaxdqn.plots.style import TITLES
from jaxdqn.runs import folder

KEY = jax.random.key(0)
TABLE = np.zeros((4, 4))
LEVELS = {
    "height": 5, "width": 5, "generator": "corridors", "num_levels": 4, "num_held_out": 6,
    "start": "random",
}  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run on several levels, two seeds, as ``jaxdqn train`` leaves it but for the pictures."""
    path = tmp_path_factory.mktemp("runs") / "levels"
    config = small(env_kwargs=LEVELS, eval_episodes=6)
    folder.create(path, config)
    rows = []
    for state, row in seeds.train_in_periods(config, range(5, 7)):
        final = state
        rows += [] if row is None else [row]
    metrics = concatenate(rows)
    summary = folder.summarise("corridors", config, metrics, range(5, 7), 1.0)
    folder.save_results(path, metrics, summary, final.agent.params)
    return path


def test_a_run_folder_reads_back_what_was_trained(run_folder):
    run = folder.load(run_folder)
    _, metrics = jaxdqn.train(run.config, jax.random.key(6))
    assert (run.name, run.seeds) == ("corridors", range(5, 7))
    for name in ("loss", "success", "q_error"):
        np.testing.assert_allclose(
            getattr(run.metrics, name)[1], getattr(metrics, name), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(
        run.metrics.held_out.regret[1], metrics.held_out.regret, rtol=1e-4, atol=1e-5
    )


def test_curves_of_one_agent_are_told_the_axis_that_they_lack(run_folder):
    run = folder.load(run_folder)
    alone = jax.tree.map(lambda x: x[0], run.metrics)
    with pytest.raises(ConfigError, match=r"metrics \(leaves of shape \[4\]\) must be \[seeds, ev"):
        plots.curves(run.config, alone, "one")
    again = plots.curves(run.config, jax.tree.map(lambda x: x[None], alone), "one")
    assert again.get_suptitle() == "one: 1 seed"


def test_every_picture_is_drawn_again(run_folder, capsys):
    """By few programs: an operation that isn't part of one is compiled by itself."""
    with compiles_at_most(10):
        assert plot.main([str(run_folder), "--seed", "6"]) == 0
    names = ["curves.png", "policy.png", "visits.png", "levels.png", "greedy.gif"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    for name in names:
        with Image.open(run_folder / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10, f"{name} is empty"


def test_pictures_are_the_same_whatever_the_user_draws_like(run_folder):
    """Also where TeX is asked for, which may not be installed."""
    drawn = []
    for style in ({}, {"text.usetex": True, "axes.facecolor": "red", "savefig.facecolor": "red"}):
        with matplotlib.rc_context(style):
            plot.main([str(run_folder)])
            assert matplotlib.rcParams["axes.facecolor"] == style.get("axes.facecolor", "white")
        drawn.append([path.read_bytes() for path in sorted(run_folder.glob("*.png"))])
    assert drawn[0] == drawn[1]


def test_a_seed_that_was_not_trained_is_refused(run_folder):
    with pytest.raises(ConfigError, match=r"seed \(7\) is not in this run: choose"):
        plot.main([str(run_folder), "--seed", "7"])


def test_damaged_and_unfinished_runs_are_refused(run_folder, tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        folder.load(tmp_path / "nowhere")
    config = folder.load(run_folder).config
    folder.create(tmp_path / "unfinished", config)
    with pytest.raises(ConfigError, match=r"has no summary\.json: choose"):
        folder.load(tmp_path / "unfinished")
    for name in ("metrics.npz", "params.msgpack", "summary.json"):
        broken = tmp_path / name
        broken.mkdir()
        for file in ("config.toml", "metrics.npz", "params.msgpack", "summary.json"):
            content = (run_folder / file).read_bytes()
            (broken / file).write_bytes(content[:-20] if file == name else content)
        with pytest.raises(ConfigError, match="is damaged"):
            folder.load(broken)


def test_walks_follow_the_greedy_policy_to_their_end():
    config = small(env_kwargs={"height": 4, "width": 4, "generator": "empty"}, widths=())
    params = jaxdqn.init(config, KEY).agent.params
    down_then_right = jnp.zeros((16, 4)).at[:12, 1].set(1.0).at[12:, 3].set(1.0)
    layer = {"kernel": down_then_right.T, "bias": jnp.zeros(4)}
    params = {"params": {"dense": {"output": layer}}}
    _, env_params = environments.make(config)
    found = walks.walk(config, env_params, params, KEY, jnp.zeros(2, jnp.int32), 0.0, 9)
    assert found.cells[0].tolist() == [0, 4, 8, 12, 13, 14, 15, 15, 15, 15]
    assert (found.steps.tolist(), found.reached.tolist()) == ([6, 6], [True, True])
    cut = walks.walk(config, env_params, params, KEY, jnp.zeros(1, jnp.int32), 0.0, 4)
    assert (cut.steps.tolist(), cut.reached.tolist()) == ([4], [False])


def test_learned_and_exact_values_share_one_colour_scale():
    level = maze.level(maze.bank("empty", 3, 3), 0)
    low, high = np.zeros((9, 4)), np.full((9, 4), 7.0)
    assert render.value_limits(level, low, high) == (0.0, 7.0)


def test_what_diverged_leaves_the_colour_scale_to_the_exact_values():
    level = maze.level(maze.bank("empty", 3, 3), 0)
    assert render.value_limits(level, np.full((9, 4), np.nan), np.ones((9, 4))) == (1.0, 1.0)


def test_where_all_diverged_the_colour_scale_is_still_one():
    level, nothing = maze.draw("S.\n.G"), np.full((4, 4), np.nan)
    assert render.value_limits(level, nothing) == (0.0, 1.0)
    assert render.value_limits(level, nothing, np.full((4, 4), np.inf)) == (0.0, 1.0)
    render.draw_values(Figure().subplots(), level, nothing)


def test_a_maze_as_text_is_drawn_as_its_level_is():
    layout = "S.#\n...\n#.G"
    level, q = maze.draw(layout), maze.optimal_q(layout, discount=0.9)

    def drawn(given):
        figure = Figure()
        values, visits = figure.subplots(1, 2)
        render.draw_values(
            values, given, q, render.value_limits(given, q), render.best_moves(given, q)
        )
        render.draw_visits(visits, given, np.arange(9))
        render.draw_path(visits, given, render.greedy_path(given, q), "red")
        FigureCanvasAgg(figure).draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())
        return [pixels, *(np.asarray(frame) for frame in render.animate(given, [0, 1], 8))]

    chex.assert_trees_all_equal(drawn(layout), drawn(level))


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda axes: render.draw_values(axes, 3, TABLE), r"level \(3\) is no maze: give a text"),
        (lambda axes: render.draw_values(axes, "S.\n#G", TABLE[:2]), r"q \(shape \(2, 4\)\) must "),
        (lambda axes: render.draw_values(axes, "S.\n#G", None), r"q \(None\) must be known"),
        (
            lambda axes: render.draw_values(axes, "S.\n#G", TABLE, optimal=TABLE[0]),
            r"optimal \(shape \(4,\)\) must be known numbers of shape \(4, 4\): give a row",
        ),
        (lambda axes: render.draw_visits(axes, "S.\n#G", TABLE), r"visits \(shape \(4, 4\)\) must"),
        (lambda axes: render.draw_path(axes, "S.\n#G", [0, 4], "red"), r"path \(4\) is no cell"),
        (lambda axes: render.draw_path(axes, "S.\n#G", 3, "red"), r"path \(3\) must be a list of"),
        (lambda axes: render.draw_end(axes, "S.\n#G", 9, "S"), r"cell \(9\) is no cell: .* 0 to 3"),
        (lambda _: render.animate("S.\n#G", [0, -1], 3), r"path \(-1\) is no cell: choose one"),
        (lambda _: render.animate("S.\n#G", [0, 1], 4), r"goal \(4\) is no cell: choose one from"),
        (lambda _: render.greedy_path("S#\n#G", TABLE), "layout has no way from start to goal"),
        (
            lambda _: jax.jit(render.best_moves, static_argnums=0)("S.\n#G", TABLE),
            r"q \(shape \(4, 4\)\) must be known",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(attempt, said):
    with pytest.raises(ConfigError, match=said):
        attempt(Figure().subplots())


def arrows(axes):
    """Directions drawn in each cell of a maze of 3 x 3, and the colours of all arrows."""
    found, colours = {}, []
    for drawn in axes.collections:
        colours += [to_hex(colour) for colour in drawn.get_facecolor()] if len(drawn.U) else []
        for x, y, u, v in zip(drawn.X, drawn.Y, drawn.U, drawn.V, strict=True):
            cell = 3 * round(y + v / 9) + round(x + u / 9)
            found.setdefault(cell, set()).add((round(u * 2), round(v * 2)))
    return found, colours


def test_all_tied_moves_are_drawn_and_learned_ones_that_are_wrong_stand_out():
    level = maze.draw("S..\n.#.\n..G")
    exact = np.asarray(maze.optimal_q(level, discount=0.9))
    optimal = render.best_moves(level, exact)
    right, down, left = (1, 0), (0, 1), (-1, 0)
    axes = Figure().subplots()
    render.draw_values(axes, level, exact)
    found, colours = arrows(axes)
    assert found == {
        0: {right, down}, 1: {right}, 2: {down}, 3: {down}, 5: {down}, 6: {right}, 7: {right}
    }  # fmt: skip
    assert render.WRONG_COLOUR not in colours
    learned = exact.copy()
    learned[1] = [0, 0, 1, 0]
    axes = Figure().subplots()
    render.draw_values(axes, level, learned, (0, 1), optimal)
    found, colours = arrows(axes)
    assert found[0] == {down}, "as the greedy policy does"
    assert found[1] == {left}
    assert colours.count(render.WRONG_COLOUR) == 1
    (start,) = (text for text in axes.texts if text.get_text() == "S")
    assert max(start.get_position()) < -0.2, "not over its arrow"


def test_an_animation_has_a_frame_for_each_cell_of_the_path():
    level = maze.level(maze.bank("empty", 3, 3), 0)
    frames = render.animate(level, [0, 1, 2, 5, 8], level.goal, pixels=90)
    assert len(frames) == 5
    assert frames[0].size == (90, 90)
    assert frames[0].getpixel((15, 15)) == frames[4].getpixel((75, 75)), "the agent moved"
    assert frames[0].getpixel((75, 75)) != frames[4].getpixel((75, 75))
    frame = ImageColor.getrgb(render.WALL_COLOUR)
    for edge in ((0, 45), (89, 45), (45, 0), (45, 89)):
        assert frames[0].getpixel(edge) == frame, "on a white page, too"


def test_a_sheet_shows_where_one_that_never_moves_starts_and_says_1_move():
    _, env_params = environments.make(small(env_kwargs=LEVELS))
    walls = np.asarray(env_params.levels.walls[1]).reshape(-1)
    goal, beside = 24, 19 if not walls[19] else 23
    cells = np.array([[0, 0, 0], [beside, goal, goal]])
    found = walks.Walks(cells, np.array([goal] * 2), np.array([2, 1]), np.array([False, True]))
    figure = mazes.sheet(mazes.Unseen(env_params, found, "training"), "a run")
    stays, arrives = figure.axes[:2]
    assert [text.get_text() for text in stays.texts] == ["S×", "G"]
    assert [text.get_text() for text in arrives.texts] == ["S", "G"]
    assert arrives.get_title() == "1 move, 1 needed"


def test_a_long_title_stays_on_its_picture(run_folder):
    run = folder.load(run_folder)
    long = "corridors_with_a_long_name-20261127-134455-drawn-again, seed 12"
    figures = [
        mazes.visits(run.config, run.params_of(5), 0.1, long),
        pictures.divergence({"cells": [[0.0, 1.0]], "sum": 1.0}, long),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO())
        shown = figure.get_tightbbox()
        assert shown.x0 >= 0
        assert shown.x1 <= figure.get_figwidth()
    assert "visits" in figures[0].get_suptitle()


def test_curves_of_a_network_that_remembers_leave_no_place_empty():
    """It isn't compared with exact values: success, steps, loss and return are what there is."""
    config = small(method="pqn", memory="gru", env_kwargs=LEVELS)
    measured = jax.tree.map(lambda x: np.ones((2, *x.shape), x.dtype), training.measured(config))
    figure = plots.curves(config, measured, "with a memory")
    assert [axes.has_data() for axes in figure.axes] == [True] * 4


def never_measured():
    """A config of a maze, and two seeds' metrics at two moments, NaN wherever NaN can be."""
    config = small(env_kwargs={"height": 4, "width": 4, "generator": "empty"}, evaluations=2)
    shapes = training.measured(config)
    return config, jax.tree.map(
        lambda x: np.full((2, *x.shape), np.nan if x.dtype.kind == "f" else 1, x.dtype), shapes
    )


def test_curves_of_what_was_never_a_number_say_so():
    figure = plots.curves(*never_measured(), "all NaN")
    figure.savefig(io.BytesIO())
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said.count("no number was measured") == len(figure.axes)


def test_a_loss_that_changes_its_sign_is_drawn_whole():
    config, metrics = never_measured()
    for losses, scale in (([0.2, -0.1], "linear"), ([0.2, 0.1], "log"), ([0.2, 0.0], "log")):
        figure = plots.curves(config, metrics.replace(loss=np.float32([losses] * 2)), "some")
        (axes,) = (axes for axes in figure.axes if axes.get_title() == TITLES["loss"])
        assert axes.get_yscale() == scale


def test_a_share_is_drawn_from_0_to_1_and_a_regret_from_0():
    """Also where all seeds are alike, around which an axis would show a sliver."""
    config, metrics = never_measured()
    zero, much = np.zeros((2, 2), np.float32), np.full((2, 2), 9.0, np.float32)
    figure = plots.curves(config, metrics.replace(success=zero, regret=much), "alike")
    ends = {axes.get_title(): axes.get_ylim() for axes in figure.axes}
    assert ends[TITLES["success"]] == (-0.04, 1.04)
    low, high = ends[TITLES["regret"]]
    assert -0.5 < low <= 0
    assert high > 9


def test_of_a_wrong_path_it_is_said_what_is_wrong():
    level = maze.draw("S..\n##G")
    said = {
        (1, 0, 1, 2, 5, "end"): "a longer way\n5 moves, 3 needed",
        (1, 2, "end"): "ends elsewhere\n2 moves, 3 needed",
        (1, 4, 5, "end"): "a step that there isn't\n3 moves, 3 needed",
        (1, "wall", 2, 5, "end"): "a word that is no cell\n3 moves, 3 needed",
        (1, 2, 1, 2, 1, 2): "never ends\n6 moves, 3 needed",
        (1, 2, 5, "end"): "3 moves, 3 needed",
    }
    length = text.prompt_length(6)
    tokens = np.full((len(said), length + 6), text.PADDING)
    for row, path in zip(tokens, said, strict=True):
        found = text.encode(f"{text.write(level)} {' '.join(map(str, path))}", 6)
        row[: len(found)] = found
    judge = functools.partial(generation.verdict, length, jnp.asarray(level.walls))
    verdicts = jax.jit(jax.vmap(lambda row: judge(row, jnp.int32(3))))(jnp.asarray(tokens))
    config = LanguageConfig(env_kwargs={"height": 2, "width": 3}, path_length=6)
    figure = pictures.paths(config, verdicts, "model")
    titles = [axes.get_title() for axes in figure.axes]
    assert sorted(filter(None, titles)) == sorted(said.values())
    assert "1 of 6 paths exactly shortest; here 5 that aren't, and 1 that are" in (
        figure.get_suptitle()
    )
