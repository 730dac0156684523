"""Save, stop, go on: through files training stays the same, bit for bit, and damage is noticed."""

import json
import os
import random
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import RESIDUAL, ROOT, assert_same_bits, small

import jaxdqn
from jaxdqn import ConfigError, training
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import seeds
from jaxdqn.runs.place import CHECKPOINT

KEY = jax.random.key(3)
_GO_ON = """
import sys, jax, numpy as np
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import jaxdqn
from jaxdqn.metrics import concatenate
from jaxdqn.parallel import seeds
for path in sys.argv[2:]:
    state, config, metrics, numbers, *_ = jaxdqn.restore(path)
    if numbers is None:
        state, more = jaxdqn.run(config, state, 2)
    else:
        rows = []
        for state, row in seeds.train_in_periods(config, numbers, state):
            rows += [] if row is None else [row]
        more = concatenate(rows)
    metrics = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=-1), metrics, more)
    jaxdqn.save(path, state, config, metrics, seeds=numbers)
"""


def go_on_in_a_new_process(*paths, cores: int = 2) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _GO_ON, str(cores), *map(str, paths)]
    subprocess.run(command, env=environment, check=True)


def train(config, numbers, state=None, stop=None):
    """Return the state and metrics after ``stop`` evaluations."""
    rows: list = []
    for reached, row in seeds.train_in_periods(config, numbers, state):
        rows += [] if row is None else [row]
        state = reached
        if len(rows) == stop:
            break
    return state, concatenate(rows)


@pytest.mark.parametrize(
    ("changes", "all_numbers"),
    [
        ({}, [None, range(5, 13)]),
        pytest.param(RESIDUAL, [range(5, 13)], marks=pytest.mark.slow),
        pytest.param(
            {"env": "CartPole-v1", "env_kwargs": {}, "env_params": {}, "layer_norm": True,
             "learning_rate_end_factor": 0.0},
            [None],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["maze", "residual", "cartpole, decaying"],
)  # fmt: skip
def test_what_is_saved_and_restored_elsewhere_equals_what_never_stopped(
    tmp_path, changes, all_numbers
):
    """One agent, and eight seeds on two cores."""
    config, expected = small(**changes), {}
    for numbers in all_numbers:
        path = tmp_path / f"{numbers}.npz"
        if numbers is None:
            expected[path] = jaxdqn.train(config, KEY)
            state, rows = jaxdqn.run(config, jaxdqn.init(config, KEY), 2)
        else:
            expected[path] = train(config, numbers)
            state, rows = train(config, numbers, stop=2)
        jaxdqn.save(path, state, config, rows, seeds=numbers)
    go_on_in_a_new_process(*expected)
    for path, numbers in zip(expected, all_numbers, strict=True):
        resumed = jaxdqn.restore(path)
        assert_same_bits((resumed.state, resumed.metrics), expected[path])
        assert resumed.seeds == numbers


@pytest.mark.slow
def test_seeds_go_on_over_another_number_of_cores(tmp_path):
    config, numbers = small(), range(4)
    whole_state, whole = train(config, numbers)
    state, rows = train(config, numbers, stop=2)
    for cores in (1, 3):
        folder = tmp_path / str(cores)
        folder.mkdir()
        jaxdqn.save(folder, state, config, rows, seeds=numbers)
        go_on_in_a_new_process(folder, cores=cores)
        resumed = jaxdqn.restore(folder)
        np.testing.assert_allclose(resumed.metrics.loss, whole.loss, rtol=1e-4)
        np.testing.assert_array_equal(resumed.metrics.env_steps, whole.env_steps)
        actions = resumed.state.replay.storage.a_tm1
        np.testing.assert_array_equal(actions, whole_state.replay.storage.a_tm1)


@pytest.mark.parametrize("numbers", [range(3), pytest.param(range(1), marks=pytest.mark.slow)])
def test_what_is_restored_is_what_was_saved(tmp_path, numbers):
    config = small(max_grad_norm=jnp.inf, learning_rate=1 / 3)
    state, rows = train(config, numbers, stop=1)
    size = jaxdqn.save(tmp_path / "here.npz", state, config, rows, seeds=numbers, seconds=1.5)
    back = jaxdqn.restore(tmp_path / "here.npz")
    assert_same_bits((back.state, back.metrics), (state, rows))
    assert (back.config, back.seeds, back.seconds) == (config, numbers, 1.5)
    assert back.versions["jaxdqn"] == jaxdqn.__version__
    assert size == (tmp_path / "here.npz").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["here.npz"]


def test_settings_come_back_as_the_same_numbers_in_32_bits(tmp_path):
    rate, rewards = np.float32(1e-3), np.full((4, 4), 0.1, np.float32)
    config = small(learning_rate=rate, env_params={"cell_rewards": rewards})
    jaxdqn.save(tmp_path, jaxdqn.init(config, KEY), config)
    back = jaxdqn.restore(tmp_path).config
    assert (type(back.learning_rate), np.float32(back.learning_rate)) == (float, rate)
    np.testing.assert_array_equal(back.env_params["cell_rewards"].astype(np.float32), rewards)


def test_states_of_a_plain_vmap_and_of_any_key_type_are_kept(tmp_path):
    config = small()
    keys = jax.random.split(jax.random.key(1, impl="rbg"), 3)
    state = jax.vmap(jaxdqn.init, (None, 0))(config, keys)
    jaxdqn.save(tmp_path, state, config)
    back = jaxdqn.restore(tmp_path)
    assert_same_bits(back.state, state)
    assert back.state.keys.env.dtype == state.keys.env.dtype
    assert (back.metrics, back.seeds) == (None, None)


def test_numpy_alone_reads_a_checkpoint(tmp_path):
    state = jaxdqn.init(small(), KEY)
    jaxdqn.save(tmp_path, state, small())
    with np.load(tmp_path / CHECKPOINT, allow_pickle=False) as arrays:
        assert arrays["state.replay.added"] == 64
        about = json.loads(arrays["about"].tobytes())
    assert about["versions"]["jax"] == jax.__version__


def test_the_old_checkpoint_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    state = jaxdqn.init(small(), KEY)
    jaxdqn.save(tmp_path, state, small())
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(file, **_):
        file.write(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ConfigError, match=r"can't be written \(no space left on device\)"):
        jaxdqn.save(tmp_path, state, small())
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_to_is_one_clear_error(tmp_path):
    state = jaxdqn.init(small(), KEY)
    for place in ("/proc/no/checkpoint.npz", tmp_path / "absent" / "c.npz", "/dev/full/c.npz"):
        with pytest.raises(ConfigError, match=r"can't be written .*: make room or choose"):
            jaxdqn.save(place, state, small())


def test_a_state_of_other_settings_is_refused_at_save_and_at_run(tmp_path):
    state = jaxdqn.init(small(), KEY)
    for changes, words in [
        ({"capacity": 256}, r"state.replay.storage.\w+ \(int32\[128\]\) .* \(int32\[256\]\)"),
        ({"widths": (8,)}, r"state.agent.params.*bias \(float32\[16\]\) .* \(float32\[8\]\)"),
        ({"widths": (16, 16)}, r"agent.params.*Dense_.* is not what these settings make"),
        ({"num_envs": 8}, r"env_state.\w+ \(int32\[4\]\) .* \(int32\[8\]\)"),
    ]:
        with pytest.raises(ConfigError, match=words):
            jaxdqn.save(tmp_path, state, small(**changes))
        with pytest.raises(ConfigError, match=words):
            jaxdqn.run(small(**changes), state)
    assert not list(tmp_path.iterdir())


def test_many_agents_are_not_taken_for_one():
    config = small()
    many = jax.vmap(jaxdqn.init, (None, 0))(config, jax.random.split(KEY, 3))
    with pytest.raises(ConfigError, match=r"leading axes \(3,\).*jax.vmap"):
        jaxdqn.run(config, many)
    with pytest.raises(ConfigError, match=r"axes \(3,\), and seeds names 2: give as many"):
        next(seeds.train_in_periods(config, range(2), many))
    broken = many.replace(obs=many.obs[:2])
    with pytest.raises(ConfigError, match=r"leading axes \(2,\) and \(3,\): give all"):
        jaxdqn.run(config, broken)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (range(0, 4, 2), r"seeds \(range\(0, 4, 2\)\) must be a range of numbers in a row"),
        ([0, 1], r"seeds \(\[0, 1\]\) must be a range .*: write range\(0, 4\) or the like"),
        (range(7), r"leading axes \(2,\), and seeds names 7: give as many seeds"),
    ],
)
def test_seeds_that_are_not_those_of_the_agents_are_not_kept(tmp_path, numbers, words):
    outline = training.outline(small())
    two = jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), outline)
    with pytest.raises(ConfigError, match=words):
        jaxdqn.save(tmp_path, two, small(), seeds=numbers)


def test_settings_in_the_place_of_the_agent_are_told_where_they_belong(tmp_path):
    state = training.outline(small())
    with pytest.raises(ConfigError, match=r"state \(a Config\).*write jaxdqn.save\(path, state, c"):
        jaxdqn.save(tmp_path, small(), state)
    with pytest.raises(ConfigError, match=r"config \(None\) must be a Config"):
        jaxdqn.save(tmp_path, state, None)


def refuses(tmp_path, state, words, metrics=None, **also) -> None:
    """Whatever ``restore`` couldn't give back is refused, and what was kept before is kept."""
    jaxdqn.save(tmp_path, state, small())
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(ConfigError, match=words):
        jaxdqn.save(tmp_path, state, small(), metrics, **also)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_what_is_no_metrics_of_these_agents_never_replaces_a_checkpoint(tmp_path):
    config = small()
    state, metrics = jaxdqn.run(config, jaxdqn.init(config, KEY), 1)
    two = jax.tree.map(lambda x: jnp.stack([x, x]), metrics)
    row = jax.tree.map(lambda x: x[0], metrics)
    ragged = metrics.replace(loss=jnp.zeros(7))
    found = jaxdqn.evaluate(config, state.agent.params, KEY)
    kind = r"metrics \(of type {}\) must be the Metrics that .* write jaxdqn.save\(path, state, c"
    for wrong, words in [
        (state, kind.format("State")),
        (found, kind.format("Evaluation")),
        ({"loss": metrics.loss}, kind.format("dict")),
        ([metrics], kind.format("list")),
        (two, r"metrics.env_steps \(of shape \[2, 1\]\) is not of .* rows are \[T\]: give the m"),
        (row, r"metrics.env_steps \(of shape \[\]\) is not of the agents in state.* \[T\]"),
        (ragged, r"metrics.loss \(of shape \[7\]\) is not of"),
    ]:
        refuses(tmp_path, state, words, wrong)
    many = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    refuses(tmp_path, many, r"metrics.env_steps \(of shape \[1\]\) .* rows are \[2, T\]", metrics)
    jaxdqn.save(tmp_path, many, config, two, seconds=np.float32(3))
    assert jaxdqn.restore(tmp_path).seconds == 3.0
    assert_same_bits(jaxdqn.restore(tmp_path).metrics, two)


@pytest.mark.parametrize(
    ("also", "words"),
    [
        *(({"seconds": wrong}, r"seconds \(.*\) must be a number, 0 or more")
          for wrong in ("x", -1.0, float("nan"), float("inf"), None, True)),
        *(({"agents": wrong}, r"agents \(.*\) must be a list .*one for each .* axes \(\): change")
          for wrong in ({1, 2}, [{1, 2}], "ab", ["a"])),
    ],
)  # fmt: skip
def test_what_a_checkpoint_cannot_say_never_replaces_one(tmp_path, also, words):
    refuses(tmp_path, jaxdqn.init(small(), KEY), words, **also)


def test_shapes_in_the_place_of_arrays_never_replace_a_checkpoint(tmp_path):
    jaxdqn.save(tmp_path, jaxdqn.init(small(), KEY), small())
    with pytest.raises(ConfigError, match=r"state.agent.*ShapeDtypeStruct.* is not an array of n"):
        jaxdqn.save(tmp_path, training.outline(small()), small())
    assert jaxdqn.restore(tmp_path).config == small()


def test_a_state_that_has_made_all_steps_that_are_counted_goes_no_further():
    config = small()
    last = jaxdqn.init(config, KEY).replace(vector_steps=jnp.int32(2**31 // 4 - 11))
    with pytest.raises(ConfigError, match=r"state has made 2147483604 steps, and 160 more .* 32 b"):
        jaxdqn.run(config, last)
    state, _ = jaxdqn.run(config, last, evaluations=1)
    assert 4 * int(state.vector_steps) == 2**31 - 4


def rewritten(path, change) -> None:
    """Change what is in a checkpoint, with checksums and names as another version writes them."""
    with np.load(path) as arrays:
        content = dict(arrays)
    about = json.loads(content["about"].tobytes())
    change(about, content)
    about["arrays"] = [name for name in content if name != "about"]
    content["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(path, **content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, _: a.update(format=2, versions={"jaxdqn": "9.9"}), "format 2.*jaxdqn 9.9"),
        (lambda a, _: a.update(config=a["config"].replace("discount", "discout")),
         "'discout' is not known in the settings in checkpoint.*'discount'"),
        (lambda _, c: c.pop("state.obs"), "another kind of state.*restore it with jaxdqn 0"),
        (lambda _, c: c.update({"state.new": c["state.obs"]}), "another kind of state"),
        (lambda _, c: c.update({"state.obs": c["state.obs"][:2]}), "another kind of state"),
        (lambda _, c: c.update({"metrics.new": c["state.obs"]}), "another kind of state"),
        (lambda a, _: a["keys"].popitem(), "another kind of state"),
        (lambda a, _: a["keys"].update({"state.keys.env": "md5"}), "another kind of state"),
        (lambda a, _: a.pop("versions"), "is damaged"),
        (lambda a, _: a.update(seeds=3), "is damaged"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_version_is_one_clear_error(tmp_path, change, words):
    jaxdqn.save(tmp_path, jaxdqn.init(small(), KEY), small())
    rewritten(tmp_path / CHECKPOINT, change)
    with pytest.raises(ConfigError, match=words):
        jaxdqn.restore(tmp_path)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("no_such_module:World", r"env \('no_such_module:World'\) names a module that can't be"),
        ("probes:Renamed", r"env \('probes:Renamed'\) names a class that probes doesn't have"),
        ("Maze-unregistered", "env 'Maze-unregistered' is not known"),
    ],
)
def test_settings_that_cannot_be_honoured_here_are_refused_in_their_own_words(tmp_path, env, words):
    jaxdqn.save(tmp_path, jaxdqn.init(small(), KEY), small())
    rewritten(
        tmp_path / CHECKPOINT, lambda a, _: a.update(config=a["config"].replace("Maze-jaxdqn", env))
    )
    with pytest.raises(ConfigError, match=words):
        jaxdqn.restore(tmp_path)


def test_what_is_no_checkpoint_is_one_clear_error(tmp_path):
    for name, content, words in [
        ("absent.npz", None, "doesn't exist: check the path"),
        ("empty.npz", b"", "is damaged"),
        ("text.npz", b"hello", "is damaged"),
    ]:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=words):
            jaxdqn.restore(tmp_path / name)
    with pytest.raises(ConfigError, match="doesn't exist"):
        jaxdqn.restore(tmp_path)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "evil.npz", about=np.array([print], dtype=object))
    for name in ("other.npz", "evil.npz"):
        with pytest.raises(ConfigError, match="is damaged"):
            jaxdqn.restore(tmp_path / name)


def test_fifty_damaged_checkpoints_are_noticed(tmp_path):
    """Flipped bits, cuts, holes, foreign bytes: refused in one sentence, or the same bits."""
    state = jaxdqn.init(small(), KEY)
    jaxdqn.save(tmp_path, state, small())
    path, rng = tmp_path / CHECKPOINT, random.Random(0)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    refused, same = 0, 0
    for kind in range(50):
        content = bytearray(whole)
        place = rng.randrange(directory if kind < 20 else len(whole))
        match kind % 5:
            case 0 | 1:
                content[place] ^= 1 << rng.randrange(8)
            case 2:
                del content[place:]
            case 3:
                content[place : place + 64] = bytes(64)
            case 4:
                content[place:place] = rng.randbytes(9)
        path.write_bytes(content)
        try:
            assert_same_bits(jaxdqn.restore(path).state, state)
            same += 1
        except ConfigError as error:
            said = str(error)
            refused += said.startswith(f"checkpoint '{path}' ") and "\n" not in said
    assert refused + same == 50
    assert same <= 15, "damage that falls on dates and other bytes of the zip means nothing"
