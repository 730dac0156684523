"""Shipped settings are found by their names, wherever one is."""

import tomllib

import pytest
from conftest import AGENTS, ROOT

import jaxdqn
from jaxdqn import cli, shipped
from jaxdqn.language import config as language


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_shipped_settings_go_by_their_names():
    assert set(shipped.files().values()) == {*AGENTS, ROOT / "configs" / "language.toml"}


def test_a_name_is_read_as_its_file():
    assert jaxdqn.load_config("maze") == jaxdqn.load_config(ROOT / "configs" / "maze.toml")
    assert jaxdqn.load_config("maze", discount=0.5).discount == 0.5
    assert language.load("language") == language.load(ROOT / "configs" / "language.toml")


def test_a_file_of_ones_own_of_that_name_is_the_one_that_is_read(elsewhere):
    (elsewhere / "maze").write_text("discount = 0.125")
    assert jaxdqn.load_config("maze").discount == 0.125
    assert shipped.spelled_out(["maze", "ppo"]) == ["maze", str(ROOT / "configs" / "ppo.toml")]


def test_a_folder_of_that_name_is_no_settings_but_a_run_to_be_compared(elsewhere):
    (elsewhere / "maze").mkdir()
    assert jaxdqn.load_config("maze") == jaxdqn.load_config(ROOT / "configs" / "maze.toml")
    files = [str(ROOT / "configs" / name) for name in ("maze.toml", "ppo.toml")]
    assert shipped.spelled_out(["maze", "ppo"]) == files
    assert shipped.spelled_out(["maze", "ppo"], runs=True) == ["maze", files[1]]


def test_a_command_finds_them_before_its_options_and_says_what_is_near(capsys, elsewhere):
    assert cli.main(["train", "maze", "--discount", "3"]) == 1
    assert "discount (3.0)" in capsys.readouterr().err
    assert shipped.spelled_out(["--env", "maze"]) == ["--env", "maze"]
    for words, said in (
        (["train", "maz"], "nor the name of shipped settings: did you mean 'maze'?\n"),
        (["train", "--seeds", "1", "maze"], "is a name, no file: write it before options.\n"),
    ):
        assert cli.main(words) == 1
        assert said in capsys.readouterr().err
    with pytest.raises(jaxdqn.ConfigError, match="the name of shipped settings, 'seed_maze'"):
        jaxdqn.load_config("configs/seed_maze.toml")
    assert not list(elsewhere.iterdir())


def test_a_wheel_holds_them():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    inside = told["targets"]["wheel"]["force-include"]["configs"]
    assert ROOT / inside == shipped.FOLDERS[0]
