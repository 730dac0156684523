"""Comparisons say what is there, and what isn't."""

import io
import itertools
import json
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import ROOT, small
from PIL import Image
from test_cli import run_here

import jaxdqn
from jaxdqn import ConfigError, plots
from jaxdqn.commands import compare, train
from jaxdqn.config import to_toml
from jaxdqn.metrics import to_arrays
from jaxdqn.parallel import devices
from jaxdqn.runs import (
    comparison,
    comparison_console,
    comparison_folder,
    comparison_notes,
    ranking,
)
from jaxdqn.runs.comparison import Contender
from jaxdqn.runs.sweep_console import SweepProgress
from jaxdqn.runs.sweeps import Moment


def contender(name, values, measure="eval_return", seeds=None):
    """A setting whose seeds hold these values at every evaluation, ``[S, T]``."""
    values = np.asarray(values, float)
    fields = dict.fromkeys(jaxdqn.Metrics.__dataclass_fields__)
    steps = np.broadcast_to(np.arange(1, values.shape[1] + 1) * 100, values.shape)
    metrics = jaxdqn.Metrics(**{**fields, "env_steps": steps, measure: values})
    return Contender(name, metrics, seeds or range(len(values)), 2.0)


NOISE = np.random.default_rng(0).normal(size=(20, 5))


def test_scores_are_one_number_per_seed():
    rows = [[1.0, 2.0, 6.0], [np.nan, 4.0, 2.0]]
    one = contender("a", rows)
    np.testing.assert_allclose(comparison.scores(one, "eval_return", "mean"), [3.0, 3.0])
    np.testing.assert_allclose(comparison.scores(one, "eval_return", "final"), [6.0, 2.0])


def against(first, other, measure, score):
    x, y = (comparison.scores(one, measure, score) for one in (other, first))
    both = comparison.by_seed([first, other], [y, x])
    return comparison.judge(first, other, measure, x, y, both)


def test_a_clear_difference_is_established_and_an_absent_one_is_not():
    a, b = contender("a", NOISE), contender("b", NOISE + 1.0)
    clear = against(a, b, "eval_return", "mean")
    assert clear.established
    assert float(clear.difference.mean) == pytest.approx(1.0, abs=1e-5)
    assert float(clear.improvement.value) > 0.9
    other = contender("c", np.random.default_rng(1).normal(size=(20, 5)))
    unclear = against(a, other, "eval_return", "mean")
    assert not unclear.established
    assert unclear.seeds_needed > 20


def test_what_is_not_alike_beside_the_settings_is_said():
    one = contender("a", NOISE)._replace(config=small())
    same = one._replace(name="b", config=small(learning_rate=0.5))
    assert comparison_notes.unlike([one, same]) == []
    slippery = same._replace(name="c", config=small(env_params={"slip": 0.5}))
    short = same._replace(name="d", metrics=jax.tree.map(lambda x: x[:, :2], same.metrics))
    elsewhere = same._replace(name="e", config=jaxdqn.Config(env="CartPole-v1"))
    found = comparison_notes.unlike([one, same, slippery, short, elsewhere])
    assert found == [
        "env of e is not that of a: scores are of other tasks",
        "env_kwargs of e is not that of a: scores are of other tasks",
        "env_params of c, e is not that of a: scores are of other tasks",
        "d trained for 200 steps, a for 500: their means along training differ by that, too",
    ]


def test_seeds_of_one_setting_in_several_folders_are_told_how_to_be_joined():
    def run(name, seeds, **changes):
        one = contender(name, NOISE[: len(seeds)], seeds=seeds)
        return one._replace(config=small(**changes))

    one = run("tr_0", [0])
    assert comparison_notes.repeated([one, run("same", [0]), run("other", [1], discount=0.5)]) == []
    assert comparison_notes.repeated([one, contender("unknown", NOISE[:1], seeds=[1])]) == []
    (said,) = comparison_notes.repeated([one, run("tr_1", [1])])
    assert said.startswith("tr_1 has the settings of tr_0 with other seeds: ")
    assert said.endswith(": to join them, train by jaxdqn sweep with one --out")
    (said,) = comparison_notes.repeated([one, run("tr_1", [1]), run("tr_2", [2, 3])])
    assert said.startswith("tr_1, tr_2 have the settings of tr_0 with other seeds: ")


def test_a_score_by_seconds_is_the_area_under_what_each_evaluation_found():
    """From the first evaluation's time back to 0 it is what that one found, as in plain Python."""
    one = contender("a", [[1.0, 2.0, 6.0], [np.nan, 4.0, 2.0]])
    one = one._replace(along=np.array([1.0, 3.0, 4.0]))
    found = comparison.scores_by_seconds(one, "eval_return", 4.0)
    np.testing.assert_allclose(found, [(3 * 1.0 + 1 * 2.0) / 4, 4.0])
    np.testing.assert_allclose(
        comparison.scores_by_seconds(one, "eval_return", 3.5), [(3 * 1.0 + 0.5 * 2.0) / 3.5, 4.0]
    )
    odd = contender("b", [[1.0, 2.0, np.inf]])._replace(along=one.along)
    assert comparison.scores_by_seconds(odd, "eval_return", 2.5) == 1.0, "as long as it is finite"


def test_after_equal_time_the_quicker_of_two_that_learn_alike_is_better():
    rises = np.arange(5.0) + NOISE / 100
    slow = contender("slow", rises)._replace(along=np.arange(1.0, 6.0))
    quick = slow._replace(name="quick", along=np.arange(1.0, 6.0) / 2)
    found = comparison.report([slow, quick], "eval_return", "mean")["quick"]
    assert not found["established"]
    assert found["by_seconds"]["until"] == 2.5
    assert "established" not in found["by_seconds"], "they were timed once"
    assert found["by_seconds"]["difference"][1] > 0.5
    read = comparison.report([slow, quick._replace(along=None)], "eval_return", "mean")
    assert not any("by_seconds" in entry for entry in read.values())


def test_less_regret_is_an_improvement():
    a, b = contender("a", NOISE + 9, "regret"), contender("b", NOISE + 3, "regret")
    verdict = against(a, b, "regret", "mean")
    assert float(verdict.improvement.value) == 1.0
    assert float(verdict.difference.mean) == pytest.approx(-6.0, abs=1e-4)


def test_the_best_bias_is_none():
    """Not the most negative one; the difference keeps its sign."""
    a, b = contender("a", NOISE / 9 - 5, "q_bias"), contender("b", NOISE / 9 + 0.5, "q_bias")
    verdict = against(a, b, "q_bias", "mean")
    assert float(verdict.improvement.value) == 1.0
    assert float(verdict.difference.mean) == pytest.approx(5.5, abs=1e-4)


def test_how_long_episodes_are_says_nothing_outside_a_maze():
    a = contender("a", NOISE, "eval_length")
    with pytest.raises(ConfigError, match=r"measure \('eval_length'\).* use 'eval_return'"):
        comparison.scores(a, "eval_length", "mean")
    walked = a._replace(metrics=a.metrics.replace(success=NOISE))
    assert len(comparison.scores(walked, "eval_length", "mean")) == 20


def test_shared_seeds_are_paired_and_others_are_not():
    """What seeds have in common cancels only where they are the same seeds."""
    common = 10 * np.random.default_rng(2).normal(size=(20, 1))
    a, b = contender("a", common + NOISE), contender("b", common + NOISE + 0.5)
    other_seeds = b._replace(seeds=range(20, 40))
    assert against(a, b, "eval_return", "mean").established
    assert not against(a, other_seeds, "eval_return", "mean").established


def test_seeds_that_only_some_share_are_paired_where_that_keeps_most(capsys, tmp_path):
    common = 10 * np.random.default_rng(2).normal(size=(20, 1))
    a, b = contender("a", common + NOISE), contender("b", common[:9] + NOISE[:9] + 0.5)
    assert against(a, b, "eval_return", "mean").established, "all nine of b are a's, too"
    few = b._replace(seeds=range(17, 26))
    assert not against(a, few, "eval_return", "mean").matched.paired, "three of nine are"
    found = comparison.report([a, b, few._replace(name="c")], "eval_return", "mean")
    assert (found["b"]["test"], found["b"]["compared"]) == ("paired (Student)", [9])
    assert (found["c"]["test"], found["c"]["compared"]) == ("independent (Welch)", [9, 20])
    assert (found["c"]["shared_seeds"], found["c"]["confidence"]) == ([17, 18, 19], 0.975)
    comparison_console.report(found, "eval_return", "mean", tmp_path)
    said = capsys.readouterr().out
    assert (
        "means are compared b in pairs of the 9 seeds that both have, 0 to 8 (Student); c as of "
        "independent seeds (Welch), though 17, 18, 19 are shared; intervals of 97.5 % each, so "
        "that all 2 hold at once with 95 % (Bonferroni)"
    ) in said
    assert "seeds │" in said or "seeds ┃" in said


def test_of_what_is_not_finite_it_is_said_that_nothing_can_be(capsys, tmp_path):
    odd = NOISE.copy()
    odd[:2], odd[3] = np.inf, np.nan
    contenders = [contender("a", NOISE, "q_error"), contender("b", odd, "q_error")]
    for first, other in (contenders, contenders[::-1]):
        found = comparison.report([first, other], "q_error", "mean")
        assert not found[other.name]["established"]
        comparison_console.report(found, "q_error", "mean", tmp_path)
        said = capsys.readouterr().out
        assert "means: not finite in 2 of 19 seeds of b, so that nothing can be said" in said
        assert "19 of 20" in said, "of how many the table is"
        assert "nan [" not in said
    plots.compare(contenders, "q_error", "mean").savefig(io.BytesIO())


def test_more_seeds_are_asked_for_than_there_are(capsys, tmp_path):
    """Of three pairs that are alike six would establish it; of any, at least one more."""
    a, b = contender("a", np.ones((3, 2))), contender("b", np.ones((3, 2)) + 1)
    comparison_console.report(comparison.report([a, b], "eval_return", "mean"), "r", "m", tmp_path)
    assert "not established with 3 seeds; about 6 would be needed" in capsys.readouterr().out
    for seed in range(50):
        x, y = np.random.default_rng(seed).normal([[5.0], [0.0]], size=(2, 2))
        one, other = (contender(name, z[:, None]) for name, z in (("x", x), ("y", y)))
        verdict = against(other, one._replace(seeds=range(9, 11)), "eval_return", "mean")
        assert verdict.established or verdict.seeds_needed > 2


def test_the_console_says_how_many_seeds_it_would_take(capsys, tmp_path):
    a, b = contender("a", NOISE), contender("b", np.random.default_rng(1).normal(size=(20, 5)))
    found = comparison.report([a, b], "eval_return", "mean")
    comparison_console.report(found, "eval_return", "mean", tmp_path)
    out = capsys.readouterr().out
    assert "not established with 20 seeds; about" in out
    assert "than first)" in out
    assert "means are compared in pairs of the same seed (Student); intervals of 95 %" in out
    found = comparison.report([a, a._replace(name="b")], "eval_return", "mean")
    comparison_console.report(found, "eval_return", "mean", tmp_path)
    assert "no difference was seen" in capsys.readouterr().out


def test_settings_of_one_sweep_are_named_without_it(capsys, tmp_path):
    names = ("my run discount 0.9", "my run discount 0.5", "my run discount 0.1")
    found = comparison.report([contender(name, NOISE) for name in names], "eval_return", "mean")
    comparison_console.report(found, "eval_return", "mean", tmp_path, sweep="my run")
    out = capsys.readouterr().out
    assert "eval_return, mean of each seed, in my run" in out
    assert "\ndiscount 0.1 - discount 0.9, means: " in out
    assert out.count("my run") == 1
    comparison_console.report(found, "eval_return", "mean", tmp_path)
    assert "\nmy run discount 0.5 - my run discount 0.9, means: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.toml"], ["settings (a) must be two or more"]),
        (["a.toml", "a.toml"], ["two of the name 'a'"]),
        (["a.toml", "b.toml", "--seeds", "1"], ["seeds (1) must be 2 or more"]),
        (["a.toml", "absent.toml"], ["'absent.toml' can't be read"]),
        (["a.toml", "tests"], ["'tests/config.toml' can't be read"]),
        (["a.toml", "b.toml", "--scale", "0"], ["scale (0.0) must be a number above 0"]),
        (["a.toml", "b.toml", "--total_steps", "64"], ["total_steps (64) leaves nothing"]),
        (["--discount", "0.5", "a.toml", "b.toml"],
         ["discount (0.5, a.toml, b.toml) must have one value", "name settings before options"]),
        (["a.toml", "b.toml", "--discount", "0.1:0.9"], ["discount (0.1:0.9) must have one value"]),
        (["a.toml", "b.toml", "--blocks", "3"], ["blocks (3) belongs to network 'residual'"]),
        (["a.toml", "b.toml", "--lr", "3"], ["'lr' is not known: did you mean 'learning_rate'?"]),
        (["a.toml", "b.toml", "--measure", "sucess"],
         ["measure 'sucess' is not known in a", "did you mean 'success'?"]),
    ],
)  # fmt: skip
def test_wrong_comparisons_are_refused_before_anything_is_trained(
    arguments, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(to_toml(small()))
    with pytest.raises(ConfigError) as refusal:
        compare.main(arguments)
    for word in words:
        assert word in str(refusal.value)
    assert not (tmp_path / "runs").exists()


def test_a_measure_that_only_some_methods_have_is_refused(tmp_path):
    for method in ("dqn", "ppo"):
        (tmp_path / f"{method}.toml").write_text(to_toml(small(method=method)))
    paths = [str(tmp_path / f"{method}.toml") for method in ("dqn", "ppo")]
    with pytest.raises(ConfigError, match="measure 'q_error' is not known in ppo: did you mean"):
        compare.main([*paths, "--measure", "q_error"])


def test_options_change_all_settings_that_are_trained_as_they_change_one(tmp_path):
    paths = [str(tmp_path / f"{method}.toml") for method in ("dqn", "ppo")]
    for path, method in zip(paths, ("dqn", "ppo"), strict=True):
        Path(path).write_text(to_toml(small(method=method, total_steps=4_000)))
    options = ["--scale", "0.5", "--discount", "0.5", "--env_params.slip", "0.2"]
    _, configs = compare.parse([*paths, *options])
    assert [str(path) for path in configs] == paths
    for path, config in configs.items():
        assert config == train.parse([str(path), *options]).settings
        assert (config.total_steps, config.discount, config.env_params["slip"]) == (2_000, 0.5, 0.2)


@pytest.mark.slow
def test_the_benchmark_compares_methods_on_the_same_maze_with_the_same_seeds(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(devices, "usable_cores", lambda: len(jax.devices()))
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    options = ["--quick", "--seeds", "2", "--tasks", "slippery", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks/methods.py", *options])
    runpy.run_path(str(ROOT / "benchmarks" / "methods.py"), run_name="__main__")
    said = capsys.readouterr().out
    for other in ("PQN", "PPO"):
        assert f"{other} - Double DQN, means: " in said
        assert f"{other} - Double DQN, means along the first " in said
    found = json.loads((tmp_path / "methods.json").read_text())
    (task,) = found["tasks"]
    assert found["seeds"] == 2
    assert list(task["methods"]) == ["Double DQN", "PQN", "PPO"]
    for entry in task["methods"].values():
        along = entry["by_seconds"]["along"]
        assert len(along) == len(entry["steps"]) == len(entry["curve"]["value"]) == 2
        assert 0 < along[0] < along[1] < entry["seconds"], "compilation isn't learning"
    with Image.open(tmp_path / "methods.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


LINE = ["compare", "double.toml", "single.toml"]
LINE += ["--seeds", "3", "--measure", "q_bias", "--out", "both"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two settings, compared by a command that is stopped in the second one and given again."""
    folder, real, rows, said = tmp_path_factory.mktemp("work"), SweepProgress.show, [], []
    for name, double in (("double", True), ("single", False)):
        (folder / f"{name}.toml").write_text(to_toml(small(double=double)))

    def stopped_in_the_second(progress, moment):
        rows.append((moment.chunk.config.double, moment.row is not None))
        if rows.count((False, True)) == 2 and rows[-1][1]:
            signal.raise_signal(signal.SIGTERM)
        return real(progress, moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepProgress, "show", stopped_in_the_second)
        for _ in range(2):
            said.append(run_here(*LINE, cwd=folder))
            others = run_here(*LINE, "--scale", 2, cwd=folder)
            assert others[0] == 1
            said.append(others[2])
    return folder, rows, said


def test_a_comparison_that_was_stopped_goes_on_with_what_is_missing(compared):
    folder, rows, [stopped, of_stopped, ended, of_ended] = compared
    assert (stopped[0], stopped[2]) == (
        130,
        "interrupted: finishing this compilation or evaluation, then saving; once more stops "
        "without saving …\njaxdqn: interrupted; what was saved is kept.\n",
    )
    assert stopped[1].endswith(
        "\nstopped after 1 of 2 settings and a part of the next; go on with: the same command and "
        "--out both\n"
    )
    assert of_stopped == (
        "jaxdqn: out ('both') holds 'double' with other settings or seeds: choose another folder.\n"
    )
    assert ended[0] == 0, ended[2]
    evaluations = small().evaluations
    assert [rows.count((double, True)) for double in (True, False)] == [evaluations] * 2
    assert rows.count((False, False)) == 2, "each command begins with a pause after compiling"
    assert "out ('both') exists already and is not overwritten" in of_ended
    content = json.loads((folder / "both" / "comparison.json").read_text())["settings"]
    assert content["double"]["by_seconds"]["until"] > 0, "its seconds are kept, too"
    for name in ("double", "single"):
        along = content[name]["by_seconds"]["along"]
        assert len(along) == evaluations
        assert np.all(np.diff(along, prepend=0) > 0)
        assert content[name]["seconds"] > along[-1], "of both commands, compilation included"
    assert not (folder / "both" / "under_way").exists()


def test_what_was_stopped_and_carried_on_is_what_never_stopped(compared):
    folder, _, _ = compared
    whole = jaxdqn.sweep(small(double=False), seeds=3, say=None).metrics
    with np.load(folder / "both" / "single.npz") as carried_on:
        for name, expected in to_arrays(whole).items():
            np.testing.assert_array_equal(carried_on[name], expected, err_msg=name)


def test_seconds_of_agents_that_were_not_saved_are_taken_anew(tmp_path, monkeypatch):
    ticks = SimpleNamespace(perf_counter=itertools.count().__next__)
    monkeypatch.setattr(comparison_folder, "time", ticks)

    def clock_after(*taken):
        clock = comparison_folder.Clock(tmp_path)
        for seeds, steps, seconds in taken:
            row = None if steps is None else SimpleNamespace(env_steps=np.full(len(seeds), steps))
            clock.take(Moment(None, SimpleNamespace(seeds=seeds), 0, 1, 1, row, seconds))
        return clock.along(2).tolist(), clock.seconds

    first = clock_after(([0, 1, 2], None, 0.0), ([0, 1, 2], 8, 1.0), ([0, 1, 2], 16, 2.0))
    assert first[0] == [1.0, 2.0]
    halves = clock_after(
        ([0, 1], None, 0.0), ([0, 1], 8, 0.5), ([0, 1], 16, 1.0), ([2], None, 0.0), ([2], 8, 0.25),
        ([2], 16, 0.5),
    )  # fmt: skip
    assert halves[0] == [0.75, 1.5], "each agent's once, though cut otherwise"
    again = clock_after(([2], None, 0.25), ([2], 16, 0.75))
    assert again[0] == [0.75, 1.75], "from the last checkpoint on"
    # The last tick of each, when its seconds were asked for, is in none after it.
    assert [first[1], halves[1], again[1]] == [3, 2 + 5, 6 + 2]
    assert comparison_folder.Clock(tmp_path).along(3) is None, "not of all evaluations"


def test_files_of_settings_are_not_taken_for_a_comparison_that_was_stopped(compared):
    folder, _, _ = compared
    before = (folder / "double.toml").read_bytes()
    code, _, err = run_here(*LINE[:-1], ".", cwd=folder)
    assert (code, "out ('.') exists already and is not overwritten" in err) == (1, True)
    assert (folder / "double.toml").read_bytes() == before


def test_what_is_under_way_of_other_settings_is_not_gone_on_with(tmp_path):
    begun = tmp_path / "both" / "under_way"
    for name in ("double", "other"):
        (tmp_path / f"{name}.toml").write_text(to_toml(small(double=name == "double")))
    (begun / "single").mkdir(parents=True)
    (begun / "single" / "config.toml").write_text(to_toml(small(double=False)))
    code, _, err = run_here(*LINE[:2], "other.toml", *LINE[3:], cwd=tmp_path)
    assert (code, "out ('both') exists already and is not overwritten" in err) == (1, True)
    (begun / "single").rename(begun / "double")
    code, _, err = run_here(*LINE[:2], "other.toml", *LINE[3:], cwd=tmp_path)
    assert code == 1
    assert "out ('both') holds 'double' with other settings or seeds: choose another" in err


def test_settings_are_trained_or_read_and_leave_a_table_and_a_figure(compared):
    tmp_path, _, [_, _, (_, out, _), _] = compared
    assert "3 seeds = 3 agents" in out
    assert "single - double" in out
    assert "s of training, which was timed once: " in out
    with Image.open(tmp_path / "both" / "comparison.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10
    text = (tmp_path / "both" / "comparison.json").read_text()
    content = json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    with np.load(tmp_path / "both" / "single.npz") as trained:
        mean = trained["q_bias"].mean(axis=1)
    assert content["settings"]["single"]["iqm"] == pytest.approx(mean.mean(), rel=0.5)
    assert content["settings"]["single"]["seed_numbers"] == [0, 1, 2]
    assert content["settings"]["single"]["test"] == "paired (Student)"
    assert {"jaxlib", "jax", "numpy"} < content["versions"].keys()
    assert jaxdqn.load_config(tmp_path / "both" / "single.toml") == small(double=False)
    rows = (tmp_path / "both" / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("setting,seed,env_steps,")
    assert len(rows) == 1 + 2 * 3 * small().evaluations


def test_files_of_settings_are_told_apart_on_every_system(tmp_path):
    names, out = ["mynet:Waves", "Maze", "maze", "long " * 40], tmp_path / "both"
    paths = [tmp_path / str(place) / f"{name}.toml" for place, name in enumerate(names)]
    for place, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(to_toml(small(discount=0.5 + place / 10)))
    compare.main([*map(str, paths), "--seeds", "2", "--out", str(out)])
    settings = json.loads((out / "comparison.json").read_text())["settings"]
    assert list(settings) == names
    files = [entry["file"] for entry in settings.values()]
    assert files[:3] == ["mynet-Waves", "Maze", "maze-2"]
    assert len(files[3]) < 90
    left = {path.name for path in out.iterdir()}
    assert left == {f"{file}.{kind}" for file in files for kind in ("npz", "toml")} | {
        "comparison.json", "comparison.png", "metrics.csv"
    }  # fmt: skip
    for place, file in enumerate(files):
        assert jaxdqn.load_config(out / f"{file}.toml").discount == 0.5 + place / 10


def test_seeds_that_halted_are_said_of_settings_that_are_trained(tmp_path, capsys):
    wild = small(env_params={"step_cost": 3e38}, epsilon_steps=10_000)
    (tmp_path / "wild.toml").write_text(to_toml(wild))
    (tmp_path / "tame.toml").write_text(to_toml(small()))
    paths = [str(tmp_path / f"{name}.toml") for name in ("tame", "wild")]
    out = tmp_path / "both"
    compare.main([*paths, "--seeds", "2", "--measure", "q_error", "--out", str(out)])
    said = capsys.readouterr().out
    assert "\nwild: note: epsilon" in said
    assert "wild: loss or network of seeds 0, 1 left the finite numbers" in said
    assert json.loads((out / "comparison.json").read_text())["halted"] == {"wild": [0, 1]}


def test_a_training_that_was_stopped_is_not_called_halted():
    _, metrics = jax.vmap(jaxdqn.train, (None, 0))(small(), jax.random.split(jax.random.key(0), 2))
    for rows in range(1, small().evaluations + 1):
        assert not ranking.halted(small(), jax.tree.map(lambda x, n=rows: x[:, :n], metrics))


def drawn(contenders):
    """The figure of a comparison, drawn, and the boxes of the names beside its intervals."""
    figure = plots.compare(contenders, "regret", "mean")
    figure.savefig(io.BytesIO())
    (interval,) = (axes for axes in figure.axes if "IQM and its 95 %" in axes.get_title())
    labels = [label for label in interval.get_yticklabels() if label.get_text()]
    return figure, {label.get_text(): label.get_window_extent() for label in labels}


def many(count):
    """Settings of long names, each better than the one before it."""
    names = [f"sweep learning_rate 0.000{place:03d}, discount 0.99" for place in range(count)]
    return [
        contender(name, np.full((3, 2), float(count - place)), "regret")
        for place, name in enumerate(names)
    ]


@pytest.mark.filterwarnings("error::UserWarning")
def test_many_contenders_stand_below_each_other_best_first():
    contenders = many(24)
    figure, boxes = drawn(contenders)
    assert list(boxes) == [one.name for one in reversed(contenders)], "a small regret is good"
    for above, below in itertools.pairwise(boxes.values()):
        assert above.y0 > below.y1, "names don't touch"
    assert all(figure.bbox.contains(box.x0, box.y0) for box in boxes.values())
    assert "regret" in figure.get_suptitle()
    along = figure.axes[0]
    assert along.get_legend() is None
    colours = [line.get_color() for line in along.lines]
    assert colours[:7] == [*plots.contenders.COLOURS]
    assert {*colours[7:]} == {plots.contenders.GREY}


@pytest.mark.filterwarnings("error")
def test_contenders_of_any_number_are_drawn_inside_their_figure():
    for contenders in (many(2), many(41), [contender("a", [[np.nan] * 2] * 2, "regret")] * 2):
        figure, _ = drawn(contenders)
        shown = figure.get_tightbbox().padded(-0.02)  # inches, less what rounding leaves
        assert figure.bbox_inches.fully_contains(shown.x0, shown.y0)
        assert figure.bbox_inches.fully_contains(shown.x1, shown.y1)


def test_a_figure_says_what_is_measured_and_which_way_is_better():
    for measure, cue in (("eval_return", ""), ("regret", "less is"), ("q_bias", "best at 0")):
        figure = plots.compare([contender(n, NOISE, measure) for n in "ab"], measure, "mean")
        along, interval, profile = figure.axes
        assert profile.get_title().partition("(")[2].startswith(cue)
        assert along.get_ylabel() == measure
        for axes in (interval, profile):
            assert axes.get_xlabel() == f"{measure},\nmean along training"
        for axes in (along, profile):
            assert len({line.get_linestyle() for line in axes.lines}) == 2, (
                "also told apart in grey"
            )


def test_a_middle_of_whose_spread_nothing_is_known_is_drawn_open():
    contenders = [contender("a", NOISE, "regret"), contender("b", [[2.0] * 5] * 3, "regret")]
    interval = plots.compare(contenders, "regret", "mean").axes[1]
    (mark,) = (line for line in interval.lines if line.get_marker() == "o")
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (2.0, 2)
    assert interval.get_title().endswith("(open: spread not known)")


def test_two_contenders_keep_their_order_and_have_a_legend():
    values = {"worse": 2.0, "better": 1.0}
    figure, boxes = drawn(
        [contender(name, [[value] * 2] * 3, "regret") for name, value in values.items()]
    )
    assert list(boxes) == ["worse", "better"]
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["worse", "better"]
