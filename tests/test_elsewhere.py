"""A run is measured in other mazes than its own, and by other rules."""

import json
import shutil

import jax
import numpy as np
import pytest
from conftest import breadth_first, small
from PIL import Image
from test_cli import run_here

import jaxdqn
from jaxdqn import environment, statistics
from jaxdqn.commands import elsewhere, evaluate, flags
from jaxdqn.commands.elsewhere import Changes
from jaxdqn.metrics import to_arrays
from jaxdqn.runs.trained import trained

MAZES = {"height": 5, "width": 5, "generator": "corridors", "num_levels": 6, "num_held_out": 2,
         "observation": "planes"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that plans, and one that reads positions, neither of them trained."""
    folder = tmp_path_factory.mktemp("runs")
    plans = small(oracle_levels=6, env_kwargs=MAZES).replace(network="planning", plans=2, rounds=4)
    reads = small(env_kwargs={**MAZES, "observation": "position"})
    for name, config in (("plans", plans), ("reads", reads)):
        (folder / name).mkdir()
        many = jax.vmap(jaxdqn.init, (None, 0))(config, jax.random.split(jax.random.key(0), 2))
        jaxdqn.save(folder / name, many, config, seeds=range(2))
    return folder


def test_what_is_measured_elsewhere_is_what_those_settings_give(folder):
    """The same numbers as from Python, by the settings that the file names."""
    size = "--env_kwargs.height 7 --env_kwargs.width 9 --env_kwargs.generator scatter"
    where = f"{size} --env_kwargs.level_seed 3 --env_params.slip 0.25"
    asked = f"evaluate plans {where} --episodes 5 --levels 4 --out there.json"
    code, out, err = run_here(*asked.split(), cwd=folder)
    assert (code, err) == (0, "")
    found = json.loads((folder / "there.json").read_text())
    assert not (folder / "plans" / "evaluation.json").exists()
    run = trained(folder / "plans")
    tables = {name: found["settings"].pop(name) for name in ("env_kwargs", "env_params")}
    assert tables["env_kwargs"] == {
        "height": 7, "width": 9, "generator": "scatter", "level_seed": 3
    }  # fmt: skip
    config = run.config.replace(
        eval_episodes=5,
        env_kwargs={**MAZES, **tables["env_kwargs"], "num_levels": 4, "num_held_out": 0},
        env_params={**run.config.env_params, **tables["env_params"]},
        **found["settings"],
    )
    keys = jax.random.split(jax.random.key(0), 2)
    means = jax.vmap(jaxdqn.evaluate, (None, 0, 0))(config, run.params, keys)
    assert means.held_out is None
    for name, values in to_arrays(means).items():
        expected = statistics.summarise(values)
        assert found["elsewhere"][name] == pytest.approx(expected, rel=1e-5), name
    walls = np.asarray(environment.make(config)[1].levels.walls)
    farthest = []
    for maze in walls:
        moves = breadth_first(maze, maze.size - 1)
        farthest.append(moves[moves < maze.size].max())
    longest = max(farthest)
    steps = 3 * longest // 2
    assert steps > run.config.eval_steps == 20
    assert found["settings"] == {"rounds": longest, "eval_steps": steps, "oracle_levels": 2}
    assert tables["env_params"] == {"slip": 0.25, "max_steps_in_episode": steps + 1}
    assert "elsewhere: env_kwargs.height = 7, " in out
    assert f"and so that it fits: env_params.max_steps_in_episode = {steps + 1}, eval_" in out
    with Image.open(folder / "there.png") as image:
        assert min(image.size) > 200


def test_what_follows_from_longer_ways_gives_way_to_what_is_asked_for():
    own = small(oracle_levels=6, env_kwargs=MAZES).replace(network="planning", plans=2, rounds=4)
    snake = "S....\n####.\n.....\n.####\n....G"
    there = own.replace(env_kwargs={**MAZES, "generator": "layout", "layout": snake,
                                    "num_levels": 1, "num_held_out": 0})  # fmt: skip
    assert environment.make(there)[0].num_actions == 4
    none = elsewhere.following(own, there, elsewhere.NONE)
    assert none == Changes({"eval_steps": 24, "rounds": 16}, {}, {"max_steps_in_episode": 25})
    asked = Changes({"eval_steps": 9, "oracle_levels": 3}, {}, {"max_steps_in_episode": 7})
    assert elsewhere.following(own, asked.of(there), asked) == Changes({"rounds": 16}, {}, {})
    far = own.replace(rounds=99, eval_steps=99, env_params={"max_steps_in_episode": 100})
    assert elsewhere.following(far, far.replace(env_kwargs=there.env_kwargs), elsewhere.NONE) == (
        elsewhere.NONE
    ), "nothing is made shorter"
    anywhere = there.replace(env_kwargs={**there.env_kwargs, "goal": "random"})
    assert elsewhere.following(own, anywhere, elsewhere.NONE).words["rounds"] == 16, "17 cells"


def test_levels_of_training_that_are_met_again_are_counted(folder):
    """A bank begins with the levels of a smaller one of the same seed: all six are there again."""
    where = "--env_kwargs.level_seed 0 --levels 9 --episodes 1"
    code, out, err = run_here("evaluate", "plans", *where.split(), cwd=folder)
    assert (code, err) == (0, "")
    assert "of these levels 6 are of training\n" in out
    assert set(json.loads((folder / "plans" / "evaluation.json").read_text())) == {
        "episodes", "key", "settings", "elsewhere"
    }  # fmt: skip
    where = "--env_kwargs.height 7 --levels 9 --episodes 1"
    code, out, err = run_here("evaluate", "plans", *where.split(), cwd=folder)
    assert "of training" not in out


def test_other_rules_leave_the_levels_of_training_and_those_held_out(folder):
    options = "--env_params.slip 0.5 --env_kwargs.start random --episodes 2 --levels 3"
    shutil.copytree(folder / "reads", folder / "slips")
    code, out, err = run_here("evaluate", "slips", *options.split(), cwd=folder)
    assert (code, err) == (0, "")
    assert "elsewhere: env_kwargs.start = 'random', env_params.slip = 0.5\n" in out
    found = json.loads((folder / "slips" / "evaluation.json").read_text())
    assert found["settings"] == {"env_kwargs": {"start": "random"}, "env_params": {"slip": 0.5}}
    assert {"training", "held out"} < set(found)
    assert not (folder / "slips" / "evaluation.png").exists()


def test_there_may_be_fewer_other_levels_than_are_looked_for():
    """Of corridors of 5×5 cells there are 192."""
    config = small(env_kwargs=MAZES)
    there = evaluate.with_others(config)
    assert there.env_kwargs == {**MAZES, "num_levels": 192, "num_held_out": 0}
    alone = evaluate.with_others(small(env_kwargs={**MAZES, "generator": "empty"}), 7)
    assert alone.env_kwargs["num_levels"] == 1
    with pytest.raises(jaxdqn.ConfigError, match=r"^levels \(193\) exceeds the 192 found: write "):
        evaluate.with_others(config, 193)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("reads --env_kwargs.height 7", "is not what these settings make (float32[35, 16]): eva"),
        ("plans --env_kwargs.observation position", "network ('planning') "),
        ("plans --learning_rate 1", "--learning_rate can't be changed for a run, whose settings "),
        ("plans --rounds 9", "--rounds can't be changed for a run, whose settings stay (its env"),
        ("plans --env_kwargs.num_levels 9", "num_levels (9) is of training: write --levels 9 for "),
        ("plans --env_kwargs.num_held_out=9", "num_held_out (9) is of training: write --levels"),
        ("plans --env_kwargs.height 0", "env_kwargs.height (0) must be"),
        ("plans --env_params.slip 2", "env_params.slip (2.0) must be"),
        ("plans --eval_steps 0", "eval_steps (0) must be"),
        ("plans --out no/there.json", "out ('no/there.json') must be a JSON file in a folder "),
        ("plans --out there.png", "out ('there.png') must be a JSON file"),
        ("absent --env_kwargs.height 7", "checkpoint 'absent/checkpoint.npz' doesn't exist"),
    ],
)
def test_what_has_no_part_in_an_evaluation_is_refused(folder, arguments, said):
    code, _, err = run_here("evaluate", *arguments.split(), cwd=folder)
    assert code == 1, err
    assert said in err
    assert err.count("\n") == 1


def test_a_command_finds_its_run_wherever_that_stands(folder, monkeypatch):
    monkeypatch.chdir(folder)
    layout = "S" + "." * 300 + "G"
    words = ["--env_kwargs.layout", layout, "--episodes", "4", "plans"]
    assert str(elsewhere.run_of(words)) == "plans"
    assert elsewhere.run_of(["--episodes", "4", "absent"]) is None
    assert flags.typed(["run", "--out=a", "--env-kwargs.height", "7", "--out="]) == [
        ("out", "a"), ("env_kwargs.height", "7"), ("out", "")
    ]  # fmt: skip


def test_mazes_of_other_sizes_are_none_of_training_though_as_many_cells_are_free():
    """Of either one bit says of each of 36 cells that it is."""
    own, there = (
        small(env_kwargs={"height": height, "width": width, "generator": "empty"})
        for height, width in ((4, 9), (6, 6))
    )
    changed = Changes({}, {"height": 6, "width": 6}, {})
    said = elsewhere.sentences(own, there, changed, elsewhere.NONE)
    assert said == ["elsewhere: env_kwargs.height = 6, env_kwargs.width = 6"]
