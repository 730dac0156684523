"""A training in a run folder: kept, watched, stopped, carried on, and safe from one bad seed."""

import contextlib
import csv
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, assert_same_bits, small

import jaxdqn
from jaxdqn import ConfigError, pytrees
from jaxdqn.config import to_toml
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import seeds
from jaxdqn.runs import checkpoint, files, folder, keeper, loggers, place, session
from jaxdqn.runs.attempts import Attempts
from jaxdqn.runs.checkpoint import Checkpoint
from jaxdqn.runs.export import export_policy
from jaxdqn.runs.session import Options
from jaxdqn.runs.trained import trained

ALWAYS = Options(save_every=0)
EIGHT = range(8)


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """Eight seeds, stopped by a callback after two of four evaluations."""
    out = tmp_path_factory.mktemp("half") / "run"
    folder.create(out, small())
    seen: list = []

    def two(state, row):
        seen.append((int(state.evaluations), None if row is None else row.loss.shape))
        return len(seen) == 3

    outcome = session.train(out, small(), EIGHT, options=ALWAYS, callback=two)
    assert seen == [(0, None), (1, (8,)), (2, (8,))]
    assert outcome.metrics.loss.shape == (8, 2)
    assert outcome.saving.saved == 3
    assert outcome.saving.bytes == (out / place.CHECKPOINT).stat().st_size
    assert outcome.halted == {}
    return out


@pytest.fixture(scope="module")
def whole(half, tmp_path_factory) -> session.Outcome:
    """The same eight, carried on to the end in a folder of their own."""
    out = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(half, out)
    begin = jaxdqn.restore(out)
    outcome = session.train(out, begin.config, EIGHT, options=ALWAYS, begin=begin)
    assert (jaxdqn.restore(out).metrics.loss == outcome.metrics.loss).all()
    return outcome


def copied(half, tmp_path) -> tuple[Path, Checkpoint]:
    """Return a folder of eight seeds after two of four evaluations, and what to begin with."""
    return Path(shutil.copytree(half, tmp_path / "run")), jaxdqn.restore(half)


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


def after_one_row(action):
    def callback(_, row):
        return None if row is None else action()

    return callback


def fail() -> None:
    raise RuntimeError("a plot went wrong")


def interrupt(number: int) -> None:
    signal.raise_signal(number)
    if number == signal.SIGTERM:
        signal.raise_signal(number)  # which waits for nothing


@pytest.mark.parametrize(
    ("action", "raised"),
    [
        (fail, RuntimeError),
        (partial(interrupt, signal.SIGINT), KeyboardInterrupt),
        (partial(interrupt, signal.SIGTERM), KeyboardInterrupt),
        (lambda: np.arange(2), ConfigError),
    ],
    ids=["error", "ctrl-c", "twice", "answer"],
)
def test_whatever_ends_a_training_between_evaluations_loses_none(
    half, whole, tmp_path, action, raised
):
    out, begin = copied(half, tmp_path)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(raised):
        session.train(out, small(), EIGHT, begin=begin, callback=after_one_row(action))
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    kept = jaxdqn.restore(out)
    assert int(kept.state.evaluations) == kept.metrics.loss.shape[1] == 3
    ended = session.train(out, small(), EIGHT, begin=kept)
    assert_same_bits((ended.state, ended.metrics), (whole.state, whole.metrics))


def test_a_signal_does_afterwards_what_it_would_have_done(half, tmp_path, capsys):
    out, begin = copied(half, tmp_path)
    heard: list = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            session.train(
                out, small(), EIGHT, begin=begin,
                callback=after_one_row(lambda: signal.raise_signal(signal.SIGTERM)),
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    assert capsys.readouterr().err.startswith("interrupted: finishing this compilation or eval")
    assert folder.load(out).metrics.loss.shape == (8, 3)


def test_in_a_thread_a_training_is_kept_too(half, whole, tmp_path):
    out, begin = copied(half, tmp_path)
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(session.train, out, small(), EIGHT, begin=begin).result()
    assert_same_bits(ended.metrics, whole.metrics)


def test_a_disk_that_is_full_at_an_error_does_not_hide_it(half, tmp_path, monkeypatch):
    out, begin = copied(half, tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def failing():
        monkeypatch.setattr(np, "savez", full)
        fail()

    with pytest.raises(RuntimeError, match="a plot went wrong") as told:
        session.train(out, small(), EIGHT, begin=begin, callback=after_one_row(failing))
    assert "can't be written (no space left on device)" in told.value.__notes__[0]
    assert int(jaxdqn.restore(out).state.evaluations) == 2


def test_a_finished_training_goes_on_to_a_later_end(half, whole, tmp_path):
    out, begin = copied(half, tmp_path)
    longer = session.extended(begin, np.int64(225))
    assert longer == small(total_steps=64 + 5 * 40, evaluations=5)
    assert longer == session.extended(begin, jnp.int32(225))
    outcome = session.train(out, longer, EIGHT, begin=begin)
    assert outcome.metrics.loss.shape == (8, 5)
    assert_same_bits(jax.tree.map(lambda x: x[:, :4], outcome.metrics), whole.metrics)
    assert jaxdqn.restore(out).config == jaxdqn.load_config(out / "config.toml") == longer
    with pytest.raises(ConfigError, match=r"total_steps \(100\) is less than the 264 steps tr"):
        session.extended(jaxdqn.restore(out), 100)
    for wrong in (225.0, "225", True):
        with pytest.raises(ConfigError, match=r"total_steps \(.*\) must be a whole number: change"):
            session.extended(begin, wrong)


def test_a_checkpoint_begins_as_many_trainings_as_one_likes(half, tmp_path):
    """Of one seed, whose arrays needn't be spread over devices, and so not be copied."""
    out, begin = copied(half, tmp_path)
    first = pytrees.map_agents(lambda x: x[:1], lambda x: x, begin.state)
    checkpoint.save(out, first, small(), seeds=range(1))
    begin = jaxdqn.restore(out)
    ends = [session.train(out, small(), range(1), begin=begin).state for _ in range(2)]
    assert_same_bits(*ends)


def test_a_training_leaves_results_that_are_read_back(half, whole):
    run = folder.load(half)
    assert (run.seeds, run.config) == (EIGHT, small())
    assert_same_bits(run.metrics, jax.tree.map(lambda x: x[:, :2], whole.metrics))
    assert_same_bits(run.params, jaxdqn.restore(half).state.agent.params)
    assert json.loads((half / "summary.json").read_text())["checkpoint"]["saved"] == 3


def test_a_folder_without_results_names_what_leaves_them(half, tmp_path):
    out, _ = copied(half, tmp_path)
    (out / "summary.json").unlink()
    with pytest.raises(ConfigError, match=r"has no summary.json: finish it with jaxdqn resume /"):
        folder.load(out)
    (out / folder.GRID).touch()
    with pytest.raises(ConfigError, match=r"read a sweep's networks with jaxdqn.*trained\('/"):
        folder.load(out)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"numbers": range(0)}, r"numbers \(range\(0, 0\)\) must be a range of seeds in a row"),
        ({"numbers": range(-1, 7)}, r"numbers \(range\(-1, 7\)\) must be a range .* range\(4"),
        ({"numbers": range(0, 16, 2)}, r"numbers \(.*\) must be a range of seeds in a row"),
        ({"numbers": 8}, r"numbers \(8\) must be a range of seeds in a row"),
        ({"numbers": range(3)}, r"numbers \(range\(0, 3\)\) are not .* write range\(0, 8\)"),
        ({"numbers": range(1, 9)}, r"numbers \(range\(1, 9\)\) are not the seeds of begin"),
        ({"begin": "r1"}, r"begin \('r1'\) must be a Checkpoint: .*=jaxdqn.restore\('r1'\)"),
        ({"begin": 3}, r"begin \(3\) must be a Checkpoint: write begin=jaxdqn.restore\(out\)"),
        ({"begin": None}, r"out \('.*'\) holds a checkpoint.*begin=jaxdqn.restore\('/.*run'\), or"),
        ({"config": small(total_steps=400)}, r"total_steps \(400\) with evaluations \(4\) is not "
         r"the schedule of begin, which made 2 evaluations in 144 steps: .*session.extended\(beg"),
        ({"config": small(total_steps=64 + 40, evaluations=1)}, r"is not the schedule of begin"),
        ({"config": None}, r"config \(None\) must be a Config"),
        ({"config": small(learning_rate=np.ones(8))}, r"learning_rate \(.*\) is a sweep"),
        ({"config": small(widths=(8,))}, r"state.agent.* is not what these settings make"),
        ({"options": {"save_every": 0}}, r"options \({.*}\) must be Options: write session.Opt"),
        ({"options": Options(on_nonfinite="bogus")}, r"on_nonfinite = 'bogus' is not known: u"),
        ({"options": Options(save_every="a")}, r"save_every \('a'\) must be 0 or more"),
        ({"callback": 3}, r"callback \(3\) must be a function of states and a row of metrics"),
        ({"callback": lambda *_: 12}, r"callback returned 12: return True to stop .* False to go"),
        ({"callback": lambda *_: "no"}, r"callback returned 'no': return True"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_or_kept_is_one_clear_error(half, tmp_path, given, words):
    out, begin = copied(half, tmp_path)
    before = (out / place.CHECKPOINT).read_bytes()
    given = {"config": small(), "numbers": EIGHT, "begin": begin, **given}
    with pytest.raises(ConfigError, match=words):
        session.train(out, **given)
    if "callback" not in given:
        assert (out / place.CHECKPOINT).read_bytes() == before
    assert jaxdqn.restore(out).config == small()


@pytest.mark.parametrize("true", [True, np.True_, np.array(True), jnp.array(True)])
def test_any_truth_stops_a_training(half, tmp_path, true):
    out, begin = copied(half, tmp_path)
    outcome = session.train(out, small(), EIGHT, begin=begin, callback=lambda *_: true)
    assert int(outcome.state.evaluations) == 2


def planted(begin: Checkpoint, seed: int) -> Checkpoint:
    params = jax.tree.map(
        lambda x: np.where(np.arange(8).reshape(8, *[1] * (x.ndim - 1)) == seed, np.nan, x),
        begin.state.agent.params,
    )
    agent = begin.state.agent.replace(params=params)
    return begin._replace(state=begin.state.replace(agent=agent))


def test_a_session_carried_on_equals_one_that_never_stopped(whole):
    reached = None
    rows = []
    for state, row in seeds.train_in_periods(small(), EIGHT):
        reached = state
        rows += [] if row is None else [row]
    assert_same_bits((whole.state, whole.metrics), (reached, concatenate(rows)))


def test_nan_in_one_seed_leaves_the_other_seven_as_they_would_have_been(
    half, whole, tmp_path, capsys
):
    shutil.copytree(half, tmp_path / "run")
    begin = planted(jaxdqn.restore(half), 3)
    outcome = session.train(tmp_path / "run", small(), EIGHT, options=ALWAYS, begin=begin)
    others = np.array([i for i in EIGHT if i != 3])
    for part in ("agent", "env_state", "obs"):
        assert_same_bits(
            *(jax.tree.map(lambda x: np.asarray(x)[others], getattr(one.state, part))
              for one in (outcome, whole))
        )  # fmt: skip
    assert_same_bits(*(jax.tree.map(lambda x: x[others], one.metrics) for one in (outcome, whole)))
    assert outcome.halted == {3: 20}
    assert np.isnan(outcome.metrics.loss[3, 2:]).all()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "seed 3 (at update 21)" in said
    assert "7 seeds go on" in said
    assert int(jaxdqn.restore(tmp_path / "run" / keeper.LAST_GOOD).state.evaluations) == 2


def test_several_seeds_that_halt_at_once_are_spoken_of_as_several(half, tmp_path, capsys):
    shutil.copytree(half, tmp_path / "run")
    begin = planted(planted(jaxdqn.restore(half), 3), 4)
    session.train(tmp_path / "run", small(), EIGHT, options=ALWAYS, begin=begin)
    said = capsys.readouterr().err
    assert (
        "seed 3 (at update 21) and seed 4 (at update 21) left the finite numbers: they le" in said
    )
    assert "they learn no more and keep their last finite networks; 6 seeds go on" in said


def test_nan_in_one_seed_stops_the_run_by_option_and_keeps_the_last_checkpoint(half, tmp_path):
    shutil.copytree(half, tmp_path / "run")
    begin = planted(jaxdqn.restore(half), 5)
    with pytest.raises(ConfigError, match=r"seed 5 \(at update 21\).*so the run stops.*lower"):
        session.train(
            tmp_path / "run", small(), EIGHT, begin=begin, options=Options(on_nonfinite="run")
        )
    kept = jaxdqn.restore(tmp_path / "run")
    assert int(kept.state.evaluations) == 2


def test_learning_halts_at_the_update_that_would_leave_the_finite_numbers():
    """Half the square of a temporal-difference error of 1e25 overflows."""
    rewards = {"max_steps_in_episode": 20, "goal_reward": 1e25}
    config = small(loss="squared", env_params=rewards)
    state, metrics = jaxdqn.train(config, jax.random.key(0))
    assert bool(state.agent.halted)
    assert int(state.agent.updates) < 40
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(state.agent.params))
    finite_rows = int(state.agent.updates) // 10
    assert jnp.isfinite(metrics.loss[:finite_rows]).all()
    assert jnp.isnan(metrics.loss[finite_rows:]).all()
    again, _ = jaxdqn.run(config, state, 1)
    assert_same_bits(again.agent.replace(opt_state=()), state.agent.replace(opt_state=()))


@pytest.mark.parametrize("goal_reward", [1e-30, 1.0, 1e15, 1e30])
def test_within_the_bounds_of_the_settings_weights_stay_finite(goal_reward):
    """So that finite losses and gradients are all that an update has to look at."""
    config = small(
        loss="squared",
        env_params={"max_steps_in_episode": 20, "goal_reward": goal_reward},
        learning_rate=1e3,
        learning_rate_end_factor=1e3,
        adam_epsilon=1e-20,
        max_grad_norm=float("inf"),
        total_steps=64 + 4 * 400,
    )
    state, _ = jaxdqn.train(config, jax.random.key(0))
    weights = (state.agent.params, state.agent.target_params)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(weights))


def test_the_table_has_one_line_per_evaluation_and_seed(half, whole):
    lines = rows_of(half / "metrics.csv")
    assert lines[0][:4] == ["seed", "env_steps", "updates", "epsilon"]
    assert len(lines) == 1 + 2 * 8
    assert [int(line[0]) for line in lines[1:]] == [*EIGHT, *EIGHT]
    column = lines[0].index("loss")
    values = np.array([float(line[column]) for line in lines[1:]], np.float32).reshape(2, 8).T
    np.testing.assert_array_equal(values, whole.metrics.loss[:, :2])


def test_the_table_forgets_what_the_checkpoint_does_not_know(tmp_path, whole):
    path = tmp_path / "metrics.csv"
    path.write_text("seed,nonsense\n1,2\n3,")
    first = jax.tree.map(lambda x: x[:, :1], whole.metrics)
    with loggers.table(path, EIGHT, first) as log:
        log(jax.tree.map(lambda x: x[:, 1], whole.metrics))
    assert len(rows_of(path)) == 1 + 2 * 8
    assert os.listdir(tmp_path) == ["metrics.csv"]


@contextlib.contextmanager
def full_from(size: int):
    """Give no file room for more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rows_that_found_no_room_are_written_once_there_is_some(whole, tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [jax.tree.map(lambda x, t=t: x[:, t], whole.metrics) for t in range(4)]
    first = jax.tree.map(lambda x: x[:, :1], whole.metrics)
    with loggers.table(path, EIGHT, first) as log:
        with full_from(path.stat().st_size + 100):
            for row in rows[1:3]:
                with pytest.raises(OSError, match="too large"):
                    log(row)
        log(rows[3])
    with loggers.table(tmp_path / "whole.csv", EIGHT, whole.metrics):
        pass
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    table = loggers.table(path, EIGHT, first)
    log = table.__enter__()
    with full_from(path.stat().st_size):
        with pytest.raises(OSError, match="too large"):
            log(rows[1])
        with pytest.raises(ConfigError, match=r"metrics.csv' can't be written to its end .* resum"):
            table.__exit__(None, None, None)


def test_what_fails_again_and_again_is_told_once_until_it_succeeds(capsys):
    attempts = Attempts()

    def fail():
        raise OSError(28, "No space left on device")

    for write in (fail, fail, print, fail):
        attempts("table 'a.csv'", write)
    attempts("table 'b.csv'", fail)
    said = "can't be written (no space left on device); training goes on."
    assert capsys.readouterr().err.splitlines() == [
        f"jaxdqn: table '{name}.csv' {said}" for name in ("a", "a", "b")
    ]


def test_a_full_disk_is_told_and_training_goes_on(half, whole, tmp_path, monkeypatch, capsys):
    shutil.copytree(half, tmp_path / "run")
    real, calls = np.savez, []

    def full_for_a_while(file, **arrays):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", full_for_a_while)
    begin = jaxdqn.restore(half)
    outcome = session.train(tmp_path / "run", small(), EIGHT, options=ALWAYS, begin=begin)
    assert len(calls) == 3
    said = capsys.readouterr().err
    assert "can't be written (no space left on device): make room" in said
    assert "training goes on.\n" in said
    assert_same_bits(outcome.metrics, whole.metrics)


def test_a_disk_that_is_full_at_the_end_leaves_whole_files_and_one_sentence(
    whole, tmp_path, monkeypatch
):
    metrics = whole.metrics
    folder.save_metrics(tmp_path, metrics, {"before": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(file, **_):
        file.write(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(ConfigError, match=r"metrics.npz' can't be written .*: copy the run first"):
        folder.save_metrics(tmp_path, metrics, {"after": 2})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_session_beside_another_leaves_the_drafts_of_living_processes(tmp_path, monkeypatch):
    with subprocess.Popen(["true"]) as gone:
        pass

    def draft_of(host, pid):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: pid)
            patch.setattr(socket, "gethostname", lambda: host)
            with files.replacing(tmp_path / "chunks" / "a.npz") as draft:
                draft.touch()
        draft.touch()
        return draft

    (tmp_path / "chunks").mkdir()
    here = socket.gethostname()
    kept = [draft_of(here, os.getppid()), draft_of("elsewhere", gone.pid), tmp_path / "notes.tmp"]
    kept[-1].touch()
    stale = draft_of(here, gone.pid)
    folder.clear(tmp_path, to_toml(small()))
    assert [draft.exists() for draft in [*kept, stale]] == [True, True, True, False]


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_learned(half, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (Path("/proc/run"), tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(ConfigError, match=r"can't be written"):
            session.train(out, small(), EIGHT, begin=jaxdqn.restore(half))


@pytest.mark.parametrize("write", [
    jaxdqn.restore, folder.load, trained, partial(export_policy, params=None, config=small()),
    partial(folder.create, config=small()), partial(jaxdqn.save, state=None, config=small()),
    partial(session.train, config=small(), numbers=EIGHT),
    lambda out: jaxdqn.sweep(small(), seeds=1, out=out, say=None),
])  # fmt: skip
def test_what_is_no_path_is_refused(write):
    for no_path, why in (("a\0b", "embedded null"), (300 * "x", "file name too long")):
        with pytest.raises(ConfigError, match=rf"^(path|out|run) \('.*\) can't be a path \({why}"):
            write(no_path)
    with pytest.raises(ConfigError, match=r"(path|out|run) \(5\) must be a path: write 'runs/"):
        write(5)


def test_options_that_make_no_sense_are_refused(tmp_path, monkeypatch):
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"save_every \(.*\) must be 0 or more"):
            session.train(tmp_path, small(), EIGHT, options=Options(save_every=wrong))
    for package, options in [
        ("tensorboardX", Options(tensorboard=True)),
        ("wandb", Options(wandb="project")),
    ]:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError, match=f"needs the package '{package}'.*pip install"):
            session.train(tmp_path, small(), EIGHT, options=options)


def test_tensorboard_gets_means_over_seeds(tmp_path, whole):
    pytest.importorskip("tensorboardX")
    with loggers.tensorboard(tmp_path, 0) as log:
        log(jax.tree.map(lambda x: x[:, 0], whole.metrics))
    (events,) = tmp_path.iterdir()
    content = events.read_bytes()
    assert b"eval_return" in content
    assert np.float32(whole.metrics.loss[:, 0].astype(np.float32).mean()).tobytes() in content


_OFFLINE = """
import sys, pathlib, numpy as np, jaxdqn
from jaxdqn.runs import loggers
row = jaxdqn.Metrics(**{name: np.arange(3.0) for name in jaxdqn.Metrics.__annotations__})
with loggers.weights_and_biases("project", pathlib.Path(sys.argv[1]), jaxdqn.Config()) as log:
    log(row)
    log(row.replace(env_steps=np.arange(3.0) + 5))
"""


@pytest.mark.slow
def test_weights_and_biases_works_offline(tmp_path):
    """In a process of its own: what is logged reaches the disk when wandb's service ends."""
    pytest.importorskip("wandb")
    told = subprocess.run(
        [sys.executable, "-c", _OFFLINE, str(tmp_path)], check=True, capture_output=True, text=True,
        env={**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)},
    ).stderr  # fmt: skip
    assert "eval_return" in told
    (kept,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"learning_rate" in kept.read_bytes()


def test_weights_and_biases_has_a_run_for_each_folder_and_one_when_it_is_resumed(
    tmp_path, monkeypatch
):
    class Wandb:
        Error = RuntimeError
        begun: ClassVar[list[dict]] = []

        @classmethod
        def init(cls, **given):
            cls.begun.append(given)
            return contextlib.nullcontext()

    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    monkeypatch.chdir(tmp_path)
    for run in (tmp_path / "a" / "maze", tmp_path / "b" / "maze", Path("a/maze")):
        with loggers.weights_and_biases("project", run, small()):
            pass
    first, elsewhere, resumed = (given["id"] for given in Wandb.begun)
    assert {given["name"] for given in Wandb.begun} == {"maze"}
    assert first == resumed != elsewhere
    assert first.isalnum()
    assert len(first) <= 128


def test_what_was_not_measured_is_no_part_of_a_mean(whole):
    row = jax.tree.map(lambda x: x[:, 0], whole.metrics)
    row = row.replace(loss=np.array([1.0, np.nan, 3.0]), spl=np.full(8, np.nan))
    means = loggers.means(row)
    assert means["loss"] == 2.0
    assert "spl" not in means
