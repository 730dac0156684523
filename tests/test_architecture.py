"""The house: imports go strictly downward, files are small, importing is quick and quiet."""

import ast
import re
import subprocess
import sys
import tokenize

import pytest
from conftest import ROOT

import jaxdqn

PACKAGE = ROOT / "jaxdqn"
FLOORS = [
    {"types", "errors", "deferred", "shipped"},
    {"named", "checksums"},
    {"settings", "random", "precision", "pytrees"},
    {"maze", "networks", "statistics", "losses", "replay"},
    {"config", "interface"},
    {"environment", "method", "language"},
    {"rollouts", "unread"},
    {"algorithm"},
    {"assembly", "metrics"},
    {"evaluation", "walks"},
    {"training"},
    {"parallel"},
    {"runs"},
    {"plots"},
    {"sweeping"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(name: str) -> str:
    """Return the folder of a module, or the module where that has a floor of its own."""
    folder, *rest = name.split(".")
    module = ".".join([folder, *rest[:1]])
    return module if module in HEIGHT else folder


def room_of(path) -> str:
    return room(".".join(path.relative_to(PACKAGE).with_suffix("").parts))


def imported_rooms(path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdqn"):
            inside = node.module.split(".")[1:]
            rooms |= {room(".".join([*inside, alias.name])) for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("jaxdqn."):
                    rooms.add(room(alias.name.removeprefix("jaxdqn.")))
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_strictly_downward(path):
    home = room_of(path)
    if home == "__init__":
        return
    assert home in HEIGHT, f"{home} has no floor"
    for other in imported_rooms(path) - {home}:
        assert HEIGHT[other] < HEIGHT[home], f"{home} imports {other}"


def test_gymnax_is_imported_at_one_place_without_what_it_draws_with():
    importing = [
        path.name for path in FILES if re.search(r"(?m)^ *(import|from) gymnax", path.read_text())
    ]
    assert importing == ["deferred.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small_enough_to_read(path):
    assert len(path.read_text().splitlines()) <= 350


def lines_of_code(path) -> int:
    """Count lines that hold a token of code; docstrings, comments and blank lines are free."""
    free = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
            tokenize.ENDMARKER, tokenize.ENCODING}  # fmt: skip
    with path.open("rb") as file:
        code = [token for token in tokenize.tokenize(file.readline) if token.type not in free]
    lines = {line for token in code for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_double_dqn_is_read_in_a_thousand_lines():
    """From the update to the whole training: all of it but settings, mazes and evaluation."""
    rooms = ["algorithm/acting", "algorithm/codec", "algorithm/descent", "algorithm/dqn",
             "algorithm/exploration", "algorithm/learner", "assembly", "losses/bootstrap",
             "losses/heads", "method", "networks/dense", "networks/linear", "networks/network",
             "replay/ring", "replay/windows", "training", "types"]  # fmt: skip
    assert sum(lines_of_code(PACKAGE / f"{room}.py") for room in rooms) <= 1_000


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_stay_short_enough_to_see_whole(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            said = ast.get_docstring(node, clean=False) or ""
            assert node.end_lineno - node.body[0].lineno - said.count("\n") <= 60, node.name


IMPORTING = """
import sys, jaxdqn
print({'gymnax', 'jax', 'matplotlib', 'orbax'} & set(sys.modules))
import jaxdqn.maze
print({'matplotlib.pyplot', 'pandas', 'scipy.stats', 'seaborn'} & set(sys.modules))
import gymnax
print(gymnax.make('Maze-jaxdqn')[0].name)
import matplotlib
matplotlib.use('svg')
print([getattr(jaxdqn, name) for name in jaxdqn.__all__])
print(matplotlib.get_backend())
"""


def test_importing_is_quick_registers_the_mazes_and_gives_the_public_names():
    command = [sys.executable, "-c", IMPORTING]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    heavy, drawing, maze, names, backend = said
    assert heavy == drawing == "set()"
    assert maze == "Maze-jaxdqn"
    assert "function train" in names
    assert backend == "svg", "a notebook's own choice stays"


def test_every_public_module_says_what_is_public_of_it():
    """All that the READMEs call by its full name, and nothing that it only imports."""
    pages = [ROOT / folder / "README.md" for folder in (".", "configs", "benchmarks")]
    told = re.findall(r"jaxdqn\.(\w+)\.(\w+)", "".join(path.read_text() for path in pages))
    for name in jaxdqn._MODULES:
        module = getattr(jaxdqn, name)
        assert {each for home, each in told if home == name} <= {*module.__all__}
        assert {*module.__all__} <= {*vars(module)}
        assert not {"ConfigError", "jax", "np"} & {*module.__all__}


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()
