"""The command line as a person meets it."""

import contextlib
import gc
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import LONG, ROOT, assert_same_bits, small
from PIL import Image
from rich.console import Console

import jaxdqn
from jaxdqn import ConfigError, cli, plots, statistics, training
from jaxdqn.commands import compare, evaluate, export, finetune, resume, sweep, train
from jaxdqn.config import to_toml
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import devices, memory, seeds
from jaxdqn.runs import comparison_console, console, place, signals
from jaxdqn.runs import folder as folder_of_runs

FILES = [
    "checkpoint.npz", "config.toml", "curves.png", "greedy.gif", "metrics.csv", "metrics.npz",
    "params.msgpack", "policy.png", "summary.json", "visits.png",
]  # fmt: skip
INTERRUPTED = (
    "interrupted: finishing this compilation or evaluation, then saving; once more stops without "
    "saving …\n"
)


def start(*arguments, cwd, env=None):
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; from jaxdqn.cli import main; sys.exit(main())"]
        + [str(argument) for argument in arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "150", "PYTHONPATH": str(ROOT), **(env or {})},
    )  # fmt: skip


def run(*arguments, cwd):
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def run_here(*arguments, cwd):
    """Run a command in this process, where JAX has started already; return status and outputs."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(devices, "use_cores", lambda _: None)
        patch.setenv("COLUMNS", "150")
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as refusal:  # of the parser of arguments
            code = refusal.code
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run, looked at by several tests."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "tiny.toml").write_text(to_toml(small()))
    code, out, err = run_here(
        "train", "tiny.toml", "--seeds", 3, "--out", "run", "--discount", 0.9,
        "--env_params.step_cost", 0.5, "--no_double", "--widths", 8, 8, cwd=folder,
    )  # fmt: skip
    assert code == 0, err
    return folder, out, err


def test_a_training_says_what_it_does_and_leaves_a_run_folder(finished):
    folder, out, err = finished
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "jaxdqn train: loading JAX …"
    assert "3 seeds × 4 environments" in out
    bytes_each = training.bytes_per_transition(small())
    assert f"224 steps, the first 64 at random; 40 updates of 8; replay 128 × {bytes_each} b" in out
    assert out.index("compiling …") < out.index("compiled and warmed up in") < out.index("100%")
    for word in ("env-steps/s", "updates/s", "ε ", "return ", "success ", "ETA "):
        assert word in next(line for line in lines if "100%" in line)
    for word in ("success rate", "95 % interval", "shortest path", "of 3 seeds"):
        assert word in out
    assert sorted(path.name for path in (folder / "run").iterdir()) == FILES


def test_a_training_in_which_every_seed_halted_has_failed(finished):
    """Half the square of a temporal-difference error of 1e25 overflows."""
    folder, _, _ = finished
    options = "--seeds 2 --out halted --loss squared --env_params.goal_reward 1e25"
    code, out, err = run_here("train", "tiny.toml", *options.split(), cwd=folder)
    assert code == 1
    assert "left the finite numbers" in err
    assert out.endswith(
        "every seed left the finite numbers: lower learning_rate or max_grad_norm\n"
    )
    assert "go on with" not in out
    assert "train longer" not in out
    read = folder_of_runs.load(str(folder / "halted"))
    assert read.config.loss == "squared"


def test_a_place_of_a_run_may_be_a_string(tmp_path):
    folder_of_runs.create(str(tmp_path / "run"), small())
    assert (tmp_path / "run" / "config.toml").exists()


def test_a_run_has_its_name_inside_its_folder_too(finished, monkeypatch, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder / "run", tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    with pytest.raises(ConfigError, match="two of the name 'copy'"):
        compare.main([".", "."])
    back, titles = jaxdqn.restore("."), []
    Path("summary.json").unlink()
    monkeypatch.setattr(seeds, "train_in_periods", lambda *_: iter([(back.state, None)]))
    monkeypatch.setattr(plots, "draw", lambda _, name, *__: titles.append(name))
    assert resume.main(["."]) == 0
    assert titles == ["copy"]
    assert json.loads(Path("summary.json").read_text())["name"] == "copy"


def test_what_a_person_calls_things_is_printed_as_it_is(capsys):
    name = "a[/b]:smile:"
    console.announce(small(), range(1), Path(name))
    console.say(Path(name), "read")
    bar = console.live_line("best")
    bar.add_task("", best=name)
    console.print_table(bar.make_tasks_table(bar.tasks))
    console.report_evaluation({name: {"loss": statistics.summarise(np.zeros(2))}}, 2, 1)
    assert capsys.readouterr().out.count(name) == 4


def test_the_run_folder_holds_the_settings_that_ran(finished):
    folder, _, _ = finished
    config = jaxdqn.load_config(folder / "run" / "config.toml")
    assert (config.discount, config.double, config.widths) == (0.9, False, (8, 8))
    assert config.env_params == {"max_steps_in_episode": 20, "step_cost": 0.5}
    assert dict(config.env_kwargs) == {"height": 4, "width": 4, "generator": "empty"}


def test_the_run_folder_holds_what_train_returns(finished):
    folder, _, _ = finished
    config = jaxdqn.load_config(folder / "run" / "config.toml")
    with np.load(folder / "run" / "metrics.npz") as metrics:
        assert metrics["eval_return"].shape == (3, config.evaluations)
        _, alone = jaxdqn.train(config, jax.random.key(2))
        np.testing.assert_allclose(metrics["loss"][2], alone.loss, rtol=1e-4)
        final = metrics["eval_return"][:, -1]
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["final"]["eval_return"]["mean"] == pytest.approx(final.mean())
    assert summary["seeds"] == [0, 2]
    assert summary["env_steps_per_seed"] == 224
    for name in ("curves.png", "policy.png", "visits.png", "greedy.gif"):
        with Image.open(folder / "run" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10, f"{name} is empty"


def test_a_single_seed_has_no_interval(capsys, tmp_path):
    summary = {
        "env_steps_per_seed": 224, "seed_count": 1, "train_seconds": 1.0,
        "env_steps_per_second": 224, "final": {"loss": statistics.summarise(np.array([0.5]))},
        "checkpoint": {"saved": 1, "bytes": 1, "seconds": 1.0},
    }  # fmt: skip
    console.report(summary, tmp_path)
    said = capsys.readouterr().out
    assert said.splitlines()[0].rstrip() == "after 224 steps, 1 seed"
    (row,) = (line for line in said.splitlines() if "loss" in line)
    assert "0.5" in row
    assert "nan" not in row


@pytest.mark.parametrize(
    ("found", "returns", "params", "words"),
    [
        (0, 0.0, {}, ["no seed reached", "train longer (total_steps), explore longer"]),
        (1, np.nan, {}, ["2 of 3 seeds never", "start anywhere"]),
        (1, 0.1, {}, ["and exploring did: train longer (total_steps)"]),
        (0, 3.0, {"cell_rewards": 1.0, "step_cost": 0.5}, ["explore longer"]),
        (0, 9.0, {"reward_noise": -1.0}, ["explore longer"]),
        (0, 0.0, {"goal_reward": 0.0}, ["nothing rewards it: raise env_params.goal_reward"]),
        (0, 0.0, {"goal_reward": 0.0, "step_cost": 1.0}, ["explore longer"]),
    ],
)
def test_a_goal_that_was_never_found_is_the_last_thing_said(
    capsys, tmp_path, found, returns, params, words
):
    config = small(env_params={"max_steps_in_episode": 20, **params})
    names = jaxdqn.Metrics.__dataclass_fields__
    success = np.zeros((3, 4))
    success[:found, 1] = 0.5
    metrics = jaxdqn.Metrics(**{**dict.fromkeys(names, np.ones((3, 4))), "held_out": None,
                                "success": success,
                                "episode_return": np.full((3, 4), returns)})  # fmt: skip
    summary = folder_of_runs.summarise("run", config, metrics, range(3), 1.0)
    assert summary["goal_found_seeds"] == found
    console.report({**summary, "checkpoint": {"saved": 1, "bytes": 1, "seconds": 1.0}}, tmp_path)
    last = capsys.readouterr().out.splitlines()[-1]
    for word in words:
        assert word in last


def test_a_run_folder_is_never_overwritten(finished):
    folder, _, _ = finished
    before = (folder / "run" / "summary.json").read_bytes()
    code, _, err = run_here("train", "tiny.toml", "--seeds", 1, "--out", "run", cwd=folder)
    assert code == 1
    assert (
        err == "jaxdqn: out ('run') exists already and is not overwritten: choose another folder.\n"
    )
    assert (folder / "run" / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tiny.toml", "--discount", "3"], 1, ["discount (3.0)", "from 0 to 1"]),
        (["tiny.toml", "--seeds", "0"], 1, ["seeds (0)", "1 or more"]),
        (
            ["tiny.toml", "--first_seed", "4294967295"],
            1,
            ["first_seed (4294967295)", "change them"],
        ),
        (["tiny.toml", "--env_kwargs.height", "0"], 1, ["env_kwargs.height (0)", "from 1"]),
        (["tiny.toml", "--env", ".a:B"], 1, ["env ('.a:B')", "can't be imported (TypeError: "]),
        (["absent.toml"], 1, ["'absent.toml' can't be read", "check the path"]),
        (["settings"], 1, ["CONFIG ('settings')", ".toml"]),
        (["maez"], 1, ["CONFIG ('maez')", "did you mean 'maze'?"]),
        (["--seeds", "2", "maze"], 1, ["CONFIG ('maze')", "before options"]),
        ([], 2, ["CONFIG", "required"]),
        (["tiny.toml", "--out", "/proc/no/run"], 1, ["can't be written", "choose another"]),
        (["tiny.toml", "--discout", "3"], 2, ["--discout", "--discount"]),
        (["tiny.toml", "--blocks", "3"], 1, ["blocks ('3') belongs to network 'residual'"]),
    ],
)
def test_a_wrong_command_ends_in_one_clear_message(finished, arguments, code, words):
    folder, _, _ = finished
    returned, _, err = run_here("train", *arguments, cwd=folder)
    assert returned == code
    for word in words:
        assert word in err
    assert "Traceback" not in err
    if code == 1:
        assert err.count("\n") == 1
    assert not (folder / "runs").exists(), "a refused command leaves no run folder"


def said_of(flag: str, help_text: str) -> str:
    """Return what a help text says of one option, up to its default, on one line."""
    text = " ".join(line.strip("│ ") for line in help_text.splitlines())
    return text.split(f"--{flag} ")[1].split("(default")[0]


@pytest.mark.parametrize("line", [["--network", "residual"], ["--network=residual"]])
def test_help_shows_the_chosen_parts_and_what_each_setting_costs(
    tmp_path, monkeypatch, capsys, line
):
    monkeypatch.setenv("COLUMNS", "90")
    path = tmp_path / "tiny.toml"
    path.write_text(to_toml(small()))

    def help_of(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            train.parse([str(path), *arguments, "--help"])
        return capsys.readouterr().out

    flat, deep = help_of(), help_of(*line)
    assert "--channels" not in flat
    assert "--blocks" not in flat
    assert "sweepable" in said_of("learning_rate FLOAT", deep)
    for flag in ("num_envs INT", "channels INT", "network {mlp,residual,planning,transformer}"):
        assert "compiled" in said_of(flag, deep)
    kwargs = ["--env_kwargs.observation", "planes", "--no_double", "--widths", "8", "8"]
    config = train.parse([str(path), *line, "--channels", "4", *kwargs]).settings
    assert (config.network, config.channels, config.blocks) == ("residual", 4, 2)
    assert (config.double, config.widths, config.batch_size) == (False, (8, 8), 8)
    path.write_text(to_toml(config))
    assert train.parse([str(path), "--blocks", "3"]).settings == config.replace(blocks=3)
    assert train.parse([str(path), "--network", "mlp"]).settings == config.replace(network="mlp")


def test_help_explains_the_environments_options_and_lists_their_choices(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "90")
    path = tmp_path / "tiny.toml"
    path.write_text(to_toml(small()))
    with pytest.raises(SystemExit):
        train.parse([str(path), "--help"])
    said = capsys.readouterr().out
    for flag, words in [
        ("env_kwargs.density FLOAT", "probability of a wall"),
        ("env_kwargs.carver {uniform,depth_first}", "compiled"),
        ("env_kwargs.start {corner,random}", "in each episode"),
        ("env_kwargs.layout {None}|STR", "the maze as text"),
        ("env_kwargs.difficulty {None}|{INT INT}", "on the shortest path"),
        ("env_params.slip FLOAT", "moving sideways"),
        ("env_params.step_cost FLOAT", "subtracted at every step. sweepable"),
    ]:
        assert words in said_of(flag, said)


def test_layout_and_difficulty_are_options_too(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(to_toml(small()))
    drawn = ["--env_kwargs.generator", "layout", "--env_kwargs.layout", "S.\n.G"]
    assert train.parse([str(path), *drawn]).settings.env_kwargs["layout"] == "S.\n.G"
    hard = ["--env_kwargs.generator", "scatter", "--env_kwargs.difficulty", "6", "8"]
    config = train.parse([str(path), *hard]).settings
    assert config.env_kwargs["difficulty"] == (6, 8)
    path.write_text(to_toml(config))
    assert train.parse([str(path)]).settings == config
    assert "layout" not in config.env_kwargs


def test_numbers_of_the_environment_are_offered_whatever_the_file_makes_of_them(tmp_path):
    path = tmp_path / "tiny.toml"
    rewards = np.arange(16.0).reshape(4, 4)
    params = {"step_cost": 1, "cell_rewards": rewards}
    path.write_text(to_toml(small(env_params=params)))
    config = train.parse([str(path), "--env_params.step_cost", "0.5"]).settings
    assert config.env_params["step_cost"] == 0.5
    np.testing.assert_array_equal(config.env_params["cell_rewards"], rewards)


def test_help_lists_every_setting_with_its_default(finished):
    folder, _, _ = finished
    code, out, _ = run_here("train", "--help", cwd=folder)
    assert (code, "CONFIG" in out, "loading" in out) == (0, True, False)
    code, out, _ = run_here("train", "tiny.toml", "--help", cwd=folder)
    assert code == 0
    for word in ("--seeds INT", "--out", "--learning_rate FLOAT", "--env_kwargs.density",
                 "--env_params.slip", "0.0001)",
                 "{mlp,residual,planning,transformer}"):  # fmt: skip
        assert word in out
    for word in small().words:
        assert f"--{word}" in out
    code, out, _ = run_here(cwd=folder)
    assert (code, "train CONFIG" in out) == (2, True)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("trian", "command 'trian' is not known: did you mean 'train'?"),
        ("zzz", "command 'zzz' is not known: use one of compare, evaluate, export, finetune, plot, "
         "pretrain, resume, sweep, train."),
        ("--core", "option '--core' is not known before a command: did you mean '--cores'?"),
    ],
)  # fmt: skip
def test_a_command_that_is_none_is_told_the_nearest(tmp_path, word, sentence):
    assert run_here(word, "tiny.toml", cwd=tmp_path) == (2, "", f"jaxdqn: {sentence}\n")


def test_a_signal_saves_what_was_learned_and_says_how_to_go_on(finished, tmp_path):
    folder, _, _ = finished
    long = small(total_steps=64 + 4 * 1_000_000, evaluations=1_000)
    (folder / "long.toml").write_text(to_toml(long))
    process = start("train", "long.toml", "--seeds", 2, "--out", tmp_path / "run", cwd=folder)
    seen = ""
    while "compiled and warmed up" not in seen:
        seen += process.stdout.readline()
        assert process.poll() is None, process.stderr.read()
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err == INTERRUPTED
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    back = jaxdqn.restore(tmp_path / "run")
    done = int(back.state.evaluations)
    assert 1 <= done < 1_000
    assert back.metrics.loss.shape == (2, done)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    steps = 64 + done * long.schedule.iterations_per_evaluation * long.num_envs
    assert summary["env_steps_per_seed"] == steps
    assert f"stopped after {steps:,} of 4,000,064 steps per seed; go on with: jaxdqn resume" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_signal_asks_a_second_one_stops_and_all_is_as_before(number):
    before = signal.getsignal(number)
    with console.Progress(small(), 2) as progress:
        assert not progress.asked
        signal.raise_signal(number)
        assert progress.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("pause", [0.1, 0.5])
def test_a_signal_while_jax_loads_ends_the_process(finished, tmp_path, pause):
    folder, _, _ = finished
    process = start("train", "tiny.toml", "--out", tmp_path / "run", cwd=folder)
    assert "loading JAX" in process.stdout.readline()
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode in (-signal.SIGINT, 130), err
    assert "Traceback" not in err
    assert "compiling" not in out
    assert not (tmp_path / "run").exists()


def test_a_signal_that_python_ignores_comes_again_and_all_is_as_before():
    before = sys.unraisablehook, signal.getsignal(signal.SIGINT)

    def ignoring(phase, _):
        if phase == "start":
            gc.callbacks.remove(ignoring)
            signal.raise_signal(signal.SIGINT)

    @signals.repeated()
    def collect():
        gc.callbacks.append(ignoring)
        gc.collect()
        for _ in range(1_000):
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        collect()
    with signals.ending():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert before == (sys.unraisablehook, signal.getsignal(signal.SIGINT))


@pytest.mark.parametrize("line", [["train", "tiny.toml"], ["compare", "tiny.toml", "same.toml"]])
def test_what_is_interrupted_before_any_result_leaves_no_folder(
    finished, tmp_path, monkeypatch, line
):
    folder, _, _ = finished
    (folder / "same.toml").write_text((folder / "tiny.toml").read_text())

    def interrupted(*_, **__):
        if line[0] == "train":
            there = ["config.toml", "jaxdqn.lock", "metrics.csv"]
            assert sorted(path.name for path in out.iterdir()) == there
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "train_in_periods", interrupted)
    out = tmp_path / "out"
    code, _, err = run_here(*line, "--seeds", 2, "--out", out, cwd=folder)
    assert (code, err) == (130, "jaxdqn: interrupted; what was saved is kept.\n")
    assert not out.exists()


@pytest.mark.parametrize("name", ["checkpoint.npz", "thesis.tex", "maze.npz"])
def test_a_folder_that_holds_something_stays(tmp_path, name):
    (tmp_path / "config.toml").touch()
    (tmp_path / name).touch()
    with pytest.raises(ConfigError), place.removed_if_useless(tmp_path):
        raise ConfigError("no more memory")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["config.toml", name])


@pytest.mark.slow
def test_more_steps_than_first_asked_for_equal_a_run_that_asked_for_them(finished, tmp_path):
    folder, _, _ = finished
    (folder / "tiny.toml").write_text(to_toml(small()))
    train_it = ("train", "tiny.toml", "--seeds", 2, "--out", tmp_path / "run")
    assert run_here(*train_it, cwd=folder)[0] == 0
    code, said, _ = run_here("resume", tmp_path / "run", "--total_steps", 364, cwd=folder)
    assert (code, "each seed: 384 steps" in said) == (0, True)
    resumed = jaxdqn.restore(tmp_path / "run")
    longer = small(total_steps=64 + 4 * 80, evaluations=8)
    assert resumed.config == longer == jaxdqn.load_config(tmp_path / "run" / "config.toml")
    rows, reached = [], None
    for state, row in seeds.train_in_periods(longer, range(2)):
        reached = state
        rows += [] if row is None else [row]
    assert_same_bits((resumed.state, resumed.metrics), (reached, concatenate(rows)))


def test_a_run_is_evaluated_on_its_levels_and_on_others(finished, capsys, monkeypatch):
    folder, _, _ = finished
    mazes = {"height": 5, "width": 5, "generator": "corridors", "num_levels": 2}
    config = small(env_kwargs=mazes)
    many = jax.vmap(jaxdqn.init, (None, 0))(config, jax.random.split(jax.random.key(0), 3))
    (folder / "mazes").mkdir()
    jaxdqn.save(folder / "mazes", many, config, seeds=range(3))
    assert evaluate.main([str(folder / "mazes"), "--episodes", "4"]) == 0
    said = capsys.readouterr().out
    assert "held out" in said
    assert said.endswith("levels found beside those of training: 190\n"), "192 trees, two are known"
    content = json.loads((folder / "mazes" / "evaluation.json").read_text())
    assert content["training"]["success"]["seeds"] == 3
    assert set(content["held out"]) == set(content["training"])
    with monkeypatch.context() as patch:
        patch.setattr(memory, "free", lambda _: 1)  # for one seed after the other
        assert evaluate.main([str(folder / "mazes"), "--episodes", "4"]) == 0
    again = json.loads((folder / "mazes" / "evaluation.json").read_text())
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), again, content)
    capsys.readouterr()
    assert evaluate.main([str(folder / "run"), "--episodes", "2"]) == 0
    assert "held out" not in capsys.readouterr().out, "an empty maze has one level"


def test_all_levels_that_there_are_can_be_held_out_and_no_more():
    mazes = {"height": 3, "width": 3, "generator": "scatter", "num_levels": 16}
    config = small(env_kwargs=mazes)
    there = evaluate.with_held_out(config)
    assert there.env_kwargs == {**mazes, "num_held_out": 29}, "45 in all"
    assert evaluate.with_held_out(config, 29) == there
    with pytest.raises(ConfigError, match=r"^levels \(30\) exceeds the 29 .*: write --levels 29"):
        evaluate.with_held_out(config, 30)
    assert evaluate.with_held_out(there, 1) == there, "those of the settings stay"
    one = small(env_kwargs={**mazes, "num_levels": 1})
    assert evaluate.with_held_out(one) == one, "who knows one maze isn't judged on others"
    assert evaluate.with_held_out(one, 3).env_kwargs["num_held_out"] == 3


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (resume, ["absent"], ["'absent/checkpoint.npz' doesn't exist", "check the path"]),
        (resume, ["run", "--total_steps", "100"], ["total_steps (100) is less than the 224"]),
        (resume, ["run", "--total_steps", "9999999999"],
         ["total_steps (9999999999) ", "must be below 2147483648"]),
        (resume, ["run", "--total_steps", "2147483647"],
         ["total_steps (2147483647) comes to 21474836", " after rounding up to whole evaluations"]),
        (resume, ["absent", "--updates", "9"], ["'absent/checkpoint.npz' doesn't exist"]),
        (resume, ["run", "--updates", "9"], ["updates (9) is of language models", "total_steps"]),
        (resume, ["run", "--learning_rate=1"], ["--learning_rate can't be changed", "train anew"]),
        (resume, ["run", "--env_params.slip", "1"], ["--env_params.slip can't be changed"]),
        (resume, ["run", "--no_double"], ["--no_double can't be changed for a run"]),
        (sweep, ["tiny.toml", "--scale", "0.1"], ["--scale is an option of jaxdqn train and"]),
        (resume, ["run", "--save_every", "-3"], ["save_every (-3.0)", "0 or more"]),
        (resume, ["one"], ["names no seeds", "jaxdqn.run"]),
        (evaluate, ["run", "--episodes", "0"], ["episodes (0) must be 1 or more"]),
        (evaluate, ["run", "--levels", "-1"], ["levels (-1) must be 1 or more", "leave it out"]),
        (finetune, ["run"], ["'run' is no language model's", "of a pre-training"]),
        (compare, ["run", "run", "--seeds", "5"], ["seeds (5) is of settings", "leave it out"]),
        (compare, ["run", "run", "--scale", "0.1"], ["scale (0.1) is of settings", "leave it out"]),
        (compare, ["run", "run", "--discount", "0.5"], ["discount (0.5) is of settings that"]),
        (evaluate, ["run", "--key", "99999999999999999999"], ["key (9999", "to 4294967295"]),
        (export, ["run", "--seed", "3"], ["seed (3)", "from 0 to 2"]),
        (export, ["run", "--out", "/proc/no/p"], ["can't be written", "choose another"]),
    ],
)  # fmt: skip
def test_a_wrong_command_on_a_run_is_refused_and_destroys_nothing(
    finished, monkeypatch, command, arguments, words
):
    folder, _, _ = finished
    monkeypatch.chdir(folder)
    if "one" in arguments:
        (folder / "one").mkdir()
        jaxdqn.save(folder / "one", jaxdqn.init(small(), jax.random.key(0)), small())
    if command is export:
        pytest.importorskip("flatbuffers")
    before = {path: path.read_bytes() for path in (folder / "run").iterdir()}
    with pytest.raises(ConfigError) as error:
        command.main(arguments)
    for word in words:
        assert word in str(error.value)
    assert {path: path.read_bytes() for path in (folder / "run").iterdir()} == before


def test_settings_that_were_changed_since_do_not_draw_the_network_of_others(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    settings = tmp_path / "run" / "config.toml"
    text = settings.read_text(encoding="utf-8")
    for old, new in (("    8,\n", "    9,\n"), ("height = 4", "height = 5")):
        changed = text.replace(old, new, 1)
        settings.write_text(changed, encoding="utf-8")
        code, _, err = run_here("plot", "run", cwd=tmp_path)
        assert code == 1
        assert "is not what these settings make" in err
        assert "put config.toml back as the training left it" in err
    settings.write_text(text, encoding="utf-8")
    assert run_here("plot", "run", cwd=tmp_path)[0] == 0


def test_a_run_whose_settings_were_changed_since_is_not_carried_on_or_measured(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    settings = tmp_path / "run" / "config.toml"
    text = settings.read_text(encoding="utf-8")
    for old, new, words in [
        ("discount = 0.9", "discount = 0.5", "discount (0.5) in 'run/config.toml' was 0.9"),
        ("height = 4", "height = 5", "env_kwargs ({'height': 5, 'width': 4, 'gen"),
        ("total_steps = 224", "total_steps = 384", "total_steps (384) in 'run/conf"),
        ("double = false", "double = 3", "double (3) must be true or false"),
    ]:
        changed = text.replace(old, new, 1)
        settings.write_text(changed, encoding="utf-8")
        code, _, err = run_here("resume", "run", cwd=tmp_path)
        assert (code, err.count("\n")) == (1, 1)
        assert words in err
        assert settings.read_text(encoding="utf-8") == changed, "nothing is undone"
        if "total_steps" not in words:  # how long it was has no part in what is measured
            code, _, err = run_here("evaluate", "run", cwd=tmp_path)
            assert (code, err.count("\n"), words in err) == (1, 1, True)
    settings.write_text(f"# as it was\n{text}", encoding="utf-8")
    assert run_here("resume", "run", cwd=tmp_path)[0] == 0
    longer = text.replace("total_steps = 224", "total_steps = 264")
    longer = longer.replace("evaluations = 4", "evaluations = 5")
    settings.write_text(longer, encoding="utf-8")  # as a crash leaves it before a checkpoint
    assert run_here("resume", "run", "--total_steps", 264, cwd=tmp_path)[0] == 0


OF_OTHERS = {
    "language.npz": "is a language model's and has no agents: train some with --pretrained",
    "comparison.json": "is a comparison: name the runs, sweeps or settings that it compared",
}


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("evaluate other", "comparison.json"),
        ("export other", "language.npz"),
        *(("compare other other", file) for file in OF_OTHERS),
        ("plot other", "comparison.json"),
        ("resume other", "comparison.json"),
    ],
)
def test_folders_of_other_commands_are_called_what_they_are(tmp_path, line, file):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / file).touch()
    code, _, err = run_here(*line.split(), cwd=tmp_path)
    assert code == 1
    assert OF_OTHERS[file] in err
    with pytest.raises(ConfigError, match=OF_OTHERS[file]):
        folder_of_runs.load(tmp_path / "other")


@pytest.mark.slow
def test_no_kill_loses_more_than_one_interval(finished, tmp_path):
    """After ``kill -9`` at random moments (20 with JAXDQN_LONG) it ends as if never stopped."""
    folder, _, _ = finished
    long = small(total_steps=64 + 4 * 400_000, evaluations=2_000)
    (folder / "long.toml").write_text(to_toml(long))
    out, rng, kills, reached = tmp_path / "run", random.Random(0), 0, 0
    command = ["train", "long.toml", "--seeds", 2, "--out", out]
    once = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    while kills < (20 if LONG else 3):
        process = start(*command, "--save_every", 0, cwd=folder, env=once)
        seen = ""
        while "compiled and warmed up" not in seen:
            seen += process.stdout.readline()
            assert process.poll() is None, process.stderr.read()
        time.sleep(rng.uniform(0.0, 1.0))
        process.kill()
        process.communicate()
        kills += 1
        back = jaxdqn.restore(out)
        done = int(back.state.evaluations)
        lines = (out / "metrics.csv").read_text().splitlines()
        logged = (len(lines) - 1) // 2
        assert reached <= done <= 2_000
        assert logged - done <= 1, "what was learned is on disk before the next is learned"
        print(f"killed {kills} times: {done} evaluations saved, {logged} logged")
        reached, command = done, ["resume", out]
    whole = jaxdqn.restore(out)
    rows: list = []
    for _, row in seeds.train_in_periods(long, range(2)):
        rows += [] if row is None else [row]
        if len(rows) == reached:
            break
    assert reached > 4
    assert_same_bits(whole.metrics, concatenate(rows))
    assert len(list(out.glob("*.tmp"))) <= 1


@pytest.mark.slow
def test_compiled_programs_are_kept_and_found_again(finished, tmp_path):
    folder, _, _ = finished
    programs = tmp_path / "programs"
    said, kept = [], []
    for _ in range(2):
        said.append(run("--cache", programs, "evaluate", "run", cwd=folder))
        kept.append(sorted(path.name for path in programs.glob("*/*-cache")))
    assert said[0] == said[1]
    assert said[0][0] == 0
    assert any("_evaluate" in name for name in kept[0])
    assert kept[0] == kept[1], "the second start had to compile"


def test_a_cache_that_cannot_be_kept_is_refused(tmp_path):
    (tmp_path / "file").write_text("no folder")
    code, _, err = run_here("--cache", "file", "train", "tiny.toml", cwd=tmp_path)
    assert code == 1
    refusal = "jaxdqn: cache ('file') can't be written (not a directory): choose another folder.\n"
    assert err == refusal
    code, _, err = run_here("--cache", cwd=tmp_path)
    assert code == 2
    assert err == "jaxdqn: --cache () must name a folder, or be off: write --cache DIR.\n"


def test_programs_are_kept_in_the_users_cache_where_it_can_be_written(monkeypatch, tmp_path):
    """By version, processor and cores; a home that can't be written only keeps none."""
    names = ("jax_compilation_cache_dir", "jax_compilation_cache_max_size",
             "jax_persistent_cache_min_compile_time_secs")  # fmt: skip
    before = {name: getattr(jax.config, name) for name in names}
    try:
        assert devices.keep_programs(), "JAX_COMPILATION_CACHE_DIR is set"
        assert jax.config.jax_compilation_cache_dir == before["jax_compilation_cache_dir"]
        jax.config.update("jax_compilation_cache_dir", None)
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no")
        assert not devices.keep_programs()
        assert jax.config.jax_compilation_cache_dir is None
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert devices.keep_programs()
        one = jax.config.jax_compilation_cache_dir
        assert one.startswith(str(tmp_path / "jaxdqn"))
        jax.config.update("jax_compilation_cache_dir", None)
        monkeypatch.setenv("PJRT_NPROC", "77")
        assert devices.keep_programs()
        assert jax.config.jax_compilation_cache_dir != one
        for wrong in (7, "a\0b"):
            with pytest.raises(ConfigError, match=r"cache \(.*\) can't be written .*: choose anot"):
                devices.keep_programs(wrong)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.mark.parametrize("line", ["train tiny.toml --cores 1", "sweep tiny.toml --cache=off"])
def test_options_of_all_commands_stand_before_them(tmp_path, line):
    code, _, err = run_here(*line.split(), cwd=tmp_path)
    command, name = line.split()[0], line.split()[2].partition("=")[0]
    sentence = f"jaxdqn: {name} stands before the command: write jaxdqn {name} ... {command} ...\n"
    assert (code, err) == (2, sentence)


def test_the_version_is_said(tmp_path):
    said = f"jaxdqn {jaxdqn.__version__}\n"
    assert run_here("--version", cwd=tmp_path) == (0, said, "")


def test_garbage_is_looked_for_less_often_in_a_process_of_its_own_alone(monkeypatch):
    before = gc.get_threshold()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setenv("MPLBACKEND", "svg")
    try:
        gc.set_threshold(700, 11, 12)
        assert cli.main(["--version"]) == 0
        assert gc.get_threshold() == (700, 11, 12), "a caller's process stays as it was"
        assert os.environ["MPLBACKEND"] == "svg"
        monkeypatch.setattr(sys, "argv", ["jaxdqn", "--version"])
        assert cli.main() == 0
        assert gc.get_threshold() == (50_000, 11, 12)
        assert os.environ["MPLBACKEND"] == "agg"
    finally:
        gc.set_threshold(*before)


def test_a_number_of_cores_that_cannot_be_used_is_refused(tmp_path):
    code, _, err = run("--cores", 0, "train", "tiny.toml", cwd=tmp_path)
    assert (code, err) == (1, "jaxdqn: cores (0) must be 1 or more: raise it.\n")
    for value in ("two", "-1"):
        code, _, err = run_here("--cores", value, "train", "tiny.toml", cwd=tmp_path)
        sentence = f"jaxdqn: --cores ({value}) must be a whole number: write --cores N.\n"
        assert (code, err) == (2, sentence)


def test_more_cores_than_there_are_is_said_to_be_slow(tmp_path, monkeypatch):
    """Not refused: agents are then laid out as on a machine that has as many."""
    monkeypatch.setattr(devices, "usable_cores", lambda: 2)
    for cores, told in ((3, True), (2, False)):
        code, out, err = run_here("--cores", cores, "evaluate", "absent", cwd=tmp_path)
        assert (code, "absent" in err) == (1, True)
        assert (f"note: cores ({cores}) exceed the 2 that" in out) == told


@pytest.mark.parametrize("width", [80, 20])
def test_intervals_stay_on_one_line_of_a_narrow_terminal(monkeypatch, tmp_path, width):
    """One that is too narrow for a table breaks its lines, but no word is lost."""
    screen = io.StringIO()
    narrow = Console(file=screen, width=width, highlight=False)
    monkeypatch.setattr(console, "_CONSOLE", narrow)
    measure = {"mean": -8.251, "low": -17.791, "high": -1.234, "seeds": 3}
    console.report_evaluation({"training": {"eval_return": measure}}, 3, 9)
    entry = {
        "iqm": 0.12341, "low": -0.23451, "high": 0.34561, "improvement": (0.51, 0.41, 0.61),
        "seconds": 125.0, "env_steps_per_second": 1_234_567.0, "seeds": 3,
        "difference": (0.1, -0.2, 0.3), "seeds_needed": 40.0, "established": False,
        "measured": 3, "infinite": 0, "test": "paired (Student)", "shared_seeds": [0, 1, 2],
        "compared": [3], "confidence": 0.95,
    }  # fmt: skip
    names = ("sweep learning_rate 0.00175, discount 0.9", "maze_dqn")
    comparison_console.report(dict.fromkeys(names, entry), "regret", "mean", tmp_path)
    assert "learning_rate" in screen.getvalue().partition("maze_dqn")[0]
    assert max(map(len, screen.getvalue().partition("trained in")[0].splitlines())) <= 80
    for whole in (
        "(greedy)",
        "-8.25 [-17.8, -1.23]",
        "0.1234 [-0.2345, 0.3456]",
        "0.51 [0.41, 0.61]",
    ):
        assert whole in screen.getvalue()
