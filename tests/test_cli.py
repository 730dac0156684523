"""The command line as a person meets it."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from conftest import ROOT, small
from PIL import Image

import jaxdqn
from jaxdqn import console, statistics, training
from jaxdqn.config import to_toml

FILES = ["config.toml", "curves.png", "metrics.npz", "params.msgpack", "policy.png", "summary.json"]


def start(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; from jaxdqn.cli import main; sys.exit(main())"]
        + [str(argument) for argument in arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "150", "PYTHONPATH": str(ROOT)}, **options,
    )  # fmt: skip


def run(*arguments, cwd):
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run, looked at by several tests."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "tiny.toml").write_text(to_toml(small()))
    code, out, err = run(
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
    for word in ("success rate", "95 % interval", "walk the shortest path", "of 3 seeds"):
        assert word in out
    assert sorted(path.name for path in (folder / "run").iterdir()) == FILES


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
    for name in ("curves.png", "policy.png"):
        picture = np.asarray(Image.open(folder / "run" / name).convert("L"))
        assert picture.std() > 10, f"{name} is empty"


def test_a_single_seed_has_no_interval(capsys, tmp_path):
    summary = {
        "env_steps_per_seed": 224, "seed_count": 1, "train_seconds": 1.0,
        "env_steps_per_second": 224, "final": {"loss": statistics.summarise(np.array([0.5]))},
    }  # fmt: skip
    console.report(summary, tmp_path)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "loss" in line)
    assert "0.5" in row
    assert "nan" not in row


def test_a_run_folder_is_never_overwritten(finished):
    folder, _, _ = finished
    before = (folder / "run" / "summary.json").read_bytes()
    code, _, err = run("train", "tiny.toml", "--seeds", 1, "--out", "run", cwd=folder)
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
        (["tiny.toml", "--env_kwargs.height", "0"], 1, ["env_kwargs.height (0)", "from 1"]),
        (["absent.toml"], 1, ["'absent.toml' can't be read", "check the path"]),
        (["settings"], 1, ["CONFIG ('settings')", ".toml"]),
        (["tiny.toml", "--out", "/proc/no/run"], 1, ["can't be written", "choose another"]),
        (["tiny.toml", "--discout", "3"], 2, ["--discout", "--discount"]),
    ],
)
def test_a_wrong_command_ends_in_one_clear_message(finished, arguments, code, words):
    folder, _, _ = finished
    returned, _, err = run("train", *arguments, cwd=folder)
    assert returned == code
    for word in words:
        assert word in err
    assert "Traceback" not in err
    if code == 1:
        assert err.count("\n") == 1
    assert not (folder / "runs").exists(), "a refused command leaves no run folder"


def test_help_lists_every_setting_with_its_default(finished):
    folder, _, _ = finished
    code, out, _ = run("train", "--help", cwd=folder)
    assert (code, "CONFIG" in out, "loading" in out) == (0, True, False)
    code, out, _ = run("train", "tiny.toml", "--help", cwd=folder)
    assert code == 0
    for word in ("--seeds INT", "--out", "--learning_rate FLOAT", "--env_kwargs.density",
                 "--env_params.slip", "(default: 0.0001)", "{mlp,residual}"):  # fmt: skip
        assert word in out
    code, out, _ = run(cwd=folder)
    assert (code, "train CONFIG" in out) == (2, True)
    code, _, err = run("trian", cwd=folder)
    assert (code, err) == (2, "jaxdqn: command 'trian' is not known: use train.\n")


def test_ctrl_c_keeps_what_was_learned(finished):
    folder, _, _ = finished
    long = small(total_steps=64 + 4 * 1_000_000, evaluations=1_000)
    (folder / "long.toml").write_text(to_toml(long))
    process = start("train", "long.toml", "--seeds", 2, "--out", "stopped", cwd=folder)
    seen = ""
    while "compiled and warmed up" not in seen:
        seen += process.stdout.readline()
        assert process.poll() is None, process.stderr.read()
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "interrupted: finishing this evaluation" in out
    assert sorted(path.name for path in (folder / "stopped").iterdir()) == FILES
    with np.load(folder / "stopped" / "metrics.npz") as metrics:
        rows = metrics["loss"].shape[1]
    assert 1 <= rows < 1_000
    summary = json.loads((folder / "stopped" / "summary.json").read_text())
    per_row = long.schedule.iterations_per_evaluation * long.num_envs
    assert summary["env_steps_per_seed"] == 64 + rows * per_row
