"""What the README and the benchmarks say runs, at small size."""

import json
import re
import shlex
import subprocess
import sys

import jax.numpy as jnp
import pytest
from conftest import ROOT, small

from jaxdqn.commands import train
from jaxdqn.config import to_toml
from jaxdqn.parallel import devices

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SHELL = "\n".join(code for language, code in BLOCKS if language == "sh")


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # JAX has started here.
    monkeypatch.setattr(devices, "use_cores", lambda: None)
    (tmp_path / "tiny.toml").write_text(to_toml(small(evaluations=20)))
    names: dict = {}
    for language, code in BLOCKS:
        if language == "python" and "policy.jax" not in code:
            code = code.replace("configs/maze.toml", str(tmp_path / "tiny.toml"))
            exec(code.replace(", 64)", ", 2)").replace("seeds=64", "seeds=[3, 5]"), names)
    assert names["swept"].metrics.loss.shape == (2, 2, 2, 20)
    assert names["metrics"].loss.shape == (2, 20)
    assert int(names["more"].updates[-1]) == 50
    assert jnp.isfinite(names["result"].eval_return)
    assert "S..#" in names["drawn"].env_kwargs["layout"]


def test_the_commands_of_the_readme_are_understood():
    found = re.findall(r"jaxdqn (train [^`\n|]*\.toml[^`\n|]*)", README)
    assert len(found) >= 6
    for command in found:
        _, *arguments = shlex.split(command)
        if "--help" not in arguments:
            path, *options = arguments
            chosen = train.parse([str(ROOT / path), *options])
            assert chosen.seeds >= 1


def test_the_test_command_is_what_ci_runs():
    assert "<!-- test command -->" in README
    assert "/<!-- test command -->/" in (ROOT / ".ci" / "run").read_text()


def test_every_result_in_the_readme_names_command_machine_and_date():
    results = json.loads((ROOT / "benchmarks" / "results" / "readme.json").read_text())
    for result in results["results"].values():
        assert f"`{result['command']}`" in README
        assert f"| {result['seconds']:.0f} s |" in README
    for key in ("date", "processor", "jax", "python"):
        assert results["machine"][key] in README


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "benchmarks/throughput.py --quick --configs maze --seeds 3 --num_envs 4",
        "benchmarks/compare_designs.py --quick --seeds 2",
        "benchmarks/replay.py --quick --capacities 1024",
        "benchmarks/autoreset.py --quick",
        "benchmarks/sweeps.py --quick",
        "benchmarks/compile.py --quick --configs maze --seeds 1",
        # Without the libraries that would have to be fetched.
        "benchmarks/environments.py --quick --only ours --batches 8",
        "benchmarks/peers.py --quick --only ours --envs CartPole-v1",
        "benchmarks/readme.py --quick --only maze",
        "benchmarks/readme.py --quick --compare",
        "benchmarks/overestimation.py --quick --seeds 2 --noise 1.0",
    ],
)
def test_benchmarks_run(command, tmp_path):
    script, *options = shlex.split(command)
    before = README
    subprocess.run(
        [sys.executable, str(ROOT / script), *options, "--out", str(tmp_path)],
        check=True, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    (result,) = tmp_path.glob("*.json")
    content = json.loads(result.read_text())
    assert content["machine"]["date"]
    assert len(content) >= 2
    assert (ROOT / "README.md").read_text() == before
