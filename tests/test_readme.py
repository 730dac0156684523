"""What the READMEs and the benchmarks say runs, at small size."""

import importlib.util
import itertools
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tyro
import yaml
from conftest import ROOT, compiles_nothing, small
from test_language import little

from jaxdqn import cli, devices, load_config
from jaxdqn.commands import (
    compare,
    elsewhere,
    evaluate,
    export,
    finetune,
    plot,
    pretrain,
    resume,
    sweep,
    train,
)
from jaxdqn.config import parts, to_toml
from jaxdqn.language.config import to_toml as to_text

PATHS = [ROOT / folder / "README.md" for folder in (".", "benchmarks", "configs")]
FIRST, OF_BENCHMARKS, OF_CONFIGS = READMES = [path.read_text(encoding="utf-8") for path in PATHS]
BLOCKS = [re.findall(r"```(\w+)\n(.*?)```", readme, re.DOTALL) for readme in READMES]
COMMANDS = {
    "compare": compare.Arguments, "export": export.Arguments,
    "finetune": finetune.Arguments, "plot": plot.Arguments, "resume": resume.Arguments,
}  # fmt: skip
PARSERS = {"train": train.parse, "sweep": sweep.parse, "pretrain": pretrain.parse}


def test_the_python_of_the_readmes_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(to_toml(small()))
    run = ["train", "tiny.toml", "--seeds", "3", "--out", "runs/mine"]
    assert cli.main(["--cache", "off", *run]) == 0
    chosen = []
    # The tests' devices were chosen before.
    monkeypatch.setattr(devices, "use_cores", lambda: chosen.append("cores"))
    (tmp_path / "language.toml").write_text(to_text(little()))
    grid = {"height": 4, "width": 4, "observation": "planes"}
    plans = small(env_kwargs=grid).replace(network="planning", plans=2, rounds=4)
    (tmp_path / "planning.toml").write_text(to_toml(plans))
    names: dict = {}
    for language, code in itertools.chain(*BLOCKS):
        if language == "python" and not {"policy.jax", "optuna"} & set(re.split(r'[\s"/]', code)):
            code = code.replace("configs/maze.toml", str(tmp_path / "tiny.toml"))
            code = code.replace("configs/language.toml", str(tmp_path / "language.toml"))
            code = code.replace('"planning"', repr(str(tmp_path / "planning.toml")))
            code = code.replace(": 25", ": 5").replace(": 64", ": 2").replace("150", "9")
            asked = "updates=200, finetune_updates=200, evaluations=2"
            code = code.replace(asked, "updates=8, evaluations=4")
            exec(code.replace("seeds=16", "seeds=[3, 5]"), names)
    assert chosen == ["cores"]
    assert names["swept"].metrics.loss.shape == (2, 2, 2, 4)
    assert int(names["more"].updates[-1]) == 90
    assert jnp.isfinite(names["result"].eval_return)
    assert "S..#" in names["drawn"].env_kwargs["layout"]
    assert int(names["moves"][names["level"].start]) == 5
    assert names["value"].shape == (12,)
    assert names["rows"].held_out.path.shape == (4,)
    assert float(names["lost"]) == 0.0
    assert names["values"].shape == (4,)
    assert names["elsewhere"].env_kwargs["height"] == 5
    assert 0.0 <= names["found"].held_out.success <= 1.0


def test_cores_are_chosen_before_anything_that_starts_jax():
    code = next(code for language, code in BLOCKS[0] if language == "python")
    before, after = code.split("jaxdqn.devices.use_cores()")
    assert before.strip() == "import jax, jaxdqn"
    assert "load_config" in after
    script = f"{before}jaxdqn.devices.use_cores(3)\nassert len(jax.devices('cpu')) == 3"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("readme", READMES, ids=["first", "benchmarks", "configs"])
def test_the_commands_of_the_readmes_are_understood(readme, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(parts, "PARTS", {word: {**names} for word, names in parts.PARTS.items()})
    (network,) = (code for _, code in BLOCKS[2] if "(NetworkSettings)" in code)
    (tmp_path / "mynet.py").write_text(network)
    known = "|".join([*PARSERS, "evaluate", *COMMANDS])
    # Those that could be typed: not "compare A B ...", not "configs/NAME.toml", not "NAME".
    # Scripts for clusters have a test of their own.
    typed = re.sub(r"(?s)```(?:bash|yaml)\n.*?```", "", readme)
    found = re.findall(rf"jaxdqn ((?:{known}) (?!A B|configs/NAME|NAME)[^`\n|]*)", typed)
    scripts = re.findall(r"python (benchmarks/[^`\n|]*)", readme)
    assert scripts
    for words in map(shlex.split, found):
        command, *arguments = (word for word in words if word != "--help")
        if command in PARSERS:
            path, *options = arguments
            where = options.index("--pretrained") if "--pretrained" in options else len(options)
            options = options[:where] + options[where + 2 :]  # a run that isn't there
            assert PARSERS[command]([str(ROOT / path), *options])
        elif command == "evaluate":  # of a run that isn't there
            run, config = Path(arguments[0]), load_config("planning")
            offered = elsewhere.offer(evaluate.Arguments, run, config)
            read = tyro.cli(type(offered), args=arguments, default=offered, use_underscores=True)
            assert read.run == run
        else:
            tyro.cli(COMMANDS[command], args=arguments, use_underscores=True)
    for script, *options in map(shlex.split, scripts):
        source = (ROOT / script).read_text() + (ROOT / "benchmarks" / "harness.py").read_text()
        for option in options:
            assert not option.startswith("--") or f'"{option}"' in source, f"{script} {option}"


def test_the_scripts_for_clusters_are_well_formed_and_start_what_there_is(monkeypatch):
    """Their shells and their YAML are parsed, and their commands understood."""
    (pods,) = (code for language, code in BLOCKS[2] if language == "yaml")
    together, array = (code for language, code in BLOCKS[2] if language == "bash")
    for script in (together, array):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    service, job = yaml.safe_load_all(pods)
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    pod = job["spec"]["template"]["spec"]
    (command,) = pod["containers"][0]["args"]
    subprocess.run(["sh", "-n"], input=command, text=True, check=True)
    assert (
        pod["subdomain"] == service["metadata"]["name"] == service["spec"]["selector"]["job-name"]
    )
    assert job["metadata"]["name"] == pod["subdomain"]
    assert f"--coordinator {pod['subdomain']}-0.{pod['subdomain']}:" in command
    assert f"--processes {job['spec']['completions']} " in command
    monkeypatch.chdir(ROOT / "configs")
    of_slurm, of_array = (
        script.split("jaxdqn sweep ")[1].replace("configs/", "").replace("\\\n", " ")
        for script in (together, array)
    )
    found = sweep.parse(shlex.split(of_array.replace("$SLURM_ARRAY_TASK_ID", "7")))[1]
    assert (found.seeds, found.shape) == ([7], (2, 1))
    for line in (command.split("jaxdqn sweep ")[1], of_slurm):
        there, _, rest = cli.split_distributed(shlex.split(line))
        assert there
        assert sweep.parse(rest)[0].random == 1024


class Study:
    """Stands in for Optuna's where that isn't installed: every trial gets the lower end."""

    def optimize(self, objective, n_trials):
        trial = SimpleNamespace(suggest_float=lambda _name, low, _high, **_: low)
        self.trials = [objective(trial)]
        with compiles_nothing():
            self.trials += [objective(trial) for _ in range(n_trials - 1)]


def test_the_search_of_optuna_runs_in_twelve_lines(tmp_path, monkeypatch):
    if importlib.util.find_spec("optuna") is None:
        fake = SimpleNamespace(Trial=Any, create_study=lambda **_: Study())
        monkeypatch.setitem(sys.modules, "optuna", fake)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "maze.toml").write_text(to_toml(small()))
    (code,) = (code for _, code in BLOCKS[2] if "optuna" in code)
    assert code.count("\n") <= 12
    names: dict = {}
    exec(code.replace("n_trials=50", "n_trials=2"), names)
    assert len(names["study"].trials) == 2


def test_the_links_of_the_readmes_lead_somewhere():
    for path, readme in zip(PATHS, READMES, strict=True):
        links = re.findall(r'\]\(([^)]+)\)|<img src="([^"]+)"', readme)
        assert links
        for link in ("".join(both) for both in links):
            if not link.startswith("http"):
                file, _, heading = link.partition("#")
                target = path.parent / file if file else path
                assert target.exists(), link
                assert not heading or heading in _headings(_readme(target)), link


def test_the_test_command_is_what_ci_runs():
    assert "<!-- test command -->" in FIRST
    assert "/<!-- test command -->/" in (ROOT / ".ci" / "run").read_text()


def test_the_first_readme_is_read_in_two_screens():
    assert len(FIRST) <= 10_000


def test_every_configuration_and_every_script_is_explained():
    for path in (ROOT / "configs").glob("*.toml"):
        assert f"[{path.name}]({path.name})" in OF_CONFIGS
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert f"`{path.name}`" in OF_BENCHMARKS or f"benchmarks/{path.name}" in OF_BENCHMARKS


def _headings(readme: str) -> list[str]:
    """Return the anchors of a text's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", readme, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def _readme(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "benchmarks/throughput.py --quick --configs maze residual_maze --seeds 3 --num_envs 64",
        # Those that gpu.sh calls are run by test_benchmarks.py, methods.py by test_compare.py.
        "benchmarks/replay.py --quick --capacities 1024",
        "benchmarks/autoreset.py --quick",
        "benchmarks/sweeps.py --quick",
        "benchmarks/compile.py --quick --configs maze --seeds 1",
        # Without the libraries that would have to be fetched.
        "benchmarks/environments.py --quick --only ours --batches 8",
        "benchmarks/peers.py --quick --only ours --envs CartPole-v1",
        "benchmarks/peers.py --quick --iqn --only ours",
        "benchmarks/rollouts.py --quick --only ours --methods ppo --seeds 1",
        "benchmarks/minatar.py --quick --only ours --games Breakout --seeds 2",
        "benchmarks/readme.py --quick --only maze",
        "benchmarks/readme.py --quick --compare",
        "benchmarks/overestimation.py --quick --seeds 2 --noise 1.0",
        "benchmarks/larger_mazes.py --quick --seeds 2",
        "benchmarks/transfer.py --quick --seeds 2 --rates 1e-3 --arms frozen",
        "benchmarks/language.py --quick --only causal --seeds 1",
        "benchmarks/rainbow.py --quick --seeds 2 --tasks serpentine --methods 'Double DQN' Rainbow",
    ],
)
def test_benchmarks_run(command, tmp_path, monkeypatch):
    script, *options = shlex.split(command)
    monkeypatch.setattr(devices, "usable_cores", lambda: len(jax.devices()))
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *options, "--out", str(tmp_path)])
    # Rivals and references promote ranks, as anybody's may.
    with jax.numpy_rank_promotion("allow"):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    (result,) = tmp_path.glob("*.json")
    content = json.loads(result.read_text())
    assert content["machine"]["date"]
    assert content["command"].startswith("benchmarks/"), "by which anybody can measure it again"
    assert len(content) >= 2
    assert [_readme(path) for path in PATHS] == READMES
