"""A command as a process among others: its streams, its signals, what it finds around it."""

import io
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, small
from test_cli import run_here

import jaxdqn
from jaxdqn.config import to_toml
from jaxdqn.errors import typed
from jaxdqn.runs import console, folder, session, signals, streams


class Broken(io.StringIO):
    """A stream that nobody reads any more, or whose disk is full."""

    def flush(self):
        raise OSError(28, "No space left on device")


def start(*arguments, cwd, **env):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxdqn", *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


def refused(*arguments, cwd, **env):
    """Run a command that is refused; return what it says of that."""
    process = start(*arguments, cwd=cwd, **env)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    return err


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.toml").write_text(to_toml(small()))
    return tmp_path


def test_a_training_outlives_who_reads_it_and_what_cannot_be_spelled(tmp_path):
    """A terminal's Ctrl-C ends all of a pipeline, its reader first."""
    (tmp_path / "long.toml").write_text(
        to_toml(small(total_steps=64 + 4 * 1_000_000, evaluations=1_000))
    )
    words = ("train", "long.toml", "--seeds", 2, "--out", "run")
    with start(*words, cwd=tmp_path, PYTHONIOENCODING="ascii") as process:
        seen = ""
        while "training" not in seen:
            seen += process.stdout.readline()
            assert process.poll() is None, process.stderr.read()
        assert "compiling ?" in seen
        process.stdout.close()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "interrupted: finishing this compilation or evaluation, then saving" in said
    assert "Traceback" not in said
    assert jaxdqn.restore(tmp_path / "run").metrics is not None
    assert (tmp_path / "run" / "summary.json").exists()


def test_what_cannot_be_written_is_left_out_and_told_once_on_the_other_stream(monkeypatch, capsys):
    broken = Broken()
    monkeypatch.setattr(sys, "stdout", broken)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    streams.outlive()
    for _ in range(3):
        print("a line", flush=True)
    console.print_line("a line of progress")
    said = "jaxdqn: standard output can't be written (no space left on device): what is running "
    assert capsys.readouterr().err == f"{said}goes on without it.\n"
    assert broken.getvalue() == "a line\n" * 3 + "a line of progress\n", "as soon as there is room"
    monkeypatch.setattr(sys, "stderr", Broken())
    streams.outlive()
    print("a line that nobody is told of", flush=True)


def test_what_an_encoding_does_not_know_becomes_a_question_mark():
    raw = io.BytesIO()
    lasting = streams.Lasting("stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    print("ε … \udcff", file=lasting, flush=True)
    assert raw.getvalue() == "? … ?\n".replace("\n", os.linesep).encode("cp1252")


@pytest.mark.parametrize("first", signals.STOPS, ids=lambda number: number.name)
def test_a_closed_terminal_asks_for_an_end_however_often_it_is_told(first):
    with signals.Held(lambda: None) as held:
        signal.raise_signal(first)
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
        assert held.heard == first


@pytest.mark.parametrize("number", signals.STOPS, ids=lambda number: number.name)
def test_a_signal_that_is_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with signals.Held(lambda: None) as held:
            assert signal.getsignal(number) == signal.SIG_IGN
            signal.raise_signal(number)
            assert not held.asked
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("platforms", "reason"),
    [("tpu", "tpu"), ("CPU", "Backend 'CPU' is not in the list of known backends")],
)
def test_a_platform_that_is_not_here_is_refused_in_one_sentence(tmp_path, platforms, reason):
    err = refused("plot", "run", cwd=tmp_path, JAX_PLATFORMS=platforms)
    assert err.startswith(f"jaxdqn: JAX_PLATFORMS ('{platforms}') can't be used here (")
    assert reason in err
    assert err.endswith("): unset it, or name another platform, such as cpu.\n")
    assert err.count("\n") == 1


def test_a_working_directory_that_was_deleted_is_refused_in_one_sentence(tmp_path):
    place = tmp_path / "gone"
    place.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from jaxdqn.cli import main; sys.exit(main())"
    process = subprocess.run(
        [sys.executable, "-c", code, "plot", "run"], cwd=place, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PWD": str(place)}, check=False,
    )  # fmt: skip
    said = f"jaxdqn: the working directory ({place}) isn't there any more: change to another one.\n"
    assert (process.returncode, process.stderr) == (1, said)


def test_a_notebooks_way_to_show_pictures_is_not_a_commands(tmp_path):
    inline = "module://matplotlib_inline.backend_inline"  # which Jupyter sets, and has
    err = refused("plot", "run", cwd=tmp_path, MPLBACKEND=inline)
    assert err.startswith("jaxdqn: config file 'run/config.toml' can't be read")


@pytest.mark.parametrize("name", ["a b2", "runs/it's", "$HOME", "-run", "--out", "runs/mine"])
def test_a_path_that_is_told_can_be_typed(name):
    """A shell makes one word of it, and no command takes that for an option."""
    (word,) = shlex.split(typed(Path(name)))
    assert Path(word) == Path(name)
    assert not word.startswith("-")


def test_how_to_go_on_can_be_typed(capsys):
    console.say_how_to_go_on(Path("a b2"), 1, 2)
    assert capsys.readouterr().out.endswith("go on with: jaxdqn resume 'a b2'\n")


def test_what_was_measured_is_shown_where_it_cannot_be_kept(tiny):
    folder.create(tiny / "run", small())
    session.train(tiny / "run", small(), range(2))
    (tiny / "run" / "evaluation.json").mkdir()
    code, out, err = run_here("evaluate", "run", "--episodes", 2, cwd=tiny)
    assert "return (greedy)" in out
    assert (code, "evaluation.json' can't be written" in err) == (1, True)
