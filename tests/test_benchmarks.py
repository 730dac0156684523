"""What benchmarks count by hand is what programs do, and the READMEs say what they measured."""

import json
import math
import os
import re
import runpy
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from conftest import ROOT, small
from jax.extend.core import jaxprs_in_params

from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn
from jaxdqn.types import Transition

# Benchmarks are no package.
sys.path.append(str(ROOT / "benchmarks"))

import harness
import hlo
import kernels
import laws
import limits
import readme
import tables
from shown import gpu, speed


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"env": "MetaMaze-misc", "env_kwargs": {}, "env_params": {}, "widths": (64, 32)},
        {
            "env_kwargs": {"height": 4, "width": 5, "generator": "empty", "observation": "planes"},
            "network": "residual",
            "channels": 8,
            "blocks": 2,
        },
    ],
)
def test_counted_operations_are_those_of_the_program(double, changes):
    config = small(double=double, **changes)
    assert _matmul_flops(_learn(config)) == limits.learning_flops(config)


def test_a_one_hot_first_layer_is_not_counted():
    config = small(widths=(16, 8))
    assert limits.layers(config) == [(1, 16, 8), (1, 8, 4)]


READMES = "\n".join(path.read_text(encoding="utf-8") for path in harness.READMES)
LATER = {
    "laws_gpu", "profile_gpu", "job_gpu", "family", "zoo", "bars", "rainbow", "prices",
    "language", "transfer", "methods", "rollouts", "minatar",
    "compare_designs_rainbow_cpu", "compare_designs_rainbow_one_core",
}  # fmt: skip
MEASURED = [
    name
    for name in tables.TABLES
    if name not in LATER or (harness.RESULTS / f"{name}.json").exists()
]
"""Tables of ``gpu.sh`` are there once it has run on a GPU, others once they are measured."""


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_tables_of_the_readmes_are_the_results(name):
    shown = re.findall(f"<!-- {name} -->(.*?)<!-- end of {name} -->", READMES, re.DOTALL)
    if name not in MEASURED:
        assert not shown
        return
    assert [text.strip() for text in shown] == [tables.TABLES[name]()]
    assert re.search(r"(?s)Measured on .*\d{4}-\d\d-\d\d.*JAX \d.*Python \d", shown[0])


def test_what_is_kept_from_an_earlier_command_says_by_which_it_was_measured(tmp_path, monkeypatch):
    def saved(day, command, parts):
        monkeypatch.setattr(harness, "machine", lambda: {**here, "date": day})
        monkeypatch.setattr(harness.sys, "argv", command.split())
        path = harness.save("some", {"arms": parts}, tmp_path, parts=parts.values())
        return harness.earlier(path, quick=False)

    here = harness.machine()
    first = saved("2001-01-02", "bench.py", {"one": {"score": 1}, "other": {"score": 2}})
    both = saved("2001-01-04", "bench.py --only other", {**first["arms"], "other": {"score": 3}})
    commands = {name: part["measured"]["command"] for name, part in both["arms"].items()}
    assert commands == {"one": "benchmarks/bench.py", "other": "benchmarks/bench.py --only other"}
    assert set(harness.places_and_days([both]).values()) == {"2001-01-02 to 2001-01-04"}
    assert "on 2001-01-02 to 2001-01-04: " in harness.provenance("bench.py", both)
    assert "on 2001-01-02: " in harness.provenance("bench.py", first)


def test_a_benchmark_whose_peer_is_not_installed_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "flashbax", None)
    monkeypatch.setattr(harness.sys, "argv", ["benchmarks/replay.py"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "benchmarks" / "replay.py"))
    assert end.value.code == (
        "replay.py needs the package 'flashbax', which is not installed: run pip install '.[test]'."
    )


def test_a_part_of_what_is_timed_in_turn_replaces_no_published_whole(tmp_path, capsys, monkeypatch):
    parser = harness.options("Some benchmark.")
    parser.add_argument("--only", nargs="+", default=["ours", "theirs"])
    monkeypatch.setattr(harness.sys, "argv", ["some.py", "--only", "ours"])
    with pytest.raises(SystemExit):
        harness.parse(parser, "only")
    assert "--only would replace all results by a part" in capsys.readouterr().err
    monkeypatch.setattr(harness.sys, "argv", ["some.py", "--only", "ours", "--out", str(tmp_path)])
    assert harness.parse(parser, "only").only == ["ours"]
    monkeypatch.setattr(harness.sys, "argv", ["some.py"])
    assert harness.parse(parser, "only").out == harness.RESULTS


def test_everything_is_regenerated_by_the_commands_that_made_it():
    """Those of the scripts; of one made in parts only the last command is known."""
    results = [
        json.loads(path.read_text()) for path in (ROOT / "benchmarks/results").glob("*.json")
    ]
    made = {found["command"].removeprefix("benchmarks/") for found in results}
    whole = {line for line in readme.OTHERS if line.split()[0] not in ("readme.py", "tables.py")}
    assert len(whole) > 10
    assert whole <= made


def test_no_table_of_figures_is_written_by_hand():
    made = set(re.findall(r"<!-- (.*?) -->", READMES)) - {"test command"}
    assert made == {mark for name in MEASURED for mark in (name, f"end of {name}")}
    by_hand = re.sub(r"(?s)<!-- (\w+) -->.*?<!-- end of \1 -->", "", READMES)
    rows = [line for line in by_hand.splitlines() if line.startswith("|")]
    assert not [line for line in rows if re.search(r"\d ?(s|%|×|µs)( |$)|\d,\d{3} \|", line)]


def test_a_text_is_replaced_wherever_its_markers_are(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("one", "two", "three")]
    for path in paths[:2]:
        path.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nz")
    paths[2].write_text("nothing")
    monkeypatch.setattr(harness, "READMES", paths)
    assert harness.replace_in_readme("x", "new") == paths[:2]
    assert paths[1].read_text() == "a\n<!-- x -->\nnew\n<!-- end of x -->\nz"
    assert paths[2].read_text() == "nothing"


PROGRAM = """
HloModule jit_train, is_scheduled=true

%fused_write (ring: f32[100,4], rows: f32[2,4], at: s32[]) -> (f32[100,4], f32[2]) {
  %ring = f32[100,4]{1,0} parameter(0)
  %rows = f32[2,4]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %zero = s32[] constant(0)
  %new = f32[100,4]{1,0} dynamic-update-slice(%ring, %rows, %at, %zero)
  %sum = f32[2]{0} reduce(%rows, %zero), dimensions={1}, to_apply=%add
  ROOT %both = (f32[100,4]{1,0}, f32[2]{0}) tuple(%new, /*index=1*/%sum)
}

%fused_read (ring.1: f32[100,4], index: s32[8,1]) -> f32[8,4] {
  %ring.1 = f32[100,4]{1,0} parameter(0)
  %view = f32[100,4]{0,1} bitcast(%ring.1)
  %index = s32[8,1]{1,0} parameter(1)
  ROOT %rows.1 = f32[8,4]{1,0} gather(%view, %index), slice_sizes={1,4}
}

ENTRY %main (p0: f32[100,4], p1: f32[2,4], p2: s32[], p3: s32[8,1]) -> f32[8,8] {
  %p0 = f32[100,4]{1,0:S(1)} parameter(0)
  %p1 = f32[2,4]{1,0} parameter(1)
  %p2 = s32[] parameter(2)
  %p3 = s32[8,1]{1,0} parameter(3)
  %write.1 = (f32[100,4]{1,0}, f32[2]{0}) fusion(%p0, %p1, %p2), kind=kLoop, calls=%fused_write
  %part = f32[100,4]{1,0} get-tuple-element(%write.1), index=0
  %read.1 = f32[8,4]{1,0} fusion(%part, %p3), kind=kLoop, calls=%fused_read, \
metadata={op_name="jit(train)/while/body/closed_call/learn/gather"}
  %loop = f32[8,4]{1,0} while(%read.1), condition=%c, body=%b
  %own = (f32[8]{0}, f32[100,4]{1,0}) custom-call(%loop, %part), \
custom_call_target="__gpu$xla.gpu.triton", backend_config={grid_x = 1 : i32, name = "learn"}
  ROOT %gemm = (f32[8,8]{1,0}, s8[4194304]{0}) custom-call(%loop, %loop), \
custom_call_target="__cublas$gemm"
}
"""


@pytest.mark.parametrize(
    ("kernel", "moved"),
    [
        ("write.1", 4 * (2 * 4 + 1) + 4 * (2 * 4 + 2)),  # in place: two rows, and their sums
        ("read.1", 4 * 8 + 2 * 4 * 8 * 4),  # the rows that are chosen, once in and once out
        ("gemm", 2 * 4 * 8 * 4 + 4 * 8 * 8),  # and not the library's working memory
        ("own", 4 * 8 * 4 + 4 * 8 + 2 * 4 * 100 * 4),  # all that it is given and gives
        ("part", 0),
        ("loop", None),
        ("unknown", None),
    ],
)
def test_bytes_of_a_kernel_are_what_it_moves_and_not_what_it_can_reach(kernel, moved):
    assert hlo.Program(PROGRAM).traffic(kernel) == moved


def test_an_iteration_is_what_ran_at_least_as_often_as_it():
    once = [kernels.Event("part", "part", 0.0, 9e9)]
    loops = [kernels.Event("loop", "loop", 0.0, 9e9)] * 3
    # A kernel of a captured graph is known by its name only.
    read = [kernels.Event("graph", "read_1", 1_000.0 * i, 500.0) for i in range(3)]
    own = [kernels.Event("graph", "learn", 1_000.0 * i, 125.0) for i in range(3)]
    copies = [kernels.Event("loop", "MemcpyD2H", 1_000.0 * i + 500, 250.0) for i in range(3)] * 2
    rows, span = kernels.iteration(once + loops + read + own + copies, hlo.Program(PROGRAM), 3)
    assert [(row["op"], row["launches"], row["bytes"]) for row in rows] == [
        ("read.1", 1, 288), ("MemcpyD2H", 2, None), ("own", 1, 3360)
    ]  # fmt: skip
    assert rows[0]["source"] == "learn/gather"
    assert [row["microseconds"] for row in rows] == [0.5, 0.5, 0.125]
    assert span == pytest.approx(2.75 / 3)


def test_a_device_is_asked_rather_than_its_host_and_its_streams_rather_than_sums_of_them():
    def line(name, *events):
        return SimpleNamespace(name=name, events=events)

    def event(name, **stats):
        return SimpleNamespace(name=name, stats=list(stats.items()), start_ns=1.0, duration_ns=2.0)

    thunk, python = event("read.1", hlo_op="read.1"), event("isinstance")
    host = SimpleNamespace(name="/host:CPU", lines=[line("thread", thunk, python)])
    lines = [line("Stream #1(Compute)", event("read_1", hlo_op="read.1"), event("MemcpyD2H")),
             line("XLA Modules", event("jit_train"))]  # fmt: skip
    device = SimpleNamespace(name="/device:GPU:0", lines=lines)
    events, counted = kernels.read(SimpleNamespace(planes=[host, device]))
    assert [event[:2] for event in events] == [("read.1", "read_1"), ("MemcpyD2H", "MemcpyD2H")]
    assert sum(counted.values()) == 3
    events, _ = kernels.read(SimpleNamespace(planes=[host]))
    assert [event.op for event in events] == ["read.1"]


def test_laws_see_one_bit_and_one_integer():
    ones = jnp.ones(3)
    assert laws.compare(ones, ones) == (0.0, 0, 0)
    assert laws.compare(ones * jnp.nan, ones * jnp.nan) == (0.0, 0, 0)
    difference, unequal, exact = laws.compare(ones, ones.at[1].add(2.0**-23))
    assert (unequal, exact) == (1, 0)
    assert 0 < difference < laws.ROUNDING
    assert laws.compare(jnp.arange(3), jnp.arange(3).at[0].set(7)) == (0.0, 1, 1)
    assert laws.compare(ones, ones.at[2].set(jnp.nan)).unequal_exact == 1
    assert laws.compare(jax.random.key(0), jax.random.key(1)).unequal_exact == 1


@pytest.mark.parametrize("module", ["laws", "main_job"])
def test_who_trains_in_other_processes_leaves_them_the_device(module):
    """A GPU's memory belongs to the first process that starts JAX, and it counts devices then."""
    code = f"import {module}, jax; jax.config.update('jax_num_cpu_devices', 5)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "benchmarks", check=True)


@pytest.mark.slow
def test_what_a_gpu_is_asked_runs_on_a_cpu(tmp_path, monkeypatch):
    command = [ROOT / "benchmarks" / "gpu.sh", "--quick", "--out", tmp_path]
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    monkeypatch.setattr(tables.harness, "RESULTS", tmp_path)
    shown = {
        "laws_cpu": gpu.laws,
        "compare_designs_cpu": speed.design,
        "profile_cpu": gpu.profile,
        "job_cpu": gpu.main_job,
    }
    assert {path.stem for path in tmp_path.glob("*.json")} == set(shown)
    for name, table in shown.items():
        assert "| --- |" in table(name)
    held = [law["held"] for law in json.loads((tmp_path / "laws_cpu.json").read_text())["laws"]]
    assert held == [True] * 8
    (profile,) = json.loads((tmp_path / "profile_cpu.json").read_text())["profiles"]
    assert profile["launches"] > 50
    assert profile["microseconds_of_unknown_bytes"] == 0


def _learn(config):
    environment, _ = environments.make(config)
    agent, *_ = dqn.learner_of(config, environment)
    size = (config.batch_size,)
    obs = jnp.zeros(size + environment.obs.shape, environment.obs.dtype)
    number = jnp.zeros(size)
    batch = Transition(obs, jnp.zeros(size, jnp.int32), number, number, obs)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    return jax.make_jaxpr(agent.learn)(state, batch, number, jax.random.key(0)).jaxpr


def _matmul_flops(jaxpr):
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        total += sum(_matmul_flops(inner) for inner in jaxprs_in_params(equation.params))
    return total
