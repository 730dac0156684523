"""A sweep in a folder: kept chunk by chunk, stopped, carried on, added to, to the same bits."""

import io
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LONG, ROOT, assert_same_bits, small
from rich.console import Console

import jaxdqn
from jaxdqn import ConfigError
from jaxdqn.parallel import sweeps as plans
from jaxdqn.parallel.grid import grid
from jaxdqn.runs import console, files, sweep_console, sweep_folder, sweeps
from jaxdqn.runs.sweep_console import SweepProgress
from jaxdqn.runs.sweeps import Moment

RATES = [1e-3, 1e-2]
SWEPT = {"learning_rate": RATES, "env_params": {"slip": [0.0, 0.3]}}
AGENTS = 2 * 2 * 8  # two chunks on two cores


@pytest.fixture(scope="module")
def whole() -> jaxdqn.Sweep:
    """What the sweep comes to without a folder."""
    return jaxdqn.sweep(small(), seeds=8, say=None, **SWEPT)


def run_until(out, pause, found=None, **options):
    """Train in a folder up to the ``pause``-th call of the watcher; count the agents trained."""
    calls = []

    def watch(moment):
        calls.append((moment.chunk, moment.row))
        return len(calls) == pause

    outcome = sweeps.run(found or grid(small(), 8, SWEPT), out, watch=watch, **options)
    return outcome, calls


def test_a_folder_changes_nothing_and_is_read_back_without_training(tmp_path, whole, capsys):
    said = []
    kept = jaxdqn.sweep(small(), seeds=8, out=tmp_path / "s", say=said.append, **SWEPT)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 2  best so far: learning_rate" in err, "where there is no terminal"
    assert_same_bits((kept.metrics, kept.params), (whole.metrics, whole.params))
    assert "2 times one after the other" in said[0]
    assert said[1].startswith("best of 4 by eval_return (mean along training): learning_rate ")
    assert said[1].endswith(f"; everything is in {tmp_path / 's'}")
    for name in ("metrics.npz", "settings.csv", "summary.json", "ranking.png", "heat_map.png"):
        assert (tmp_path / "s" / name).exists(), "as the command leaves it"
    assert len(list((tmp_path / "s" / "chunks").iterdir())) == 2
    assert not (tmp_path / "s" / "under_way").exists()
    assert repr(kept) == (
        "Sweep(axes {learning_rate: 2, env_params.slip: 2, seed: 8}, metrics (2, 2, 8, 4), "
        "params of 1 pytree)"
    )
    again, calls = run_until(tmp_path / "s", None, say=said.append)
    assert not calls
    assert_same_bits((again.results.sweep().metrics), whole.metrics)
    assert said[2].endswith("all are trained already")


def test_a_person_sees_how_far_a_sweep_from_python_has_come(whole, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console, "_ERRORS", Console(file=screen, force_terminal=True, width=200))
    seen = jaxdqn.sweep(small(), seeds=8, say=lambda _: None, **SWEPT)
    assert_same_bits(seen.metrics, whole.metrics)
    for words in ("training", "the first chunk took", "chunk 2 of 2", "best so far: learning_rate"):
        assert words in screen.getvalue()
    before = screen.getvalue()
    jaxdqn.sweep(small(), seeds=8, say=None, **SWEPT)
    assert screen.getvalue() == before, "silence is silence"


def test_compiling_the_second_chunk_is_no_time_of_the_first(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(sweep_console, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(SweepProgress, "_say_best", lambda *_: None)
    chunk = SimpleNamespace(config=SimpleNamespace(schedule=SimpleNamespace(evaluations=1)))
    progress = SweepProgress("eval_return", "mean", holds=False)
    for seconds, done, row in ((10, 0, None), (12, 0, "row"), (22, 1, None)):
        now[0] = float(seconds)
        progress.show(Moment(None, chunk, done, 2, 2, row, 0.0))
    said = capsys.readouterr().out
    assert "compiled and warmed up in 10.0 s" in said
    assert "the first chunk took 2.0 s: all 2 of them take about 24.0 s" in said


def test_ctrl_c_in_python_keeps_what_was_learned_and_then_interrupts(tmp_path, monkeypatch, capsys):
    real, said = SweepProgress.show, []

    def interrupted(self, moment):
        signal.raise_signal(signal.SIGINT)
        return real(self, moment)

    monkeypatch.setattr(SweepProgress, "show", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jaxdqn.sweep(small(), seeds=8, out=tmp_path, say=said.append, **SWEPT)
    assert said[-1] == f"stopped after 0 of 32 agents; go on with: jaxdqn resume {tmp_path}"
    assert "interrupted: finishing this compilation or evaluation" in capsys.readouterr().err
    assert len(list((tmp_path / "under_way").iterdir())) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("pause", "chunks", "under_way"), [(1, 0, 1), (4, 0, 1), (6, 1, 1), (7, 1, 1)]
)
def test_wherever_it_is_stopped_it_goes_on_to_the_same_bits(
    tmp_path, whole, pause, chunks, under_way
):
    outcome, _ = run_until(tmp_path, pause)
    assert not outcome.finished
    assert len(list((tmp_path / "chunks").iterdir())) == chunks
    assert len(list((tmp_path / "under_way").iterdir())) == under_way
    outcome, calls = run_until(tmp_path, None)
    assert outcome.finished
    rows = sum(row is not None for _, row in calls)
    assert rows == 2 * small().evaluations - (pause - 1 - (pause > 5)), "nothing is learned twice"
    resumed = outcome.results.sweep()
    assert_same_bits((resumed.metrics, resumed.params), (whole.metrics, whole.params))


def test_only_what_is_missing_is_trained_when_values_and_seeds_are_added(tmp_path, whole):
    narrow = {"learning_rate": RATES[1:], "env_params": {"slip": [0.0, 0.3]}}
    run_until(tmp_path, None, grid(small(), [6, 1, 3], narrow))
    said = []
    wide, _ = run_until(tmp_path, None, say=said.append)
    assert f"{AGENTS} agents, {AGENTS - 6} of them still to be trained" in said[0]
    assert_same_bits(wide.results.sweep().metrics, whole.metrics)


def test_a_chunk_under_way_is_saved_at_the_evaluations_that_are_due(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(sweep_folder.SweepFolder, "save", lambda *what: saved.append(what))
    run_until(tmp_path / "always", None, save_every=0)
    assert len(saved) == 2 * small().evaluations, "after compiling, and at all ends but the last"
    run_until(tmp_path / "rarely", None, save_every=1e9)
    assert len(saved) == 2 * small().evaluations


def test_a_full_disk_ends_in_one_sentence_with_what_was_finished_kept(tmp_path, monkeypatch):
    real, calls = np.savez, []

    def full(file, **arrays):
        calls.append(file)
        if len(calls) == 2:
            file.write(b"half of")
            raise OSError(28, "No space left on device")
        return real(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(ConfigError, match=r"^chunk '.*' can't be written \(no space left") as e:
            run_until(tmp_path, None)
    assert "\n" not in str(e.value)
    assert [path.suffix for path in (tmp_path / "chunks").iterdir()] == [".npz"]
    outcome, calls = run_until(tmp_path, None)
    assert (outcome.finished, outcome.chunks) == (True, 1)


def test_a_sweep_that_is_stopped_and_finds_no_room_does_not_say_that_it_goes_on(
    tmp_path, monkeypatch, capsys
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ConfigError, match=r"can't be written \(no space left on device\): make"):
        run_until(tmp_path, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "spoil", ["cut", "other format", "no seeds", "names", "foreign folder", "unwritable"]
)
def test_folders_that_make_no_sense_are_refused_in_one_sentence(tmp_path, spoil):
    out, words = tmp_path / "s", ""
    if spoil in ("cut", "other format", "no seeds", "names"):
        run_until(out, None, grid(small(), 1, {}))
        (path,) = (out / "chunks").iterdir()
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-30])
        words = r"chunk '.*' is damaged .*: use another copy, or train again"
    elif spoil == "other format":
        about, arrays = files.read_arrays(path, "chunk")
        files.write_arrays(path, {**about, "format": 7}, arrays, "chunk")
        words = r"has format 7, and this reads format 1: go on with the jaxdqn that wrote it"
    elif spoil in ("no seeds", "names"):
        said = json.loads((out / "sweep.json").read_text())
        seeds = [] if spoil == "no seeds" else ["first"]
        (out / "sweep.json").write_text(json.dumps({**said, "seeds": seeds}))
        words = r"sweep '.*sweep.json' is damaged \(seeds \(.*numbers from 0 to .*\): use another"
    elif spoil == "foreign folder":
        out.mkdir()
        (out / "thesis.tex").touch()
        words = r"out \('.*'\) exists already and is no sweep's: choose another folder"
    else:
        out = "/proc/no/sweep"
        words = r"out \('/proc/no/sweep'\) can't be written \(.*\): choose another folder"
    with pytest.raises(ConfigError, match=words) as refusal:
        jaxdqn.sweep(small(), seeds=1, out=out, say=None)
    assert "\n" not in str(refusal.value)


def test_a_sweep_that_shares_no_setting_with_a_folder_leaves_it_as_it_is(tmp_path):
    one, other = ({"discount": values} for values in ([0.5, 0.9], [0.6]))
    jaxdqn.sweep(small(), seeds=1, out=tmp_path, say=None, **one)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"none of these settings.*: choose another f") as refusal:
        jaxdqn.sweep(small(), seeds=1, out=tmp_path, say=None, **other)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ConfigError, match="none of these settings"):
        jaxdqn.sweep(small(learning_rate=0.7), seeds=1, out=tmp_path, say=None, **one)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_what_a_folder_holds_beside_what_is_asked_for_is_said(tmp_path):
    jaxdqn.sweep(small(), seeds=1, out=tmp_path, say=None, discount=[0.5, 0.9, 0.7, 0.8])
    for _ in range(2):  # as often as it is so
        said = []
        jaxdqn.sweep(small(), seeds=[1], out=tmp_path, say=said.append, discount=[0.9, 0.6])
        assert said[0].startswith(f"note: 3 settings in '{tmp_path}' not asked for now: left out")
    said = []
    every = [0.5, 0.9, 0.7, 0.8, 0.6]
    jaxdqn.sweep(small(), seeds=[1], out=tmp_path, say=said.append, discount=every)
    assert not any("note" in line for line in said)


def test_a_folder_of_one_setting_that_becomes_one_of_several_keeps_no_picture_of_the_one(tmp_path):
    jaxdqn.sweep(small(discount=0.9), seeds=1, out=tmp_path, say=None)
    assert (tmp_path / "policy.png").exists()
    (tmp_path / "evaluation.json").touch()
    jaxdqn.sweep(small(), seeds=1, out=tmp_path, say=None, discount=[0.5, 0.9])
    for name in ("policy.png", "visits.png", "greedy.gif", "evaluation.json"):
        assert not (tmp_path / name).exists(), name
    assert (tmp_path / "ranking.png").exists()
    jaxdqn.sweep(small(discount=0.9), seeds=1, out=tmp_path, say=None)
    for name in ("settings.csv", "ranking.png", "heat_map.png"):
        assert not (tmp_path / name).exists(), name


def test_chunks_cover_every_agent_once_whatever_was_begun():
    results = plans.Results(grid(small(), 8, SWEPT))
    results.done[0][5:9] = True
    begun = plans.chunk_of(results, 0, np.array([0, 31, 30]))
    rows = [row for chunk in plans.chunks(results, [begun]) for row in chunk.rows]
    assert sorted([*rows, 0, 30, 31, 5, 6, 7, 8]) == list(range(AGENTS))


_DEVICES = """
import sys, jax, numpy as np
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import jaxdqn
config = jaxdqn.load_config(sys.argv[2])
seeds = [int(seed) for seed in sys.argv[3].split(",")]
swept = jaxdqn.sweep(config, seeds, out=sys.argv[4], learning_rate=[1e-3, 1e-2])
leaves = jax.tree.leaves((swept.metrics, swept.params))
np.savez(sys.argv[5], *leaves)
"""


@pytest.mark.slow
def test_devices_and_the_order_of_seeds_change_no_bit(tmp_path):
    """Eight CPU devices stand in for GPUs; CartPole is where one agent by itself has other bits."""
    config = small(env="CartPole-v1", env_kwargs={}, env_params={})
    (tmp_path / "tiny.toml").write_text(jaxdqn.config.to_toml(config))
    found, orders = [], {1: range(8), 8: [3, 1, 0, 2, 7, 6, 5, 4]}
    if LONG:
        orders[2] = range(8)
    for count, order in orders.items():
        kept = tmp_path / f"{count}.npz"
        subprocess.run(
            [sys.executable, "-c", _DEVICES, str(count), str(tmp_path / "tiny.toml"),
             ",".join(map(str, order)), str(tmp_path / str(count)), str(kept)],
            check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        with np.load(kept) as arrays:
            found.append([_in_order(x, list(order)) for x in arrays.values()])
    for one in found[1:]:
        assert_same_bits(one, found[0])


def _in_order(leaf, order):
    # Networks are [settings · seeds, ...].
    by_seed = leaf if leaf.shape[:2] == (2, 8) else leaf.reshape(2, 8, *leaf.shape[1:])
    return by_seed[:, np.argsort(order)]
