"""A sweep on several processes, killed at any moment: the same bits, nothing finished is lost."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import LONG, ROOT, assert_same_bits, small
from test_cli import run_here

from jaxdqn import cli
from jaxdqn.commands import guard
from jaxdqn.config import to_toml

SWEPT = ["--learning_rate", "1e-3", "3e-3", "1e-2", "--discount", "0.5", "0.9", "--seeds", "16"]


def start(*words, cwd, cores=1, **environment):
    command = [sys.executable, "-m", "jaxdqn", "--cores", str(cores), *map(str, words)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **{k: str(v) for k, v in environment.items()}},
    )  # fmt: skip


def together(words, count, *folders):
    """Start a command in several processes that find each other, in one folder or in several."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flags = ["--distributed", "--coordinator", address, "--processes", count, "--heartbeat", 8]
    return [
        start(*words, *flags, "--process", index, cwd=folders[index % len(folders)])
        for index in range(count)
    ]


def as_slurm_would(words, count, cwd):
    """Start a command as ``srun`` does: JAX reads who is who from the environment."""
    job = random.randrange(1_000, 5_000)  # of which JAX makes the port
    shared = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": count,
              "SLURM_STEP_NUM_NODES": 1}  # fmt: skip
    return [
        start(*words, "--distributed", cwd=cwd, SLURM_PROCID=i, SLURM_LOCALID=i, **shared)
        for i in range(count)
    ]


def arrays(folder):
    with np.load(folder / "metrics.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with settings, and what one process makes of the sweep, uninterrupted."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "tiny.toml").write_text(to_toml(small(total_steps=64 + 4 * 1_500, evaluations=10)))
    ended(start("sweep", "tiny.toml", *SWEPT, "--out", "whole", cwd=folder, cores=2))
    return folder


def ended(*several):
    """Wait for processes that must succeed."""
    for process in several:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="that of kills ends with two, too")
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_give_the_bits_of_one(whole, count):
    ended(*together(["sweep", "tiny.toml", *SWEPT, "--out", f"shared{count}"], count, whole))
    assert_same_bits(arrays(whole / f"shared{count}"), arrays(whole / "whole"))


LASTING = 2.0
"""Seconds from the announcement of the sweep to its end, or somewhat less."""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4) if LONG else [0])
@pytest.mark.parametrize("count", [1, 2] if LONG else [2])
def test_after_kills_at_random_moments_it_ends_in_the_same_bits(whole, count, part):
    """Twenty of them with JAXDQN_LONG; of two processes one is killed, and JAX ends the other."""
    rng, out, kills = random.Random(4 * count + part), f"killed{count}.{part}", 0
    words = ["sweep", "tiny.toml", *SWEPT, "--out", out, "--save_every", 0]
    while kills < (5 if LONG else 1):
        running = together(words, count, whole) if count > 1 else [
            start(*words, cwd=whole, cores=2)
        ]  # fmt: skip
        while "agents" not in running[0].stdout.readline():
            assert running[0].poll() is None
        time.sleep(rng.uniform(0.0, LASTING))
        victim = rng.choice(running)
        kills += victim.poll() is None
        victim.kill()
        done = (whole / out / "summary.json").exists()
        for process in running:
            _, err = process.communicate(timeout=90)
            # One that was killed when all was done may have had its last word.
            if count > 1 and process.returncode and not (process is victim and done):
                assert err.splitlines()[-1] == guard.SENTENCE
        if not any(process.returncode for process in running):
            # It was sooner; the next kills meet a new one.
            assert_same_bits(arrays(whole / out), arrays(whole / "whole"))
            shutil.rmtree(whole / out)
    # On as many processes as before, or as there are now.
    finishing = count if part % 2 == 0 else 3 - count
    ended(*(as_slurm_would(["resume", out], 2, whole) if finishing > 1 else
            [start("resume", out, cwd=whole)]))  # fmt: skip
    assert_same_bits(arrays(whole / out), arrays(whole / "whole"))


@pytest.mark.slow
def test_one_that_finds_no_folder_is_refused_and_the_others_end_as_they_would(tmp_path):
    """A folder that processes don't share: JAX would end all of them, after a heartbeat."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tiny.toml").write_text(to_toml(small()))
    words = ["sweep", "tiny.toml", "--learning_rate", "1e-3", "1e-2", "--seeds", "4", "--out", "s"]
    first, second = together(words, 2, tmp_path / "here", tmp_path / "there")
    said, err = first.communicate(timeout=90)
    assert (first.returncode, err) == (130, "")
    assert said.splitlines()[-1] == "stopped after 4 of 8 agents; go on with: jaxdqn resume s"
    _, err = second.communicate(timeout=90)
    assert second.returncode == 1
    assert "can't be written (no such file or directory)" in err
    assert err.count("\n") == 1


def test_jax_still_has_the_store_that_chunks_are_handed_out_by():
    """It is no public part of JAX: this says so at an upgrade, sooner than a cluster would."""
    from jax._src import distributed
    from jax._src.lib import _jax

    assert hasattr(distributed.global_state, "client")
    for name in ("key_value_increment", "key_value_set", "blocking_key_value_get",
                 "wait_at_barrier"):  # fmt: skip
        assert callable(getattr(_jax.DistributedRuntimeClient, name))


def test_what_belongs_to_several_processes_is_taken_out_of_the_line():
    line = ["a.toml", "--process", "1", "--seeds", "3", "--distributed", "--processes=2"]
    there, given, rest = cli.split_distributed(line)
    assert (there, given) == (True, {"--process": "1", "--processes": "2"})
    assert rest == ["a.toml", "--seeds", "3"]
    assert cli.split_distributed(["a.toml"]) == (False, {}, ["a.toml"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["plot", "run", "--distributed"], "--distributed belongs to train, sweep, resume, and no"),
        (["train", "a.toml", "--process", "1"], "--process (1) is of several processes: write --d"),
        (["trian", "a.toml"], "command 'trian' is not known: did you mean 'train'?"),
    ],
)
def test_a_line_that_several_processes_have_no_use_for_is_refused(line, words, capsys):
    assert cli.main(line) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--processes", "two"], "--processes (two) must be a whole number: change it."),
        (["--heartbeat", "0.5"], "--heartbeat (0.5) must be a whole number: change it."),
        (["--heartbeat", "0"], "--heartbeat (0) must be at least 1 second: change it."),
        ([], "distributed (nothing else given) can't start (coordinator_address should be defi"),
        (["--coordinator", "x"], "--coordinator (x) must be HOST:PORT: name a port from 1"),
        (["--coordinator", "x:99999"], "--coordinator (x:99999) must be HOST:PORT: name a port"),
        (["--coordinator", ""], "--coordinator () must be HOST:PORT: name a port"),
        (["--process", "2", "--processes", "2", "--coordinator", "x:1"], "can't start (process_id"),
    ],
)
def test_processes_that_cannot_meet_are_refused_in_one_sentence(
    tmp_path, monkeypatch, flags, words
):
    """JAX itself says what is missing; here it has started, which it would say first."""
    monkeypatch.setattr(guard, "watch", lambda: lambda: None)
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)
    (tmp_path / "tiny.toml").write_text(to_toml(small()))
    code, _, err = run_here("sweep", "tiny.toml", "--distributed", *flags, cwd=tmp_path)
    assert code == 1
    assert words in err
    assert err.count("\n") == 1
