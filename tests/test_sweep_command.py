"""``jaxdqn sweep`` as a person meets it, and ``train`` of more seeds than memory holds."""

import csv
import importlib.metadata
import io
import itertools
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import ROOT, assert_same_bits, small
from matplotlib.markers import CARETLEFT, CARETRIGHT
from PIL import Image
from test_cli import INTERRUPTED, run_here

import jaxdqn
from jaxdqn import ConfigError, plots
from jaxdqn.commands import sweep, sweep_values, train
from jaxdqn.config import to_toml
from jaxdqn.parallel import estimate, memory
from jaxdqn.runs import (
    comparison,
    console,
    halving,
    long_form,
    provenance,
    ranking,
    sweep_console,
    sweep_folder,
    sweep_results,
)
from jaxdqn.runs.comparison import Contender
from jaxdqn.statistics.student import student_interval

TABLE = """
[sweep]
learning_rate = [1e-3, 1e-2]
seeds = 3
[sweep.env_params]
slip = [0.0, 0.3]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with settings and, beside them, the same with a table of a sweep."""
    path = tmp_path_factory.mktemp("work")
    (path / "tiny.toml").write_text(to_toml(small()))
    (path / "table.toml").write_text(to_toml(small()) + TABLE)
    return path


def parsed(folder, *arguments, file="tiny.toml"):
    return sweep.parse([str(folder / file), *map(str, arguments)])[1]


@pytest.fixture(scope="module")
def finished(folder):
    """A finished sweep of two settings with three seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["table.toml", "--env_params.slip", "0", "--out", "run", "--measure", "q_error"]
        assert sweep.main(words) == 0
    return folder / "run"


def test_one_value_is_a_setting_and_several_are_an_axis(folder):
    found = parsed(
        folder, "--learning_rate", 1e-3, 1e-2, "--double", "true", "false", "--widths", "8,8", "4",
        "--discount", 1, "--env_params.slip", 0, 0.5, "--env_kwargs.height=5", "--seeds", 2,
        "--first_seed", 7,
    )  # fmt: skip
    assert found.axes == {
        "learning_rate": [1e-3, 1e-2], "double": [True, False], "widths": [[8, 8], [4]],
        "env_params.slip": [0, 0.5],
    }  # fmt: skip
    assert found.seeds == [7, 8]
    assert found.config.discount == 1.0
    assert found.config.env_kwargs["height"] == 5
    assert found.of(0).widths == (8, 8)
    assert found.of(1).env_params == {"max_steps_in_episode": 20, "slip": 0.5}


def test_a_table_says_what_the_command_line_would_and_is_overruled_by_it(folder):
    found = parsed(folder, "--learning_rate", 0.5, file="table.toml")
    assert found.axes == {"env_params.slip": [0.0, 0.3]}
    assert (found.config.learning_rate, len(found.seeds)) == (0.5, 3)
    assert jaxdqn.load_config(folder / "table.toml") == small(), "other commands don't read it"
    side_by_side = parsed(folder, "--zipped", file="table.toml")
    assert side_by_side.settings[1] == {"learning_rate": 1e-2, "env_params.slip": 0.3}


def test_settings_are_drawn_from_ranges_and_more_of_them_begin_with_the_same(folder):
    words = ["--learning_rate", "1e-5:1e-1", "--discount", "0.9:0.99", "--num_envs", "2:5",
             "--double", "true", "false", "--key", "3"]  # fmt: skip
    many = parsed(folder, "--random", 400, *words).settings
    assert parsed(folder, "--random", 20, *words).settings == many[:20]
    assert parsed(folder, "--random", 20, *words[:-1], "4").settings != many[:20]
    less = parsed(folder, "--random", 20, *words[2:]).settings
    assert [one["discount"] for one in less] == [one["discount"] for one in many[:20]]
    logs = np.log10([one["learning_rate"] for one in many])
    assert logs.min() >= -5
    assert logs.max() <= -1
    quartiles = np.quantile(logs, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [-4, -3, -2], atol=0.4)
    discounts = np.quantile([one["discount"] for one in many], [0.25, 0.75])
    np.testing.assert_allclose(discounts, [0.9225, 0.9675], atol=0.01)
    assert {one["num_envs"] for one in many} == {2, 3, 4, 5}
    assert {one["double"] for one in many} == {True, False}
    waits = parsed(folder, "--random", 64, "--target_period", "1:20").settings
    assert sorted(one["target_period"] for one in waits) == list(range(1, 21)), "each once"
    assert len(parsed(folder, "--random", 8, "--double", "true", "false").settings) == 2


def test_of_the_environment_fractions_are_drawn_where_it_has_them(folder):
    """However the ends are written; of what is whole each number, below 0 too, as often."""
    words = ["--env_params.slip", "0:1", "--env_params.max_steps_in_episode", "2:5"]
    many = parsed(folder, "--random", 64, *words).settings
    slips = [one["env_params.slip"] for one in many]
    assert len({*slips}) == 64
    np.testing.assert_allclose(np.quantile(slips, [0.25, 0.75]), [0.25, 0.75], atol=0.15)
    assert {one["env_params.max_steps_in_episode"] for one in many} == {2, 3, 4, 5}
    odd = ["--env_kwargs.generator", "corridors", "--env_kwargs.height", 5, 7]
    assert len(parsed(folder, "--random", 2, *odd, "--env_kwargs.width", 5).settings) == 2
    below = sweep_values.draw({"env_params.own": [sweep_values.Range(-3, 3)]}, 7, 0, small())
    assert sorted(below["env_params.own"]) == list(range(-3, 4))


def test_what_is_drawn_is_in_its_range_also_where_six_digits_are_too_few():
    low, high = span = sweep_values.Range(0.9999991, 0.9999999)
    drawn = sweep_values.draw({"discount": [span]}, 8, 0, small())["discount"]
    assert low <= min(drawn) <= max(drawn) <= high


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny.toml", "--learning_rate", "1e-5:1e-2"], ["(1e-05:0.01) is a range", "--random N"]),
        (["tiny.toml", "--learning_rate", "1e-2:1e-5"], ["range (1e-2:1e-5)", "turn it"]),
        (["tiny.toml", "--discount", "0.5", "0.8:0.9"], ["discount (0.8:0.9) is a range: say"]),
        (["tiny.toml", "--random", "4", "--batch_size", "8:inf"], ["(8:inf)", "isn't finite"]),
        (["tiny.toml", "--random", "4", "--discount", "nan:1"], ["(nan:1)", "isn't finite"]),
        (["tiny.toml", "--random", "4", "--batch_size", "0.5:3"], ["(0.5:3)", "round it"]),
        (["tiny.toml", "--random", "4", "--discount", "0.5", "0:1"], ["(0:1) is a range beside"]),
        (["tiny.toml", "--random", "4", "--key", "4294967296"], ["key (4294967296) must be from"]),
        (["tiny.toml", "--random", "4"], ["random (4)", "--random 64 --learning_rate 1e-5:1e-2"]),
        (["tiny.toml", "--random", "4", "--discount", "0:1", "0.5"], ["(0:1) is a range beside"]),
        (["tiny.toml", "--discount"], ["--discount has no value"]),
        (["tiny.toml", "--discount", "0.5", "--discount", "0.6"], ["--discount stands twice"]),
        (["tiny.toml", "--discount", "0.5", "1.5"], ["discount (1.5)", "from 0 to 1"]),
        (["tiny.toml", "--discount", "high"], ["discount ('high') must be a number"]),
        (["tiny.toml", "--env_params.slip", "0.5", "1.5"], ["slip (1.5)"]),
        (["tiny.toml", "--blocks", "1", "2"], ["blocks (1) belongs to network 'residual'"]),
        (["tiny.toml", "--discount", "0.5", "0.6", "0.50"], ["discount has 0.5 more than once"]),
        (["tiny.toml", "--seeds", "0"], ["seeds (0) must be 1 or more"]),
        (["tiny.toml", "--seeds", "2", "--first_seed", "4294967295"],
         ["seeds (2) must be 1 or more and first_seed (4294967295) 0 or more, with all numbers"]),
        (["tiny.toml", "--save_every", "-1"], ["save_every (-1.0)"]),
        (["tiny.toml", "--measure", "sucess", "--seeds", "1"], ["measure 'sucess'", "'success'?"]),
        (["tiny.toml", "--env", "CartPole-v1"], ["to CartPole-v1: there are none, leave it out."]),
        (["absent.toml"], ["'absent.toml' can't be read"]),
        (["settings"], ["CONFIG ('settings')"]),
        (["words.toml"], ["key 'discout' is not known in [sweep]", "'discount'"]),
        (["kinds.toml"], ["seeds ('many') in [sweep] must be a whole number"]),
        (["nested.toml"], ["discount ([0.5]) is a sweep", "give one number"]),
        (["empty.toml"], ["env_params.slip ([]) has no values", "leave it out"]),
        (["empty.toml", "--random", "2"], ["env_params.slip ([]) has no values", "leave it out"]),
    ],
)  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused_and_leaves_nothing(folder, arguments, words):
    (folder / "words.toml").write_text("[sweep]\ndiscout = [0.5, 0.6]\n")
    (folder / "kinds.toml").write_text("[sweep]\nseeds = 'many'\n")
    (folder / "nested.toml").write_text("[sweep]\ndiscount = [[0.5]]\n")
    (folder / "empty.toml").write_text("[sweep]\nenv_params = {slip = []}\n")
    code, _, err = run_here("sweep", *arguments, cwd=folder)
    assert code == 1
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert not (folder / "runs").exists()


def test_a_sweep_leaves_a_table_arrays_with_named_axes_and_one_sentence(finished):
    with np.load(finished / "metrics.npz") as arrays:
        assert arrays["q_error"].shape == (2, 3, small().evaluations)
        assert arrays["trained"].all()
        about = json.loads(arrays["about"].tobytes())
        _, alone = jaxdqn.train(small(learning_rate=1e-2, env_params={"max_steps_in_episode": 20,
                                "slip": 0}), jax.random.key(2))  # fmt: skip
        np.testing.assert_allclose(arrays["q_error"][1, 2], alone.q_error, rtol=1e-4)
        means = arrays["q_error"].mean(axis=(1, 2))
    assert about["axes"] == {"learning_rate": [1e-3, 1e-2], "seed": [0, 1, 2]}
    rows = list(csv.DictReader((finished / "settings.csv").read_text().splitlines()))
    assert [float(row["mean"]) for row in rows] == pytest.approx(sorted(means))
    assert float(rows[0]["low"]) < float(rows[0]["mean"]) < float(rows[0]["high"])
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["measure"], summary["trained"], summary["agents"]) == ("q_error", 6, 6)
    assert summary["established"].startswith("best of 2 by q_error (mean along training): learn")
    assert summary["measured"] == 3
    for package in ("jaxlib", "flax", "optax", "gymnax", "numpy"):
        assert summary["versions"][package] == importlib.metadata.version(package)
    lines = list(csv.DictReader((finished / "metrics.csv").read_text().splitlines()))
    assert list(lines[0])[:3] == ["learning_rate", "seed", "env_steps"]
    assert len(lines) == 2 * 3 * small().evaluations
    last = [float(line["q_error"]) for line in lines
            if (line["learning_rate"], line["seed"]) == ("0.01", "2")]  # fmt: skip
    with np.load(finished / "metrics.npz") as arrays:
        np.testing.assert_array_equal(np.float32(last), arrays["q_error"][1, 2])


def test_values_of_a_table_are_plain_text(tmp_path):
    values = ["expected", True, 0.1, 3, [8, 8]]
    texts = ["expected", "true", "0.1", "3", "[8, 8]"]
    assert [long_form.text(value) for value in values] == texts
    rows = np.arange(6.0).reshape(2, 3)
    blank = dict.fromkeys(jaxdqn.Metrics.__dataclass_fields__)
    one = jaxdqn.Metrics(**{**blank, "env_steps": rows, "loss": -rows})
    other = jaxdqn.Metrics(**{**blank, "env_steps": rows[:1], "regret": rows[:1] * np.nan})
    parts = [({"head": "expected"}, [4, 7], one), ({"head": "a, b"}, [0], other)]
    long_form.write(tmp_path / "t.csv", parts)
    found = list(csv.reader((tmp_path / "t.csv").read_text().splitlines()))
    assert found[0] == ["head", "seed", "env_steps", "loss", "regret"]
    assert found[1:3] == [
        ["expected", "4", "0.0", "-0.0", ""],
        ["expected", "4", "1.0", "-1.0", ""],
    ]
    assert found[-1] == ["a, b", "0", "2.0", "", "nan"]
    assert len(found) == 1 + 2 * 3 + 3


def test_a_table_of_settings_that_finds_no_room_is_told_in_a_sentence(tmp_path):
    results = SimpleNamespace(grid=SimpleNamespace(settings=[{"discount": 0.5}]))
    with pytest.raises(ConfigError, match=r"settings\.csv' can't be written \(no such file"):
        sweep_results._write_table(
            tmp_path / "gone" / "settings.csv", results, ranked([[1.0, 2.0]]), "eval_return"
        )


def test_a_drawn_sweep_remembers_from_what_it_was_drawn(folder):
    words = ["--random", 3, "--key", 5, "--learning_rate", "1e-4:1e-2", "--double", "true", "false"]
    found = parsed(folder, *words)
    ranges = {"learning_rate": "0.0001:0.01", "double": [True, False]}
    assert found.drawn == {"random": 3, "key": 5, "from": ranges}
    sweep_folder.SweepFolder(folder / "drawn_from", found).open({})
    assert sweep_folder.read_grid(folder / "drawn_from")[0] == found
    assert not parsed(folder, "--learning_rate", "0.1", "0.2").drawn


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/a/b/jaxdqn", "sweep", "x.toml", "--out", "a b"], "jaxdqn sweep x.toml --out 'a b'"),
        (["/a/jaxdqn/__main__.py", "train", "x.toml"], "jaxdqn train x.toml"),
        (["/a/pytest/__main__.py", "tests"], None),
        (["-c"], None),
        ([], None),
    ],
)
def test_the_command_is_said_without_the_place_of_the_program(monkeypatch, argv, said):
    monkeypatch.setattr(sys, "argv", argv)
    assert provenance.provenance().get("command") == said


def test_a_finished_sweep_is_compared_by_its_settings(finished, tmp_path, capsys):
    from jaxdqn.commands import compare

    assert compare.main([str(finished), "--measure", "q_error", "--out", str(tmp_path / "c")]) == 0
    out = capsys.readouterr().out
    assert "of each seed, in run" in out
    assert "\nlearning_rate 0.01 - learning_rate 0.001, means: " in out
    assert (tmp_path / "c" / "comparison.png").exists()


def test_settings_are_called_by_as_few_digits_as_tell_them_apart():
    far = [{"discount": 0.25}, {"discount": 0.5}]
    assert ranking.told_apart(far) == ["discount 0.25", "discount 0.5"]
    near = [{"learning_rate": 1.23456e-4}, {"learning_rate": 1.23457e-4}]
    assert ranking.told_apart(near) == ["learning_rate 0.000123456", "learning_rate 0.000123457"]


def test_a_ranking_counts_the_seeds_that_were_measured_and_says_what_is_not_finite():
    best, diverged, missing = ranked([[3.0, np.nan, 2.0], [np.inf, 1.0, 1.0], [np.nan] * 3])
    said = ranking.sentence([best], "eval_return", "mean")
    assert said.endswith("over 2 of 3 seeds")
    assert diverged.value == "not finite in 1 of 3 seeds"
    assert missing.value == "not measured"
    (alone,) = ranked([[np.inf]])
    assert alone.value == "not finite in 1 seed"
    title = plots.compare([_of_one_seed("a"), _of_one_seed("b")], "loss", "mean").get_suptitle()
    assert title == "loss, 1 seed each"
    said = ranking.sentence([best, diverged], "q_error", "mean")
    assert "over 2 of 3 seeds; not established against any other" in said
    figure = plots.sweeps.intervals([best, diverged, missing], "q_error", "mean")
    figure.savefig(io.BytesIO())
    marks = [line for line in figure.axes[0].lines if line.get_marker() == CARETRIGHT]
    assert [mark.get_ydata()[0] for mark in marks] == [1, 2], "what isn't finite goes on, too"


def test_a_signal_keeps_what_was_learned_and_resume_goes_on_to_the_same_bits(
    finished, folder, monkeypatch
):
    monkeypatch.chdir(folder)
    real, calls = sweep_console.SweepProgress.show, []

    def interrupted(self, moment):
        calls.append(moment)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(self, moment)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_console.SweepProgress, "show", interrupted)
        words = ["sweep", "table.toml", "--env_params.slip", "0", "--measure", "q_error"]
        code, out, err = run_here(*words, "--out", "stopped", cwd=folder)
    assert (code, err) == (130, INTERRUPTED)
    assert "stopped after 0 of 6 agents; go on with: jaxdqn resume stopped" in out
    code, out, err = run_here("resume", "stopped", cwd=folder)
    assert (code, err) == (0, "")
    assert "best of 2 by q_error" in out, "what settings are ranked by is remembered"
    with np.load("stopped/metrics.npz") as one, np.load(finished / "metrics.npz") as other:
        assert_same_bits(dict(one), dict(other))
    code, _, err = run_here("resume", "stopped", "--total_steps", 999, cwd=folder)
    assert code == 1
    assert "total_steps (999) can't be raised for a sweep" in err


def test_a_sweep_stopped_before_its_end_says_so_though_it_ranks_what_was_trained(
    folder, monkeypatch
):
    real = sweep_console.SweepProgress.show

    def interrupted(self, moment):
        if moment.done == 1 and not self.asked:
            signal.raise_signal(signal.SIGTERM)
        return real(self, moment)

    monkeypatch.setattr(sweep_console.SweepProgress, "show", interrupted)
    words = ["sweep", "tiny.toml", "--widths", "8", "4", "--seeds", 2, "--out", "half"]
    code, out, err = run_here(*words, cwd=folder)
    assert (code, err) == (130, INTERRUPTED)
    assert "widths" in out
    assert "stopped after 2 of 4 agents; go on with: jaxdqn resume half" in out


@pytest.mark.parametrize(
    ("rates", "left"),
    [
        (["--learning_rate", "1e-3", "1e-2"], "settings.csv"),
        pytest.param([], "policy.png", marks=pytest.mark.slow),
    ],
)
def test_jobs_of_an_array_train_a_seed_each_in_one_folder_and_are_joined(
    folder, monkeypatch, tmp_path, capsys, rates, left
):
    """As configs/README.md has it; of one setting it is a run."""
    monkeypatch.chdir(tmp_path)
    words = [str(folder / "tiny.toml"), *rates]
    for job in range(3):
        each = [*words, "--first_seed", str(job), "--seeds", "1", "--out", "array"]
        assert sweep.main(each) == 0
    capsys.readouterr()
    assert sweep.main([*words, "--seeds", "3", "--out", "array"]) == 0
    assert "0 of them still to be trained; all are trained already" in capsys.readouterr().out
    assert (tmp_path / "array" / left).exists()
    assert sweep.main([*words, "--seeds", "3", "--out", "whole"]) == 0
    with np.load("array/metrics.npz") as one, np.load("whole/metrics.npz") as other:
        assert set(one) == set(other)
        for name in set(one) - {"about"}:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_jobs_of_an_array_may_run_at_the_same_time(folder, tmp_path):
    def job(*words):
        command = [sys.executable, "-m", "jaxdqn", "sweep", str(folder / "tiny.toml"), *words]
        where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
        return subprocess.Popen([*command, "--learning_rate", "1e-3", "1e-2", "--out", "array"],
                                stdout=subprocess.PIPE, text=True, **where)  # fmt: skip

    jobs = [job("--first_seed", str(seed), "--seeds", "1") for seed in range(4)]
    for each in jobs:
        each.communicate(timeout=300)
        assert each.returncode == 0
    assert "all are trained already" in job("--seeds", "4").communicate(timeout=300)[0]


@pytest.mark.parametrize("option", [["--on_nonfinite", "run"], ["--wandb", "p"], ["--tensorboard"]])
def test_what_follows_all_seeds_at_once_is_refused_for_chunks(folder, monkeypatch, option):
    each = estimate.per_agent(small()).total
    monkeypatch.setattr(memory, "free", lambda _: 2 * each)
    code, _, err = run_here("train", "tiny.toml", "--seeds", 5, *option, cwd=folder)
    assert code == 1
    assert f"{option[0][2:]} (" in err
    assert "follows all seeds at once, and these are trained in chunks: leave it out." in err
    assert not (folder / "runs").exists()


def test_what_no_memory_holds_leaves_no_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "free", lambda _: 1000)
    for command, words in itertools.product((sweep, train), ([], ["--out", "named"])):
        with pytest.raises(ConfigError, match=r"^one agent takes .* are free: lower "):
            command.main([str(folder / "tiny.toml"), *words])
    assert [file for file in tmp_path.rglob("*") if file.name != "runs"] == []


@pytest.mark.slow
def test_seeds_that_memory_does_not_hold_are_trained_in_chunks(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert train.main(["tiny.toml", "--seeds", "5", "--out", "at_once"]) == 0
    each = estimate.per_agent(small()).total
    monkeypatch.setattr(memory, "free", lambda _: 2 * each)
    capsys.readouterr()
    assert train.main(["tiny.toml", "--seeds", "5", "--out", "chunks"]) == 0
    out = capsys.readouterr().out
    assert "2 side by side on 2 devices, 2 times one after the other, since all at once need" in out
    assert "shortest path" in out
    with np.load("chunks/metrics.npz") as one, np.load("at_once/metrics.npz") as other:
        assert_same_bits(dict(one), dict(other))
    for name in ("curves.png", "policy.png", "summary.json", "config.toml"):
        assert (folder / "chunks" / name).exists()
    # The last of several processes, which has room for all, goes on in the same folder.
    monkeypatch.setattr(memory, "free", lambda _: 100 * each)
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    assert train.main(["tiny.toml", "--seeds", "6", "--out", "chunks"]) == 0
    with np.load("chunks/metrics.npz") as one, np.load("at_once/metrics.npz") as other:
        assert one["loss"].shape[0] == 6
        assert_same_bits({name: one[name][:5] for name in other}, dict(other))
    for command in (["evaluate", "chunks", "--episodes", 2], ["plot", "chunks", "--seed", 3]):
        code, _, err = run_here(*command, cwd=folder)
        assert (code, err) == (0, ""), command


def test_fewer_settings_than_were_to_be_drawn_are_noted(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "watch", lambda *_: 0)
    words = [str(folder / "tiny.toml"), "--random", "9", "--double", "true", "false"]
    assert sweep.main(words) == 0
    assert capsys.readouterr().out.startswith(
        "note: random (9) is more than there are to draw from, 2 settings: all are trained\n"
    )


def test_what_may_not_be_meant_is_said_once_for_all_settings(folder, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "watch", lambda *_: 0)
    words = [str(folder / "tiny.toml"), "--epsilon_steps", "100", "10000", "--discount", "0.5", "1"]
    assert sweep.main(words) == 0
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith("note on 2 of 4 settings: epsilon")
    far = [small(epsilon_steps=10_000 + number) for number in range(7)]
    *lines, last = console.notes_on([small(), *far, far[3]])
    assert len(lines) == console.MOST_NOTES
    assert lines[0].startswith("note on 2 of 9 settings: epsilon")
    assert last == "note: 2 more such notes"
    assert console.notes_on([small(), small()]) == []


def test_what_is_established_holds_for_all_settings_at_once():
    """Of settings that are alike, the best by luck is rarely called better: 20 of them, 8 seeds."""
    rng = np.random.default_rng(0)
    wrong = sum(any(ranking.established(ranked(rng.normal(size=(20, 8))), "r")) for _ in range(400))
    assert wrong / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    clear = rng.normal(size=(20, 8))
    clear[7] += 20.0
    assert all(ranking.established(ranked(clear), "r"))
    assert all(ranking.established(ranked(-clear)[::-1], "regret"))
    assert "established to be more than all others" in ranking.sentence(ranked(clear), "r", "mean")
    alike = np.repeat([[0.0], [1.0]], 4, axis=1)
    assert not any(ranking.established(ranked(alike), "r")), "four times the same sign is no proof"


@pytest.mark.parametrize("settings", [2, 8, 20])
@pytest.mark.parametrize("seeds", [3, 4, 8])
def test_settings_that_find_a_policy_by_chance_are_rarely_told_apart(settings, seeds):
    """Of a few seeds some settings have found it in all, and some in none."""
    rng, wrong, tries = np.random.default_rng(seeds), 0, 300
    for _ in range(tries):
        found = rng.integers(2, size=(settings, seeds)) + rng.normal(0, 0.01, (settings, seeds))
        wrong += any(ranking.established(ranked(found), "r"))
    assert wrong / tries <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / tries)


def test_a_setting_that_diverges_hides_nothing_of_the_others():
    clear = np.random.default_rng(0).normal(size=(20, 16))
    clear[7] += 20.0
    clear[3] = -1e7 + 1e6 * clear[3]
    assert all(ranking.established(ranked(clear), "r"))


def test_the_first_of_a_ranking_that_is_worse_where_both_have_seeds_is_not_called_better():
    """By the seeds of its own it is first, as after a sweep that was stopped."""
    few, many = np.array([10.0, 10.01, 9.99]), np.array([11.0, 11.02, 11.0, *np.zeros(13)])
    best = ranked([few, many])
    assert [len(one.scores) for one in best] == [3, 16]
    assert ranking.established(best, "eval_return") == [False]


def _of_one_seed(name):
    row = np.ones((1, 1), np.float32)
    return Contender(name, jaxdqn.Metrics(*[row] * 10), [0], 1.0)


def test_what_was_never_measured_is_ranked_last():
    """Behind what isn't finite, of which something is known."""
    rows = [np.nan, np.inf, 1.0, -np.inf, 2.0]
    metrics = [SimpleNamespace(updates=np.zeros((1, 1)), row=np.full((1, 1), x)) for x in rows]
    grid = SimpleNamespace(settings=[{"place": i} for i in range(5)], of=lambda _: small())
    results = SimpleNamespace(grid=grid, of_cell=lambda cell, _: ([0], metrics[cell]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "scores", lambda contender, *_: contender.metrics.row[:, 0])
        order = [one.cell for one in ranking.rank(results, "eval_return", "mean")]
    assert order == [4, 2, 1, 3, 0]


def ranked(scores):
    found = []
    for index, values in enumerate(scores):
        values = np.asarray(values)
        contender = Contender(f"s{index}", None, range(len(values)), 1.0)
        found.append(ranking.Ranked(index, contender, values, *student_interval(values), []))
    return sorted(found, key=lambda one: (not np.isfinite(one.mean), -one.mean))


def test_a_search_of_nothing_is_refused():
    with pytest.raises(ConfigError):
        sweep_values.draw({}, 4, 0, small())


def test_halving_stopped_before_anything_is_finished_says_how_to_go_on(folder, monkeypatch):
    real = sweep_console.SweepProgress.show

    def interrupted(self, moment):
        signal.raise_signal(signal.SIGTERM)
        return real(self, moment)

    monkeypatch.setattr(sweep_console.SweepProgress, "show", interrupted)
    words = ["sweep", "tiny.toml", "--discount", "0.5", "0.9", "--seeds", 6, "--halving"]
    code, out, err = run_here(*words, "--out", "early", cwd=folder)
    assert (code, err) == (130, INTERRUPTED)
    assert "go on with: jaxdqn resume early" in out


@pytest.mark.parametrize("settings", [1, 2, 3, 4, 5, 8, 100])
@pytest.mark.parametrize("seeds", [1, 2, 7, 12, 15, 63])
def test_the_last_setting_of_halving_has_all_seeds(settings, seeds):
    cells, had = halving.first(settings, seeds)
    assert cells == list(range(settings))
    left = settings
    while left > 1:
        left, had = -(-left // 2), min(2 * had, seeds)
    assert had == seeds


@pytest.mark.slow
def test_halving_trains_the_better_half_with_twice_the_seeds(folder):
    words = ["sweep", "tiny.toml", "--learning_rate", "1e-5", "1e-4", "1e-3", "1e-2", "--seeds", 12,
             "--measure", "q_error", "--halving", "--out", "halved"]  # fmt: skip
    code, out, err = run_here(*words, cwd=folder)
    assert (code, err) == (0, "")
    assert "halving: 4 settings with 3 seeds each" in out
    assert "halving: 2 settings with 6 seeds each" in out
    assert "halving: 1 settings with 12 seeds each" in out
    assert "halving trained 24 of 48 agents; as far as the seeds tell, it dropped the best" in out
    summary = json.loads((folder / "halved" / "summary.json").read_text())
    assert (summary["halving"]["trained"], summary["halving"]["agents"]) == (24, 48)
    assert 0 <= summary["halving"]["chance_of_dropping_the_best"] < 1
    with np.load(folder / "halved" / "metrics.npz") as arrays:
        assert sorted(arrays["trained"].sum(axis=1)) == [3, 3, 6, 12]
        q_error = np.where(arrays["trained"][..., None], arrays["q_error"], np.nan)
    first = q_error[:, :3].mean(axis=-1)
    best = np.nanargmin(first.mean(-1) - 4.303 * first.std(-1, ddof=1) / np.sqrt(3))
    assert ~np.isnan(q_error[best, 3:6]).any(), "chosen by the optimistic ends of the intervals"
    before = sorted(path.name for path in (folder / "halved" / "chunks").iterdir())
    code, again, _ = run_here("resume", "halved", cwd=folder)
    assert again.splitlines()[-2] == out.splitlines()[-2], "the same choices, and the same cost"
    assert sorted(path.name for path in (folder / "halved" / "chunks").iterdir()) == before


def test_the_chance_of_dropping_the_best_is_what_it_is():
    """Of 8 settings whose true means are drawn, the dropped half holds the best so often."""
    rng = np.random.default_rng(1)
    said, lost = [], []
    for _ in range(300):
        true = rng.normal(size=8)
        scores = true[:, None] + rng.normal(size=(8, 6))
        order = np.argsort(-scores.mean(axis=1))
        dropped = order[4:]
        names = [ranking.Ranked(i, None, row, *student_interval(row), []) for i, row
                 in enumerate(scores)]  # fmt: skip
        said.append(halving._chance(names, 1.0, dropped))
        lost.append(np.argmax(true) in dropped)
    assert np.mean(lost) <= np.mean(said) + 0.03, "it may say too much, never too little"
    assert np.mean(said) < 0.15


def test_of_settings_that_score_alike_each_may_be_the_best():
    """Any of the four is, with the same chance; the one that is worse is not."""
    alike = ranked([[1.0, 1.0, 1.0]] * 4 + [[0.5, 0.5, 0.5]])
    assert halving._chance(alike, 1.0, np.array([2, 3, 4])) == 0.5
    assert halving._chance(alike[:2], 1.0, np.array([1])) == 0.5
    assert halving._chance(alike, 1.0, np.array([4])) == 0.0


@pytest.mark.parametrize("measure", ["eval_return", "regret"])
def test_what_diverged_does_not_go_on_in_halving(measure, monkeypatch):
    found = ranked([[3.0, 4.0, 3.5], [1.0, np.inf, 2.0], [2.0, 2.5, 2.1], [np.nan] * 3])
    monkeypatch.setattr(ranking, "rank", lambda *_, **__: found)
    results = SimpleNamespace(grid=SimpleNamespace(seeds=range(12)))
    later, _ = halving.following(halving.Round([0, 1, 2, 3], 3), results, measure, "mean")
    assert later == ([0, 2], 6)


def test_what_diverged_is_not_thought_to_have_been_the_best():
    found = ranked([[3.0, 4.0, 3.5], [1.0, 2.0, 1.5], [1.0, np.inf, 1.5]])
    assert halving._chance(found, 1.0, np.array([2])) == 0.0


@pytest.mark.slow
def test_pictures_of_a_sweep_show_something_and_are_drawn_again(folder):
    words = ["sweep", "tiny.toml", "--random", 9, "--learning_rate", "1e-4:1e-1", "--discount",
             "0.5:0.9", "--seeds", 2, "--out", "drawn"]  # fmt: skip
    assert run_here(*words, cwd=folder)[0] == 0
    pictures = [folder / "drawn" / f"{name}.png" for name in ("curves", "ranking", "heat_map")]
    for picture in pictures:
        picture.unlink()
    code, _, err = run_here("plot", "drawn", "--seed", 1, cwd=folder)
    assert (code, err.count("\n")) == (1, 1)
    assert "seed (1) is of one setting, and 'drawn' is a sweep of many" in err
    code, out, err = run_here("plot", "drawn", cwd=folder)
    assert (code, err) == (0, "")
    for picture in pictures:
        assert picture.name in out
        with Image.open(picture) as image:
            assert np.asarray(image.convert("L")).std() > 10, f"{picture} is empty"


def test_a_heat_map_has_the_mean_of_each_pair_of_numbers():
    settings = [{"a": a, "b": b, "c": c} for a in (1.0, 2.0) for b in (3.0, 4.0) for c in (5, 6)]
    scores = [[10.0 * one["a"] + one["b"] + 0.01 * one["c"]] * 2 for one in settings]
    figure = plots.sweeps.heat_map(settings, ranked(scores), "eval_return", "mean")
    axes = figure.axes[0]
    assert {axes.get_xlabel(), axes.get_ylabel()} == {"a", "b"}, "what says most is drawn"
    said = sorted(float(text.get_text()) for text in axes.texts)
    assert said == pytest.approx([13.055, 14.055, 23.055, 24.055], abs=0.06)
    assert (
        plots.sweeps.heat_map([{"a": 1.0}, {"a": 2.0}], ranked([[1.0], [2.0]]), "loss", "mean")
        is None
    )


def test_an_interval_that_is_cut_off_ends_in_an_arrow():
    found = ranked([[0.0, 10.0], [4.99, 5.01], [4.0, 4.01]])  # the first is 5 ± 64
    figure = plots.sweeps.intervals(found, "eval_return", "mean")
    (axes,) = figure.axes
    ends = dict(zip((CARETLEFT, CARETRIGHT), axes.get_xlim(), strict=True))
    arrows = [line for line in axes.lines if line.get_marker() in ends]
    assert [line.get_marker() for line in arrows] == [CARETLEFT, CARETRIGHT]
    for line in arrows:
        assert line.get_xdata()[0] == ends[line.get_marker()]
        assert line.get_ydata()[0] == 1 + [one.cell for one in found].index(0)
    assert "Student's 95 % intervals" in figure.get_suptitle()


def test_what_no_spread_is_known_of_is_drawn_open():
    found = ranked([[1.0, 2.0, 4.0], [3.0, 3.0, 3.0], [2.0]])
    figure = plots.sweeps.intervals(found, "eval_return", "mean")
    inside = [line.get_markerfacecolor() for line in figure.axes[0].lines
              if line.get_marker() == "o"]  # fmt: skip
    assert [colour == "white" for colour in inside] == [len({*one.scores}) == 1 for one in found]
    assert "open: of one seed or of seeds alike" in figure.get_suptitle()
    assert "means over 1 to 3 seeds" in figure.get_suptitle()


def test_dots_of_a_heat_map_lie_within_it():
    rng = np.random.default_rng(0)
    settings = [{"a": float(a), "b": float(10**b)} for a, b in rng.uniform(-3, 0, (40, 2))]
    figure = plots.sweeps.heat_map(settings, ranked(rng.normal(size=(40, 3))), "loss", "mean")
    axes = figure.axes[0]
    figure.savefig(io.BytesIO())
    for name, place in (("a", 0), ("b", 1)):
        at = place if axes.get_xlabel() == "a" else 1 - place
        ends = [axes.get_xlim(), axes.get_ylim()][at]
        values = [one[name] for one in settings]
        assert ends[0] < min(values) < max(values) < ends[1]


def test_a_ranking_of_what_was_never_a_number_is_drawn():
    figure = plots.sweeps.intervals(ranked([[np.nan, np.nan]] * 2), "eval_return", "mean")
    figure.savefig(io.BytesIO())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["s0", "s1"]
