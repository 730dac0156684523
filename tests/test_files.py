"""Files and folders on any system: whole, checked, held by one process, never another's."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import ROOT, assert_same_bits, small
from flax import serialization
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import jaxdqn
from jaxdqn import ConfigError
from jaxdqn.commands import flags, resume
from jaxdqn.config import to_toml
from jaxdqn.networks import pretrained
from jaxdqn.parallel import host
from jaxdqn.parallel.grid import grid
from jaxdqn.parallel.sweeps import Results, chunks
from jaxdqn.plots import style
from jaxdqn.runs import export, files, folder, language_run, loggers, place, session
from jaxdqn.runs.sweep_folder import SweepFolder
from jaxdqn.runs.trained import trained as networks_of

HOLDING = """
import sys, time
from pathlib import Path
from jaxdqn.runs import place
with place.alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Return the run folder of two seeds, as jaxdqn train leaves it, pictures apart."""
    out, config = tmp_path_factory.mktemp("files") / "run", small()
    folder.create(out, config)
    outcome = session.train(out, config, range(2))
    summary = folder.summarise("run", config, outcome.metrics, range(2), 1.0)
    folder.save_results(out, outcome.metrics, summary, outcome.state.agent.params)
    return out


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_no_file_takes_anothers_place_while_it_is_open(trained, tmp_path, monkeypatch):
    """Windows refuses that; the table of a training is one that stays open."""
    replace = Path.replace

    def strict(self, target):
        there = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert not {str(self), str(target)} & set(there)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", strict)
    metrics = folder.load(trained).metrics
    for _ in range(2):
        with loggers.table(tmp_path / "metrics.csv", range(2), metrics) as log:
            log(jax.tree.map(lambda x: x[:, 0], metrics))
        lines = (tmp_path / "metrics.csv").read_text().splitlines()
        assert len(lines) == 1 + 2 * (small().evaluations + 1)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_what_is_written_is_written_where_folders_cannot_be_synced(tmp_path, monkeypatch, number):
    sync = os.fsync

    def of_files_alone(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    files.write_text(tmp_path / "a.toml", "x = 1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        files.write_text(tmp_path / "a.toml", "x = 2")


def test_drafts_of_processes_that_cannot_be_asked_go_after_a_day(tmp_path, monkeypatch):
    def no_kill(*_):
        pytest.fail("on Windows this would end a process, or its console's")

    drafts = [tmp_path / f"{name}.elsewhere.{pid}.tmp" for name in ("a.npz", "b.csv")
              for pid in (1, os.getpid())]  # fmt: skip
    mine = tmp_path / "notes.2024.tmp"
    for path in [*drafts, mine]:
        path.touch()
    for old in (drafts[0], mine):
        os.utime(old, (1e9, 1e9))
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", types.SimpleNamespace(name="nt", kill=no_kill))
        patch.setattr(files.socket, "gethostname", lambda: "elsewhere")
        files.clear_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*drafts[1:], mine])


@given(st.lists(st.text(), unique=True))
def test_any_names_become_names_of_files_that_every_system_tells_apart(names):
    plain = files.plain_names(names)
    assert len({name.lower() for name in plain}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_=][A-Za-z0-9_.=-]{0,90}", name) for name in plain)


def test_names_stay_what_people_call_things_where_they_can():
    known = ["maze", "learning_rate=0.001", "Maze", "network=mynet:Waves", "a/b", "x" * 300, "nul"]
    assert files.plain_names(known) == [
        "maze", "learning_rate=0.001", "Maze-2", "network=mynet-Waves", "a-b", "x" * 80, "_nul"
    ]  # fmt: skip


def test_the_size_of_a_file_is_known_though_another_process_takes_it_away(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_sync_folder", lambda parent: (parent / "a.npz").unlink())
    assert files.write_arrays(tmp_path / "a.npz", {}, {"x": np.zeros(3)}, "chunk") > 24


def test_a_neighbour_that_ends_takes_nobody_the_place_of_checkpoints(tmp_path):
    found = grid(small(), 1, {})
    sweep, neighbour = SweepFolder(tmp_path, found), SweepFolder(tmp_path, found)
    for one in (sweep, neighbour):
        one.open({})
    (chunk,) = chunks(Results(found))
    neighbour.close()
    sweep.save(chunk, next(chunk.train(None))[0], None, 0.0)
    assert len(list((tmp_path / "under_way").iterdir())) == 1


def test_a_sweep_begins_again_where_its_beginning_failed(tmp_path, monkeypatch):
    found, out = grid(small(), 1, {"discount": [0.5, 0.9]}), tmp_path / "sweep"
    write = files.write_text
    for failing in ("config.toml", "sweep.json"):

        def fails(path, text, failing=failing):
            full() if path.name == failing else write(path, text)

        with monkeypatch.context() as patch:
            patch.setattr(files, "write_text", fails)
            with pytest.raises(ConfigError, match=r"out \('.*'\) can't be written \(no space.*"):
                SweepFolder(out, found).open({})
    SweepFolder(out, found).open({})
    assert (out / "chunks").is_dir()


def test_folders_without_a_place_are_never_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [place.by_time("maze") for _ in range(5)]
    assert len(set(paths)) == 5
    assert all(path.is_dir() for path in paths)


def test_a_run_begins_again_where_a_kill_left_no_result_and_nowhere_else(tmp_path):
    text = to_toml(small())
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.toml").write_text(text)
    for name in ("metrics.csv", "jaxdqn.lock", f"checkpoint.npz.elsewhere.{2**22}.tmp"):
        (out / name).touch()
    with place.new(out, text):
        (out / "checkpoint.npz").touch()
    with pytest.raises(ConfigError, match="exists already and is not overwritten"), place.new(out):
        pass
    for name, content in [("config.toml", "double = false"), ("metrics.csv", "1"), ("a.tex", "")]:
        other = tmp_path / f"of {name}"
        other.mkdir()
        (other / name).write_text(content)
        with pytest.raises(ConfigError, match="exists already"), place.new(other, text):
            pass
        assert [path.read_text() for path in other.iterdir()] == [content]


def test_a_full_disk_leaves_no_folder_that_stands_in_the_way(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match=r"can't be written \(no space left"):
            folder.create(tmp_path / "run", small())
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_killed_before_its_first_checkpoint_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"config \(None\) must be a Config"):
        folder.create(tmp_path / "run", None)
    folder.create(tmp_path / "run", small())
    with pytest.raises(ConfigError, match="stopped before its first checkpoint: begin it anew"):
        resume.main([str(tmp_path / "run")])


def test_a_run_that_has_ended_is_read_without_its_checkpoint(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "run")
    before = networks_of(out)
    (out / "checkpoint.npz").unlink()
    after = networks_of(out)
    assert after.seeds == before.seeds == range(2)
    assert_same_bits(after.params, before.params)
    assert after.config == before.config
    with pytest.raises(ConfigError, match=r"no checkpoint.npz any more, .*: put it back, or train"):
        resume.main([str(out)])
    (out / "config.toml").write_text("")
    with pytest.raises(ConfigError, match=r"run folder .* is damaged .*config.toml is empty"):
        folder.load(out)


def test_one_process_trains_into_a_run_folder_and_a_kill_frees_it(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "run")
    before = {path: path.read_bytes() for path in out.iterdir()}
    command = [sys.executable, "-c", HOLDING, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout.readline() == b"held\n"
        words = rf"run '.*' is being trained by process {other.pid} on .*: wait for its end, or"
        with pytest.raises(ConfigError, match=words):
            resume.main([str(out), "--total_steps", "4000"])
        (out / "jaxdqn.lock").rename(tmp_path / "lock")
        assert {path: path.read_bytes() for path in out.iterdir()} == before
        (tmp_path / "lock").rename(out / "jaxdqn.lock")
        other.send_signal(signal.SIGKILL)
    assert (out / "jaxdqn.lock").exists()
    with place.alone(out), place.alone(out), ThreadPoolExecutor() as threads:
        words = f"is being trained by process {os.getpid()} on"
        begin = jaxdqn.restore(out)
        again = threads.submit(session.train, out, begin.config, begin.seeds, begin=begin)
        with pytest.raises(ConfigError, match=words):
            again.result()
        assert (out / "jaxdqn.lock").exists()
    assert not (out / "jaxdqn.lock").exists()


def test_a_folder_in_which_no_file_can_be_made_is_not_held():
    with place.alone(Path("/proc/self")), place.alone(Path("absent")):
        pass


@pytest.mark.parametrize("name", ["params.msgpack", "metrics.npz"])
def test_every_flipped_bit_of_results_is_noticed(trained, tmp_path, name):
    out = shutil.copytree(trained, tmp_path / "run")
    path, whole = out / name, (out / name).read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=200).tolist():
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(ConfigError, match=rf"{name}' is damaged, or .*: use another copy"):
            folder.load(out)


def test_no_flipped_bit_hides_an_array_of_a_chunk(tmp_path):
    """In the list that ends a zip, an entry can swallow the next ones."""
    path, arrays = tmp_path / "a.npz", {name: np.arange(3.0) for name in "abc"}
    files.write_arrays(path, {"format": 1}, arrays, "chunk")
    whole, noticed = path.read_bytes(), 0
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    for bit in range(8 * directory, 8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        try:
            about, found = files.read_arrays(path, "chunk")
        except ConfigError:
            noticed += 1
        else:
            assert about == {"format": 1}
            assert_same_bits(found, arrays)
    assert noticed > 500


def test_every_flipped_bit_of_a_pretrained_trunk_is_noticed(tmp_path):
    weights = {"params": {"trunk": {"places": np.ones((2, 4), np.float32)}}}
    summary = language_run.write_weights(tmp_path, weights)
    folder.save_json(tmp_path / "summary.json", summary)
    (tmp_path / "config.toml").write_text("layers = 1")
    path = tmp_path / "params.msgpack"
    whole = path.read_bytes()
    assert serialization.from_bytes(weights, whole)["params"]["trunk"]["places"].sum() == 8
    for bit in range(0, 8 * len(whole), 7):
        path.write_bytes(flipped(whole, bit))
        os.utime(path, (bit, bit))
        with pytest.raises(ConfigError, match=r"params.msgpack' is damaged, or .*: use another"):
            pretrained.read(str(tmp_path))


def test_results_of_a_jaxdqn_that_wrote_no_sums_are_read(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "run")
    content = json.loads((out / "summary.json").read_text())
    assert content.pop("crc32").keys() == {"params.msgpack", "metrics.npz"}
    (out / "summary.json").write_text(json.dumps(content))
    for one, other in zip(folder.load(out), folder.load(trained), strict=True):
        if isinstance(one, jaxdqn.Metrics | dict):
            assert_same_bits(one, other)
        else:
            assert one == other


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_full_disk_keeps_the_picture_and_the_policy_before(trained, tmp_path, monkeypatch):
    run = folder.load(trained)
    writing = [
        lambda: style.save(Figure(), tmp_path / "curves.png"),
        lambda: export.export_policy(tmp_path / "policy.jax", run.config, run.params_of(0)),
    ]
    for write in writing:
        write()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    for write in writing:
        with pytest.raises(ConfigError, match=r"can't be written \(no space left on device\): "):
            write()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_settings_are_read_as_editors_on_windows_write_them(tmp_path):
    path = tmp_path / "TINY.TOML"
    path.write_bytes(b"\xef\xbb\xbf" + to_toml(small()).replace("\n", "\r\n").encode())
    assert jaxdqn.load_config(path) == small()
    flags.check_file(path)
    assert flags.file_of("train", ["--double", str(path)]) == path


def test_what_a_folder_holds_is_seen_after_the_mark_of_such_an_editor(tmp_path):
    (tmp_path / "params.msgpack").touch()
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbfmethod = 'dqn'\r\n")
    with pytest.raises(ConfigError, match="is the run folder of agents"):
        pretrained.read(str(tmp_path))
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbfstage = 'pretraining'\r\n")
    assert folder.is_language(tmp_path)


def test_memory_is_the_least_of_what_machine_containers_and_limits_leave(tmp_path, monkeypatch):
    job = tmp_path / "slurm" / "job"
    step = job / "step"
    step.mkdir(parents=True)
    for group, most, used, cache in [(job, 9_000, 5_000, 1_000), (step, "max", 5_000, 1_000)]:
        (group / "memory.max").write_text(f"{most}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 7\ninactive_file {cache}\n")
    assert list(host.of_groups("0::/slurm/job/step\n", tmp_path)) == [5_000]
    assert list(host.of_groups("0::/\n", tmp_path)) == []
    old = tmp_path / "memory"
    old.mkdir()
    (old / "memory.limit_in_bytes").write_text("800\n")
    (old / "memory.usage_in_bytes").write_text("700\n")
    inside = "5:cpu:/a\n4:memory:/docker/0123\n0::/docker/0123\n"
    assert list(host.of_groups(inside, tmp_path)) == [100]
    machine = host.free()
    monkeypatch.setattr(host, "of_groups", lambda *_: iter([machine // 2]))
    assert host.free() == machine // 2
    monkeypatch.setattr(host, "_of_addresses", lambda: 7)
    assert host.free() == 7


def test_a_limit_of_addresses_counts():
    said = "from jaxdqn.parallel import host; print(host.free())"
    for limit in (6_000_000, 3_000_000):
        shell = f"ulimit -v {limit} && exec {sys.executable} -c '{said}'"
        found = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, cwd=ROOT)
        assert 0 < int(found.stdout) < 1024 * limit


def test_where_nobody_says_what_is_free_something_is_taken_to_be(monkeypatch):
    monkeypatch.setattr(host, "_read", lambda _: "")
    monkeypatch.setattr(host, "_of_addresses", lambda: None)
    assert host.free() > 0  # half of what there is
    monkeypatch.delattr(os, "sysconf")
    assert host.free() == host.UNKNOWN
