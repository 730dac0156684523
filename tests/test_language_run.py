"""Language models on the command line: from text to policy by three commands."""

import contextlib
import importlib.util
import json
import shutil
import signal
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, assert_same_bits, small
from PIL import Image
from test_cli import INTERRUPTED, run_here
from test_language import AGENT, KEY, deep, little, pretrained

import jaxdqn
from jaxdqn import ConfigError, config, maze, pytrees
from jaxdqn.commands import finetune, pretrain
from jaxdqn.language import config as configs
from jaxdqn.language import corpus, exact, generation, losses, measures
from jaxdqn.language import training as language
from jaxdqn.language.config import for_finetuning
from jaxdqn.maze import text
from jaxdqn.plots import language as pictures
from jaxdqn.runs import files, language_console, language_run, place

PICTURES = ("attention.png", "losses.png", "paths.png")


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The folders of two commands, one after the other."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "tiny.toml").write_text(configs.to_toml(little()))
    (folder / "tuned.toml").write_text(configs.to_toml(for_finetuning(little())))
    (folder / "agent.toml").write_text(config.to_toml(small(**AGENT)))
    for command in ("pretrain tiny.toml --out lm", "finetune lm"):
        code, out, err = run_here(*command.split(), cwd=folder)
        assert (code, err) == (0, ""), err
        assert "exactly shortest" in out
    return folder


def test_a_run_folder_has_figures_and_pictures(chain):
    for name, drawn in (("lm", (*PICTURES, "walls.png")), ("lm-finetuned", PICTURES)):
        for picture in drawn:
            with Image.open(chain / name / picture) as image:
                assert min(image.size) > 300
        summary = json.loads((chain / name / "summary.json").read_text())
        assert {"jaxlib", "numpy"} < summary["versions"].keys()
        assert summary["greedy"]["paths"] == 20
        assert sum(x["paths"] for x in summary["greedy"]["by_moves"].values()) == 20
        rows = (chain / name / "metrics.csv").read_text().splitlines()
        assert len(rows) == 1 + 4


def test_its_pictures_are_drawn_again(chain):
    summary = (chain / "lm" / "summary.json").read_bytes()
    before = {path.name: path.read_bytes() for path in (chain / "lm").glob("*.png")}
    for name in before:
        (chain / "lm" / name).unlink()
    code, out, err = run_here("plot", "lm", cwd=chain)
    assert (code, err) == (0, "")
    assert all(name in out for name in before)
    assert {path.name: path.read_bytes() for path in (chain / "lm").glob("*.png")} == before
    assert (chain / "lm" / "summary.json").read_bytes() == summary
    code, _, err = run_here("plot", "lm", "--seed", 1, cwd=chain)
    assert code == 1
    assert "seed (1) is of agents, and run 'lm' is a language model's: leave it out." in err


def test_a_model_is_judged_again_by_other_paths(chain, monkeypatch):
    code, out, err = run_here("evaluate", "lm", cwd=chain)
    assert (code, err) == (0, "")
    assert "20 paths written in 20 held-out mazes" in out
    summary = json.loads((chain / "lm" / "summary.json").read_text())
    again = json.loads((chain / "lm" / "evaluation.json").read_text())
    assert {name: again[name] for name in ("greedy", "sampled")} == {
        name: summary[name] for name in ("greedy", "sampled")
    }
    model = language_run.restore(chain / "lm")
    _, whole = language_run.write_paths(model.config, model.state.params, KEY, 16)
    monkeypatch.setattr(language_run, "JUDGED", 16)
    found, paths = language_run.write_paths(model.config, model.state.params, KEY, 48)
    assert_same_bits(jax.tree.map(lambda x: x[:16], paths), whole)
    assert sum(x["paths"] for x in found["sampled"]["by_moves"].values()) == 48
    assert found["mazes"] == 20
    prompts = np.asarray(paths.tokens)[:, : text.prompt_length(model.config.cells)]
    ends, mazes = prompts[:, [text.GOAL_AT, text.AGENT_AT]], prompts[:, : text.GOAL_AT]
    assert (mazes[:20] == mazes[20:40]).sum(axis=1).min() == model.config.cells + 2, "in turn"
    assert len({of_maze.tobytes() for of_maze in mazes[:20]}) == 20
    assert (ends[:20] != ends[20:40]).any(), "but not between the same cells"


def test_where_no_floor_is_known_none_is_shown(capsys):
    """Of permuted cells none but that of goal and start: which are neighbours isn't known."""
    config = little(permuted=True, updates=4, finetune_updates=4, evaluations=2)
    state, rows = language.pretrain(config, KEY)
    held_out = rows.held_out
    assert np.isnan([rows.board_floor, held_out.path_floor]).all()
    assert np.isfinite([held_out.ends_floor, held_out.path, held_out.perplexity]).all()
    read = language_run.LanguageRun(config, state, jax.device_get(rows), 1.0)
    language_console.report_row(read)
    said = capsys.readouterr().out
    assert "walls" in said
    assert "floor" not in said
    titles = [axes.get_title() for axes in pictures.losses(read, "lm").axes]
    assert ["floor" in title for title in titles] == [False, True, False]
    assert all("nan" not in words for words in (said, *titles))


def test_a_model_that_leaves_the_finite_numbers_stops_at_its_last_finite_row(tmp_path):
    (tmp_path / "wild.toml").write_text(
        configs.to_toml(little(learning_rate=1e3, weight_decay=1e3))
    )
    code, out, err = run_here("pretrain", "wild.toml", "--out", "lm", cwd=tmp_path)
    assert code == 1
    assert "left the finite numbers" in err
    assert "train anew with a learning_rate below 1000 or a max_grad_norm below 1" in err
    kept = language_run.restore(tmp_path / "lm")
    assert 0 < kept.rows < 4
    assert f"after update {2 * kept.rows}, so it stops" in err
    assert out.count("texts") == 1 + kept.rows
    assert not pytrees.nonfinite(kept.state.params)


def test_what_has_read_nothing_has_no_pictures(tmp_path):
    config = little()
    begun = language_run.begin(tmp_path / "lm", config, language.init(config, KEY))
    language_run.save(tmp_path / "lm", begun)
    code, _, err = run_here("plot", "lm", cwd=tmp_path)
    assert code == 1
    assert "run 'lm' has nothing to draw yet: go on first with jaxdqn resume lm." in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "train tiny.toml",
            "('tiny.toml') sets 'stage', which is of a language model: use jaxdqn",
        ),
        ("train tiny.toml --seeds 1", "use jaxdqn pretrain tiny.toml."),
        ("sweep tiny.toml", "which is of a language model: use jaxdqn pretrain tiny.toml."),
        ("pretrain agent.toml", "which is of an agent: use jaxdqn train agent.toml."),
    ],
)
def test_a_file_for_another_command_is_told_by_what_it_sets(chain, command, words):
    code, _, err = run_here(*command.split(), cwd=chain)
    assert code == 1
    assert words in err


BRIEF = "--total_steps 120 --warmup_steps 64 --evaluations 2 --eval_episodes 2 --widths"


@pytest.fixture(scope="module")
def agent(chain):
    """The folder of an agent that began with a language model, which lies beside it."""
    begin = "train agent.toml --pretrained lm-finetuned --trunk_rate 0 --seeds 1 --out begun"
    code, _, err = run_here(*begin.split(), *BRIEF.split(), cwd=chain)
    assert (code, err) == (0, "")
    return chain / "begun"


def test_the_third_command_leads_to_policy(agent):
    weights = language_run.restore(agent.parent / "lm-finetuned").state.params["params"]["trunk"]
    with contextlib.chdir(agent.parent):
        params = jaxdqn.restore("begun").state.agent.params
    trunk = jax.tree.map(lambda x: x[0], params["params"]["trunk"])
    assert_same_bits(trunk["block_0"], weights["block_0"])


def test_an_agent_is_judged_on_as_many_unread_mazes_as_there_are(agent):
    """Of 40 mazes that the model left, it is trained on 10; by default 256 are looked for."""
    code, out, err = run_here("evaluate", "begun", "--episodes", 2, cwd=agent.parent)
    assert (code, err) == (0, "")
    assert "levels found beside those of training: 30" in out
    assert "note: pretrained" not in out
    code, _, err = run_here("evaluate", "begun", "--levels", 31, cwd=agent.parent)
    assert code == 1
    assert "levels (31) exceeds the 30 found beside those of training: write --levels 30" in err


def test_agents_are_no_language_model_to_begin_with(agent):
    code, _, err = run_here("train", "agent.toml", "--pretrained", "begun", cwd=agent.parent)
    assert code == 1
    assert "pretrained ('begun') is the run folder of agents, and a network begins with" in err


@pytest.mark.parametrize("changes", [{"layers": 2}, {"width": 16}, {"heads": 4}, {}])
def test_weights_that_are_not_of_their_settings_teach_nothing(chain, tmp_path, changes):
    """Whichever of the two is another's; of deeper ones not the first layers."""
    model = shutil.copytree(chain / "lm", tmp_path / "lm")
    (model / "config.toml").write_text(configs.to_toml(little(**changes)))
    if not changes:
        (model / "summary.json").unlink()
        language_run.write_weights(model, deep()[1])
    with pytest.raises(ConfigError, match=r"^pretrained\.\S+ .* put config.toml and .*lm' back as"):
        jaxdqn.train(small(**AGENT | changes, pretrained=str(model)), KEY)


def test_a_trained_agent_needs_no_model_any_more(agent, tmp_path):
    shutil.copytree(agent, tmp_path / "begun")
    shutil.copy(agent.parent / "agent.toml", tmp_path)
    options = ("begun", "--episodes", 2, "--levels", 30)
    code, out, err = run_here("evaluate", *options, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "note: pretrained ('lm-finetuned') isn't there, so that it can't be said" in out
    assert "held out" in out
    commands = ["plot begun", "resume begun --total_steps 180"]
    if importlib.util.find_spec("flatbuffers"):
        commands.append("export begun")
    for command in commands:
        code, _, err = run_here(*command.split(), cwd=tmp_path)
        assert (code, err) == (0, ""), command
    for command in (f"train agent.toml {BRIEF}", "sweep agent.toml --trunk_rate 0 1"):
        options = "--pretrained lm-finetuned --seeds 1 --out again"
        code, out, err = run_here(*command.split(), *options.split(), cwd=tmp_path)
        assert (code, "compiling" in out) == (1, False)
        assert "pretrained ('lm-finetuned') can't be read (no such file or directory)" in err
    assert not (tmp_path / "again").exists()


def test_the_command_is_the_function(chain):
    found = language_run.restore(chain / "lm")
    state, metrics = pretrained()
    assert_same_bits(found.state, state)
    np.testing.assert_array_equal(found.metrics.loss, metrics.loss)


def test_a_refusal_that_is_no_fault_of_the_file_is_passed_on(chain, monkeypatch):
    def refuse(_):
        raise ConfigError("heads (2) is refused: change it.")

    monkeypatch.setattr(language, "outline", refuse)
    with pytest.raises(ConfigError, match=r"^heads \(2\) is refused: change it.$"):
        language_run.restore(chain / "lm")


@pytest.mark.parametrize("change", [lambda _: {}, lambda rows: {"metrics.loss": rows[1:]}])
def test_a_checkpoint_of_other_rows_than_are_measured_here_is_refused(chain, tmp_path, change):
    path = shutil.copytree(chain / "lm", tmp_path / "lm") / place.LANGUAGE
    about, arrays = files.read_arrays(path, "checkpoint")
    files.write_arrays(path, about, arrays | change(arrays.pop("metrics.loss")), "checkpoint")
    with pytest.raises(ConfigError, match=r"holds another kind of state than this jaxdqn makes"):
        language_run.restore(tmp_path / "lm")


def test_a_folder_without_its_checkpoint_is_still_a_language_models(chain, tmp_path):
    (shutil.copytree(chain / "lm", tmp_path / "lm") / place.LANGUAGE).unlink()
    for command in ("resume", "evaluate", "plot", "finetune"):
        code, _, err = run_here(command, "lm", cwd=tmp_path)
        assert code == 1
        assert "'lm/language.npz' doesn't exist: check the path, or pretrain first." in err


@pytest.mark.slow
def test_what_muon_remembers_is_kept(tmp_path):
    config = little(optimizer="muon")
    begun = language_run.begin(tmp_path / "lm", config, language.init(config, KEY))
    language_run.carry_on(tmp_path / "lm", begun, 0.0, lambda so_far: so_far.rows == 2)
    whole = language_run.carry_on(
        tmp_path / "lm", language_run.restore(tmp_path / "lm"), 60.0, lambda _: 0
    )
    state, metrics = language.pretrain(config, KEY)
    assert_same_bits(whole.state, state)
    assert metrics.held_out.board[-1] < metrics.held_out.board[0]


def test_a_training_stopped_anywhere_ends_in_the_same_bits(chain, tmp_path):
    """The checkpoint after two rows is what a kill at any later moment would leave."""
    begun = language_run.begin(tmp_path / "lm", little(), language.init(little(), KEY))
    language_run.carry_on(tmp_path / "lm", begun, 0.0, lambda so_far: so_far.rows == 2)
    half = language_run.restore(tmp_path / "lm")
    assert (half.rows, int(half.state.updates)) == (2, 4)
    whole = language_run.carry_on(tmp_path / "lm", half, 60.0, lambda _: False)
    there = language_run.restore(chain / "lm")
    assert_same_bits(whole.state, there.state)
    assert_same_bits(language_run.restore(tmp_path / "lm").metrics, there.metrics)


def test_a_signal_keeps_what_was_read_and_resume_goes_on_to_the_same_bits(
    chain, tmp_path, monkeypatch
):
    real = language_console.report_row

    def interrupted(so_far):
        real(so_far)
        if so_far.rows == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(language_console, "report_row", interrupted)
        file = chain / "tiny.toml"
        code, out, err = run_here("pretrain", file, "--out", "lm", cwd=tmp_path)
    assert (code, err) == (130, INTERRUPTED)
    assert "stopped after 4 of 8 updates; go on with: jaxdqn resume lm" in out
    killed = tmp_path / "lm" / f"language.npz.{socket.gethostname()}.{2**30}.tmp"
    killed.touch()
    code, out, err = run_here("resume", "lm", cwd=tmp_path)
    assert not killed.exists()
    assert (code, err) == (0, "")
    assert "exactly shortest" in out
    assert_same_bits(
        language_run.restore(tmp_path / "lm").state, language_run.restore(chain / "lm").state
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["carry_on", "judge"])
def test_a_signal_after_the_last_update_says_how_results_are_had(
    chain, tmp_path, monkeypatch, number, when
):
    """Heard at the last row or later, before paths are written, of which there may be many."""
    shutil.copytree(chain / "lm", tmp_path / "lm")
    before = signal.getsignal(number)

    def interrupted(*arguments):
        signal.raise_signal(number)
        return arguments[1]  # the training, at its end

    monkeypatch.setattr(language_run, when, interrupted)
    code, out, err = run_here("resume", "lm", cwd=tmp_path)
    assert (code, err) == (130, INTERRUPTED if when == "carry_on" else "")
    assert out.endswith("\nstopped after 8 of 8 updates; go on with: jaxdqn resume lm\n")
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_mazes_are_made_is_answered_and_leaves_nothing(
    chain, tmp_path, monkeypatch, number
):
    monkeypatch.setattr(corpus, "banks", lambda _: signal.raise_signal(number))
    code, _, err = run_here("pretrain", chain / "tiny.toml", "--out", "lm", cwd=tmp_path)
    assert (code, err) == (130, "jaxdqn: interrupted; what was saved is kept.\n")
    assert not (tmp_path / "lm").exists()


def test_a_full_disk_is_told_and_reading_goes_on(tmp_path, monkeypatch, capsys):
    """But not before it begins, or at its end: then there is nothing to go on with."""
    real, calls, full = np.savez, [], {2, 3}

    def full_for_a_while(file, **arrays):
        calls.append(file)
        if len(calls) in full:
            raise OSError(28, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", full_for_a_while)
    begun = language_run.begin(tmp_path / "lm", little(), language.init(little(), KEY))
    ended = language_run.carry_on(tmp_path / "lm", begun, 0.0, lambda _: False)
    assert (ended.rows, len(calls)) == (4, 5)
    path = tmp_path / "lm" / place.LANGUAGE
    assert capsys.readouterr().err == (
        f"jaxdqn: checkpoint '{path}' can't be written (no space left on device): make room or "
        "choose another place; training goes on.\n"
    )
    assert_same_bits(language_run.restore(tmp_path / "lm").state, ended.state)
    for later in (6, 8):
        full.add(later)
        with pytest.raises(ConfigError, match=r"can't be written \(no space left on device\)"):
            language_run.carry_on(tmp_path / "lm", begun, 60.0, lambda _: False)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_model_that_is_carried_on_further_is_one_that_went_so_far_at_once(tmp_path, stage):
    """Where the step size stays; one that falls would have to have known the end."""
    steady = little(learning_rate_end_factor=1.0, updates=6, finetune_updates=6, evaluations=3)
    length = "updates" if stage == "pretrain" else "finetune_updates"
    whole = steady.replace(**{length: 10}, evaluations=5)
    if stage == "finetune":
        steady, whole = for_finetuning(steady), for_finetuning(whole)
    begun = language_run.begin(tmp_path / "lm", steady, language.init(steady, KEY))
    language_run.carry_on(tmp_path / "lm", begun, 60.0, lambda _: False)
    code, out, err = run_here("resume", "lm", "--updates", 9, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "10 updates of" in out
    found = language_run.restore(tmp_path / "lm")
    kept = configs.from_toml((tmp_path / "lm" / "config.toml").read_text(), "config.toml")
    assert found.config == kept
    assert (found.rows, kept.updates, kept.evaluations) == (5, 10, 5)
    assert kept == whole
    state, rows = language.run(whole, language.init(whole, KEY))
    assert_same_bits(found.state, state)
    np.testing.assert_array_equal(found.metrics.loss, rows.loss)


def test_the_divergence_is_the_expected_distance_from_the_floor():
    """Over all trees KL(exact ‖ model) is the mean loss on the walls less their entropy."""
    settings, params = little(), pretrained()[0].params
    every = maze.bank("corridors", 5, 5, count=192).walls
    far = measures.divergence(settings, params, every, text.SOLUTION)
    assert (far > -1e-6).all()
    prompts = jax.vmap(lambda walls: text.prompt(walls, 0, 24, text.SOLUTION))(every)
    tokens = jnp.pad(prompts.astype(jnp.int32), ((0, 0), (0, 17)), constant_values=text.PADDING)
    found = jax.jit(jax.vmap(losses.next_tokens, (None, None, 0)))(settings, params, tokens)
    mean = float(found[:, 1:26].sum(axis=1).mean())
    assert far.sum() == pytest.approx(mean - exact.board_entropy(5, 5), rel=1e-4)


def test_the_shipped_settings_are_read_and_agree_with_one_another():
    read = configs.load(ROOT / "configs" / "language.toml")
    agent = jaxdqn.load_config(ROOT / "configs" / "transformer_maze.toml")
    for name in ("layers", "heads", "width"):
        assert getattr(read, name) == getattr(agent, name)
    for name, value in read.env_kwargs.items():
        assert agent.env_kwargs[name] == value


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        ("pretrain", ["CONFIG"]),
        ("pretrain nowhere.toml", ["nowhere.toml", "check the path"]),
        ("pretrain tiny.toml --seed -1", ["seed (-1)", "change it"]),
        ("pretrain tiny.toml --heads 3", ["multiple of heads (3)"]),
        ("pretrain tiny.toml --out lm --mazes 153", ["exists already", "another folder"]),
        ("pretrain tiny.toml --out new --mazes 153", ["mazes (153)", "lower it"]),
        ("pretrain tiny.toml --out new --env_kwargs.num_held_out 0", ["num_held_out (0)"]),
        ("pretrain tiny.toml --out new --env_kwargs.generator foo", ["Invalid choice", "foo"]),
        ("pretrain tiny.toml --lr 1", ["'lr' is not known: did you mean 'learning_rate'?"]),
        ("pretrain tiny.toml --stage finetune", ["Unrecognized", "--stage"]),
        ("pretrain tuned.toml", ["stage ('finetune')", "jaxdqn finetune", "leave it out"]),
        ("pretrain agent.toml", ["sets 'method'", "use jaxdqn train agent.toml"]),
        ("finetune lm --out new --finetune_starts 26", ["finetune_starts (26)", "25 cells"]),
        ("finetune lm --out new --finetune_updates 2", ["warmup_updates (2) must be below"]),
        ("finetune lm --out new --finetune_learning_rate -1", ["finetune_learning_rate (-1.0)"]),
        ("finetune lm-finetuned", ["was fine-tuned already"]),
        ("finetune nowhere", ["nowhere", "doesn't exist"]),
        ("finetune nowhere", ["nowhere", "check the path, or pretrain first."]),
        ("resume lm --total_steps 9", ["total_steps (9)", "leave it out"]),
        ("resume lm --updates 6", ["updates (6) is less than the 8 done already", "raise it"]),
        ("resume lm --updates 999999999", ["updates (1000000000) × batch_size (8)", "lower one"]),
        ("resume lm --updates 0", ["updates (0) is less than the 8 done already", "raise it"]),
        ("evaluate lm --levels 3", ["levels (3) is of agents", "leave it out"]),
        ("evaluate lm --episodes 0", ["episodes (0) must be from 1 to 100,000", "change it"]),
        ("resume edited", ["width (16) in 'edited/config.toml' was 8", "put config.toml back"]),
        ("resume lm --tensorboard", ["tensorboard (True) is of agents", "leave it out"]),
    ],
)
def test_wrong_commands_end_in_one_sentence(chain, command, fragments):
    if "edited" in command:
        (chain / "edited").mkdir()
        shutil.copy(chain / "lm" / "language.npz", chain / "edited")
        text = (chain / "lm" / "config.toml").read_text().replace("width = 8", "width = 16")
        (chain / "edited" / "config.toml").write_text(text)
    code, _, err = run_here(*command.split(), cwd=chain)
    assert code in (1, 2)
    for fragment in fragments:
        assert fragment in err
    assert not (chain / "new").exists(), "a refused command leaves no run folder"


def test_the_help_of_a_language_model_offers_all_mazes_and_sweeps_nothing(chain):
    (chain / "square.toml").write_text("[env_kwargs]\nheight = 5\nnum_held_out = 4")
    for line in (("pretrain", "square.toml"), ("finetune",)):
        code, said, _ = run_here(*line, "--help", cwd=chain)
        assert (code, "sweepable" in said, "--stage" in said) == (0, False, False)
        for name in ("updates", "learning_rate", "starts", "longest"):
            assert f"--finetune_{name}" in said
        if line[0] == "pretrain":
            assert "{uniform,depth_first}" in said
            assert "probability that a dead end is opened" in " ".join(said.split())
            assert "(default: 5)" in said
            for name in ("generator", "width", "difficulty", "num_levels", "level_seed"):
                assert f"--env_kwargs.{name}" in said
            assert not any(f"--env_kwargs.{name}" in said for name in configs.UNREAD)


def test_options_change_the_mazes_and_the_fine_tuning(chain, tmp_path, monkeypatch):
    monkeypatch.chdir(chain)
    chosen = pretrain.parse(["tiny.toml", "--env_kwargs.carver", "depth_first"]).settings
    assert dict(chosen.env_kwargs) == {**little().env_kwargs, "carver": "depth_first"}
    said = []
    monkeypatch.setattr(finetune, "watch", lambda _, begun, __: said.append(begun.config))
    words = {"updates": 9, "learning_rate": 0.5, "starts": 3, "longest": 4}
    line = [f"--finetune_{name}={value}" for name, value in words.items()]
    finetune.main(["lm", *line, "--warmup_updates=1", "--out", str(tmp_path / "tuned")])
    (config,) = said
    assert {name: getattr(config, name) for name in words} == words
    assert (config.stage, config.warmup_updates) == ("finetune", 1)


def test_a_fine_tuning_lies_beside_the_run_that_is_named_from_inside(chain):
    code, _, err = run_here("finetune", ".", cwd=chain / "lm")
    assert code == 1
    assert f"out ('{chain / 'lm-finetuned'}') exists already" in err


def test_a_fine_tuning_is_named_as_its_run_was_typed(chain):
    for typed in ("lm", f"../{chain.name}/lm", str(chain / "lm")):
        code, _, err = run_here("finetune", typed, cwd=chain)
        assert code == 1
        assert f"out ('{typed}-finetuned') exists already" in err


def test_a_training_that_has_not_ended_is_not_fine_tuned(tmp_path):
    begun = language_run.begin(tmp_path / "lm", little(), language.init(little(), KEY))
    language_run.save(tmp_path / "lm", begun)
    code, _, err = run_here("finetune", "lm", cwd=tmp_path)
    assert code == 1
    assert "has not ended" in err
    assert "jaxdqn resume" in err
    (tmp_path / "lm" / place.LANGUAGE).write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="damaged"):
        language_run.restore(tmp_path / "lm")


def test_of_lengths_that_no_path_has_no_share_is_known_and_no_interval():
    right, wrong = np.ones(2, bool), np.zeros(2, bool)
    verdicts = generation.Verdicts(
        tokens=np.zeros((2, 1)), moves=np.array([1, 20]), valid=right, solved=right,
        shortest=right, wrong_end=wrong, invalid_token=wrong,
    )  # fmt: skip
    found = measures.summarise(verdicts, (8, 16))["by_moves"]
    assert [found[lengths]["paths"] for lengths in ("1 to 8", "9 to 16", "17 to 20")] == [1, 0, 1]
    for name in measures.SHARES:
        assert np.isnan([*found["9 to 16"][name].values()]).all()
