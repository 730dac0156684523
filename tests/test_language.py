"""Texts of mazes, their exact entropies, and a model that reads and writes them."""

import functools
import itertools
import math
import shutil
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import MOVES, assert_same_bits, breadth_first, compiles_nothing, small
from flax import serialization

import jaxdqn
from jaxdqn import ConfigError, assembly, maze, training, unread
from jaxdqn.config import notes
from jaxdqn.language import corpus, exact, generation, losses, optimizers, probing
from jaxdqn.language import training as language
from jaxdqn.language.config import LanguageConfig, for_finetuning, from_toml, to_toml
from jaxdqn.maze import solve, text
from jaxdqn.networks import transformer
from jaxdqn.networks.network import Seen
from jaxdqn.networks.transformer import TransformerSettings
from jaxdqn.runs import language_run

KEY = jax.random.key(0)
MAZES = {"generator": "corridors", "height": 5, "width": 5, "num_levels": 20, "num_held_out": 20}
LENGTH = text.prompt_length(25)


def little(**changes):
    """Return settings of a model that is trained in a moment, on 100 mazes of 5×5."""
    settings = {
        "env_kwargs": MAZES, "mazes": 100, "path_length": 17, "updates": 8, "evaluations": 4,
        "eval_texts": 8, "batch_size": 8, "layers": 1, "heads": 2, "width": 8,
        "finetune_updates": 8, "warmup_updates": 2,
    }  # fmt: skip
    return LanguageConfig(**{**settings, **changes})


@functools.cache
def pretrained():
    return language.pretrain(little(), KEY)


@functools.cache
def deep():
    """Return settings of a model of two layers, and its weights before training."""
    config = little(layers=2)
    return config, language.init(config, KEY).params


draw = jax.jit(corpus.draw)


@functools.cache
def texts(kind: str):
    shares = dict.fromkeys(("alone", "walks", "solutions"), 0.0)
    detours = 0.0 if kind == "shortest" else 0.2
    chosen = {"solutions" if kind == "shortest" else kind: 1.0}
    bank = corpus.banks(little())[1]
    config = little(**{**shares, **chosen}, detours=detours)
    return jax.device_get(draw(config, bank, jnp.arange(100), KEY))


@jax.jit
def logits_of(config, params, tokens):
    return config.model().apply(params, tokens)


@pytest.mark.parametrize("generator", ["corridors", "braid", "scatter", "rooms"])
@pytest.mark.parametrize("kind", text.KINDS)
def test_text_level_and_path_round_trip(generator, kind):
    level = maze.level(maze.bank(generator, 5, 5, seed=3), 0)
    path = [] if kind == "alone" else level.cells[1:].tolist()
    written = text.write(level, path, kind)
    assert text.decode(text.encode(written, 25), 25) == written
    read, walked = text.read(written, 5, 5)
    np.testing.assert_array_equal(read.walls, level.walls)
    np.testing.assert_array_equal(read.cells, level.cells)
    assert walked == path
    assert written.split()[-1] == "end"


def test_the_vocabulary_is_published_and_small_tokens_are_stored_small():
    assert text.vocabulary(9)[:4] == maze.TOKENS
    assert len(set(text.vocabulary(9))) == len(text.WORDS) + 9
    assert text.dtype(25) == np.uint8
    assert text.dtype(256) == np.uint16


def test_what_an_agent_sees_differs_in_the_last_token_alone():
    env = maze.Maze(**{**MAZES, "observation": "text"})
    seen = np.asarray(env.observe_everywhere(env.default_params, jnp.int32(0), jnp.int32(24)))
    assert len(np.unique(seen[:, :-1], axis=0)) == 1
    assert [text.vocabulary(25)[token] for token in seen[:, -1]] == [str(c) for c in range(25)]
    level = maze.level(env.default_params.levels, 0)
    assert text.decode(seen[0], 25) == text.write(level)


def test_the_last_words_of_choices_are_the_cells_that_the_moves_lead_to():
    text_of, with_choices = (
        maze.Maze(**{**MAZES, "observation": kind}) for kind in ("text", "choices")
    )
    params, (level, goal) = with_choices.default_params, jnp.int32([0, 24])
    seen = np.asarray(with_choices.observe_everywhere(params, level, goal))
    np.testing.assert_array_equal(seen[:, :-4], text_of.observe_everywhere(params, level, goal))
    assert with_choices.observation_space(params).shape == seen[0].shape
    walls = np.asarray(params.levels.walls[0])
    for cell in range(25):
        for word, (down, right) in zip(seen[cell, -4:], MOVES, strict=True):
            row, column = cell // 5 + down, cell % 5 + right
            opens = 0 <= row < 5 and 0 <= column < 5 and not walls[row, column]
            assert text.vocabulary(25)[word] == str(row * 5 + column if opens else cell)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ("solution free door", ["text contains 'door'", "free, wall", "0 to 24"]),
        ("solution free free goal 3 agent 0", ["describes no maze of 5×5 cells", "25 cells"]),
        (" ".join(["end", *["free"] * 25, "goal 3 agent 0"]), ["describes no maze"]),
        (" ".join(["walk", *["free"] * 25, "goal 3 agent 3"]), ["describes no maze"]),
        (" ".join(["walk", *["wall"] * 25, "goal 3 agent 4"]), ["describes no maze", "free cell"]),
    ],
)
def test_a_text_of_no_maze_is_refused(words, fragments):
    with pytest.raises(ConfigError) as refusal:
        text.read(words, 5, 5)
    for fragment in fragments:
        assert fragment in str(refusal.value)


def test_no_maze_of_the_corpus_is_one_of_an_agents():
    """All of them, training levels and held-out ones; and none is in the corpus twice."""
    env = maze.Maze(**MAZES).default_params
    held_out, bank = corpus.banks(little(mazes=152))
    marks = [set(map(bytes, np.asarray(levels.walls))) for levels in (env.levels, held_out, bank)]
    assert [len(found) for found in marks] == [20, 20, 152]
    assert len(set.union(*marks)) == 192, "all spanning trees of a 3×3 lattice"
    np.testing.assert_array_equal(held_out.walls, env.held_out.walls)


def test_each_maze_is_read_once_before_any_is_read_again():
    config = little(env_kwargs={**MAZES, "num_levels": 10}, mazes=16)
    bank = corpus.banks(config)[1]
    indices = [language.indices_of(config, len(bank), jnp.int32(update)) for update in range(4)]
    assert sorted(np.concatenate(indices[:2]).tolist()) == list(range(16))
    np.testing.assert_array_equal(indices[0], indices[2])


@pytest.mark.parametrize("size", [(3, 5), (5, 5), (7, 7), (9, 13)])
def test_the_chain_of_effective_resistances_is_kirchhoffs_count(size):
    """Each spanning tree has probability one over their number, token by token."""
    walls = np.asarray(maze.bank("corridors", *size, count=15).walls)
    free = exact.board_probabilities(walls)
    surprise = -np.log(np.where(walls, 1 - free, free)).sum(axis=(1, 2))
    np.testing.assert_allclose(surprise, exact.board_entropy(*size), rtol=1e-12)
    counted = {(3, 5): math.log(15), (5, 5): math.log(192), (7, 7): math.log(100_352)}
    assert exact.board_entropy(*size) == pytest.approx(counted.get(size, surprise[0]), rel=1e-12)


def test_conditional_probabilities_are_shares_of_all_trees():
    walls = np.asarray(maze.bank("corridors", 5, 5, count=192).walls)
    free = exact.board_probabilities(walls).reshape(192, 25)
    flat = walls.reshape(192, 25)
    for cell in range(25):
        beginnings = [bytes(row[:cell]) for row in flat]
        seen, opened = Counter(beginnings), Counter()
        for beginning, wall in zip(beginnings, flat[:, cell], strict=True):
            opened[beginning] += not wall
        expected = [opened[beginning] / seen[beginning] for beginning in beginnings]
        np.testing.assert_allclose(free[:, cell], expected, atol=1e-12)


def test_floors_are_claimed_only_where_they_are_known():
    assert exact.board_floor(MAZES) == exact.board_entropy(5, 5)
    assert exact.board_floor({**MAZES, "difficulty": None}) == exact.board_entropy(5, 5)
    for changes in ({"carver": "depth_first"}, {"generator": "rooms"}, {"difficulty": (8, 8)}):
        assert math.isnan(exact.board_floor({**MAZES, **changes}))


@pytest.mark.parametrize("kind", ["walks", "solutions", "shortest", "alone"])
def test_each_token_is_as_surprising_as_its_probability(kind):
    """Against plain Python: who knows the maze, and how texts are made, can't do better."""
    written = texts(kind)
    wander = {"walks": 1.0, "solutions": 0.2, "shortest": 0.0, "alone": 0.0}[kind]
    arrived = 0
    for tokens, surprise, moves in zip(*vars(written).values(), strict=True):
        level, path = text.read(text.decode(tokens, 25), 5, 5)
        far = breadth_first(level.walls, level.goal)
        assert moves == far[level.start]
        assert surprise[LENGTH - 3] == pytest.approx(math.log(17)), "9 nodes and 8 edges are free"
        assert surprise[LENGTH - 1] == pytest.approx(math.log(16))
        cell = level.start
        for place, after in enumerate(path):
            beside = [cell + step for step in (-5, 5, -1, 1)]
            opens = [c for c in beside if abs(c % 5 - cell % 5) < 2 and 0 <= c < 25
                     and not level.walls.flat[c]]  # fmt: skip
            assert after in opens
            nearer = far[after] < far[cell]
            chance = wander / len(opens) + (1 - wander) * nearer
            assert surprise[LENGTH + place] == pytest.approx(-math.log(chance), abs=1e-5)
            cell = after
        ended = kind == "alone" or (cell == level.goal and len(path) < 17)
        assert (text.END in tokens) == ended
        arrived += ended
        assert level.goal not in path[:-1]
        if kind == "shortest":
            assert len(path) == moves
        assert not surprise[LENGTH + len(path) :].any()
    assert arrived == 100 or kind in ("walks", "solutions")


def test_the_nearest_starts_are_drawn_where_long_paths_are_not_wanted():
    config = little(longest=3, alone=0.0, walks=0.0)
    found = draw(config, corpus.banks(config)[1], jnp.arange(100), KEY)
    assert set(found.moves.tolist()) == {1, 2, 3}


def test_permuted_texts_are_the_same_mazes_with_cells_out_of_place():
    tokens = jnp.asarray(texts("shortest").tokens[0])
    places = jax.random.permutation(KEY, 25)
    moved = corpus.permute(tokens, places)
    np.testing.assert_array_equal(moved[1:26][places], tokens[1:26])
    for before, after in zip(tokens.tolist(), moved.tolist(), strict=True):
        if before >= len(text.WORDS):
            assert after - len(text.WORDS) == places[before - len(text.WORDS)]
            assert moved[1 + after - len(text.WORDS)] == text.TOKENS.index("free")
    assert_same_bits(corpus.permute(tokens, jnp.arange(25)), tokens)


def test_a_model_of_permuted_texts_is_judged_on_mazes_as_they_are():
    """By paths that there is room for, with their end."""
    few = little(path_length=6)
    params, (held_out, _) = language.init(few, KEY).params, corpus.banks(few)
    both = [
        generation.judge(few.replace(permuted=mixed), params, held_out, jnp.arange(20), 0.0, KEY)
        for mixed in (False, True)
    ]
    assert_same_bits(*both)
    assert both[0].moves.max() == 5
    for row in both[1].tokens:
        level, _ = text.read(text.decode(row[:LENGTH], 25), 5, 5)
        assert any(np.array_equal(level.walls, walls) for walls in held_out.walls)


def test_the_loss_of_a_token_depends_on_no_token_after_it():
    """The gradient by what later tokens are embedded as is exactly zero."""
    config, params = deep()
    tokens = jnp.asarray(texts("shortest").tokens[0])
    trunk = params["params"]["trunk"]

    def of_text(change):
        moved = {**trunk, "places": trunk["places"] + change}
        logits = logits_of(config, {"params": {**params["params"], "trunk": moved}}, tokens)
        return -jax.nn.log_softmax(logits[:-1])[jnp.arange(len(tokens) - 1), tokens[1:]]

    jacobian = jax.jit(jax.jacrev(of_text))(jnp.zeros_like(trunk["places"]))
    dependence = np.abs(np.asarray(jacobian)).sum(axis=2)  # [loss of token t + 1, place]
    later = np.triu(np.ones_like(dependence, bool), k=1)
    assert (dependence[later] == 0).all()
    assert (dependence[~later] > 0).mean() > 0.99


def test_writing_with_a_cache_equals_reading_the_whole_text():
    config, params = deep()
    prompts = jnp.asarray(texts("shortest").tokens[:4, :LENGTH])
    written = jax.jit(generation.generate)(config, params, prompts, 0.0, KEY)
    np.testing.assert_array_equal(written[:, :LENGTH], prompts)
    logits = jax.vmap(logits_of, (None, None, 0))(config, params, written)
    ended = np.cumsum(np.asarray(written) == text.END, axis=1) > 0
    best = np.asarray(logits.argmax(axis=-1))
    free = ~ended[:, LENGTH - 1 : -1]
    np.testing.assert_array_equal(best[:, LENGTH - 1 : -1][free], written[:, LENGTH:][free])

    model = config.model(decode=True)
    blank = jnp.zeros(config.context, jnp.int32)
    cache = jax.jit(model.init)(KEY, blank)["cache"]
    read = jax.jit(functools.partial(model.apply, mutable=["cache"]))
    for place, token in enumerate(np.asarray(written[0])):
        step, changed = read({**params, "cache": cache}, jnp.array([token]))
        cache = changed["cache"]
        np.testing.assert_allclose(step[0], logits[0, place], atol=2e-5)


def test_sampling_follows_the_models_probabilities():
    config, params = deep()
    params = jax.tree.map(lambda x: 5 * x, params)  # far from uniform
    prompt = jnp.asarray(texts("shortest").tokens[:1, :LENGTH])
    drawn = jax.jit(generation.generate)(config, params, jnp.tile(prompt, (2_000, 1)), 1.0, KEY)
    logits = logits_of(config, params, jnp.pad(prompt[0], (0, 17)))[LENGTH - 1]
    shares = np.bincount(np.asarray(drawn[:, LENGTH]), minlength=len(logits)) / 2_000
    np.testing.assert_allclose(shares, jax.nn.softmax(logits), atol=0.03)


def test_padding_changes_nothing():
    config, params = deep()
    tokens = jnp.asarray(texts("alone").tokens[0])
    losses_of = jax.jit(losses.next_tokens)
    found = losses_of(config, params, tokens)
    assert not np.asarray(found)[np.asarray(tokens) == text.PADDING].any()
    shorter = losses_of(config, params, tokens[: LENGTH + 1])
    np.testing.assert_allclose(found[: LENGTH + 1], shorter, rtol=1e-5)
    late = losses_of(for_finetuning(config), params, tokens)
    np.testing.assert_allclose(late[LENGTH:], found[LENGTH:], rtol=1e-5)
    assert not np.asarray(late[:LENGTH]).any()


def test_texts_that_begin_alike_are_laid_one_behind_the_other():
    places, texts_of = transformer.lay(6, shared=2, tails=2)
    assert places.tolist() == [0, 1, 2, 3, 2, 3]
    assert texts_of.tolist() == [-1, -1, 0, 0, 1, 1]


def test_ways_from_many_starts_are_read_as_if_each_were_a_text_of_its_own():
    config, params = deep()
    several = config.replace(starts=3, alone=0.0, walks=0.0)
    found = draw(several, corpus.banks(config)[1], jnp.arange(4), KEY)
    shared, losses_of = LENGTH - 2, jax.jit(losses.next_tokens)
    for tokens, surprise in zip(found.tokens, found.surprise, strict=True):
        tails = tokens[shared:].reshape(3, 19)
        assert len(set(tails[:, 1].tolist())) == 3, "starts are distinct"
        together = losses_of(several, params, tokens)
        for number, tail in enumerate(tails):
            alone = jnp.concatenate([tokens[:shared], tail])
            level, path = text.read(text.decode(alone, 25), 5, 5)
            cells = [level.start, *path]
            steps = {abs(one - other) for one, other in itertools.pairwise(cells)}
            assert steps <= {1, 5}
            expected = losses_of(config, params, alone)
            part = slice(shared + 19 * number, shared + 19 * (number + 1))
            np.testing.assert_allclose(together[part][1:], expected[shared + 1 :], atol=2e-5)
            assert surprise[part][1] == pytest.approx(math.log(16))
            np.testing.assert_allclose(together[:shared], expected[:shared], atol=2e-5)
            assert number == 0 or together[part][0] == 0, "'agent' is always the same"


def test_each_text_is_masked_by_every_share_in_its_turn():
    """In an update one of each sixteenth, and whose it is changes from one to the next."""
    shares = np.stack([losses.drawn(jnp.zeros((16, 3), jnp.int32), key).shares
                       for key in jax.random.split(KEY, 400)])  # fmt: skip
    part = np.floor(16 * shares)
    np.testing.assert_array_equal(np.sort(part, axis=1), np.tile(np.arange(16), (400, 1)))
    assert (np.abs(part.mean(axis=0) - 7.5) < 5 * (255 / 12 / 400) ** 0.5).all()


def test_a_masked_token_is_neither_seen_nor_left_out_of_the_bound():
    """Where every token is as likely, the bound is the loss itself: in the mean over shares."""
    config = little(causal=False, layers=2)
    params = language.init(config, KEY).params
    tokens = jnp.asarray(texts("shortest").tokens[:1])
    even = jax.tree.map(jnp.zeros_like, params)
    many = losses.drawn(jnp.tile(tokens, (4_000, 1)), KEY)
    losses_of = jax.jit(losses.of_texts, static_argnames="at_once")
    for settings, first in ((config, 1), (for_finetuning(config), LENGTH)):
        found = np.asarray(losses_of(settings, even, many, at_once=4_000))
        assert not found[:, :first].any()
        each = np.log(len(text.vocabulary(25)))
        error = found.sum(axis=1).std() / 4_000**0.5
        assert abs(found.sum(axis=1).mean() - each * (47 - first)) < 5 * error
    masked = jax.jit(losses.masked_tokens)
    tuned = for_finetuning(config)
    whole = masked(tuned, params, tokens[0], 1.0, KEY)
    other = masked(tuned, params, tokens[0].at[LENGTH].set(text.END), 1.0, KEY)
    np.testing.assert_array_equal(whole[LENGTH + 1 :], other[LENGTH + 1 :])
    moved = masked(tuned, params, tokens[0].at[3].set(text.PADDING), 1.0, KEY)
    assert (np.asarray(whole != moved)[LENGTH:]).all()
    seen = masked(tuned, params, tokens[0], 0.5, KEY)
    later = masked(tuned, params, tokens[0].at[-1].set(text.END), 0.5, KEY)
    assert ((seen > 0) & (seen != later)).any(), "an earlier token sees a later one"


def test_what_a_masked_model_writes_is_what_it_reads_behind_each_mask():
    config = little(causal=False, layers=2)
    params = language.init(config, KEY).params
    prompts = jnp.asarray(texts("shortest").tokens[:4, :LENGTH])
    written = np.asarray(jax.jit(generation.generate)(config, params, prompts, 0.0, KEY))
    for row in written:
        ended = False
        for place in range(LENGTH, 47):
            shown = np.where(np.arange(47) < place, row, text.MASK)
            best = logits_of(config, params, jnp.asarray(shown))[place].argmax()
            assert row[place] == (text.PADDING if ended else best)
            ended |= row[place] == text.END


def test_a_model_of_masked_tokens_learns():
    _, rows = language.pretrain(little(causal=False), KEY)
    found = rows.held_out
    assert found.path[-1] < found.path[0]
    assert found.board[-1] < found.board[0]
    floors = [rows.board_floor, found.ends_floor, found.path_floor]
    assert np.isnan(floors).all(), "walls are told from ways, too, and a part can be below its own"
    assert (found.tokens == 46).all(), "all but the kind, padding too"


@pytest.mark.parametrize("causal", [True, False])
def test_what_is_not_learned_is_not_measured(causal):
    """Perplexity is of paths with their ends alone, where a masked model writes padding, too."""
    config = for_finetuning(little(causal=causal))
    held_out, _ = corpus.banks(config)
    state = language.init(config, KEY)
    found = jax.jit(functools.partial(language._measure, config, held_out))(state)
    key_texts, _ = jax.random.split(state.key_eval)
    paths = draw(config, held_out, jnp.arange(8), key_texts).tokens[:, LENGTH:]
    tokens = float((paths != text.PADDING).sum(axis=1).mean()) if causal else 17
    assert np.isnan([found.board, found.ends]).all()
    assert (found.path, found.tokens) == (pytest.approx(tokens * np.log(35), rel=0.3), tokens)
    assert found.perplexity == pytest.approx(np.exp(found.path / tokens))


@pytest.mark.parametrize("causal", [True, False])
def test_the_loss_in_training_is_per_token_that_is_learned(causal):
    """Of a model to which all tokens are as likely: the logarithm of their number."""
    config = for_finetuning(little(causal=causal, batch_size=512, finetune_starts=1 + causal))
    state = language.init(config, KEY)
    even = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    update = jax.jit(functools.partial(language._update, config, corpus.banks(config)[1]))
    loss = update(even, None)[1][0]
    assert loss == pytest.approx(math.log(35), rel=1e-5 if causal else 0.1)


@pytest.mark.parametrize("causal", [True, False])
def test_what_is_learned_from_a_batch_is_the_sum_over_its_parts(monkeypatch, causal):
    config = little(batch_size=12, causal=causal)
    _, bank = corpus.banks(config)
    found = []
    for few, parts in ((12, 1), (5, 3), (1, 12)):
        monkeypatch.setattr(language, "FEW", few)
        drawn = losses.drawn(jnp.zeros((12, 3), jnp.int32), KEY)
        assert language._in_parts(drawn).tokens.shape == (parts, 12 // parts, 3)
        update = jax.jit(functools.partial(language._update, config, bank))
        found.append(update(language.init(config, KEY), None)[1])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-5)


@pytest.mark.parametrize("other", [jax.enable_x64(True), jax.numpy_dtype_promotion("strict")])
def test_what_the_callers_program_computes_in_makes_no_other_model(other):
    state, rows = pretrained()
    with other:
        again = language.pretrain(little(), KEY)
        tuned, _ = language.finetune(little(), state, KEY)
        paths = generation.judge(little(), state.params, corpus.banks(little())[0],
                                 jnp.arange(2, dtype=jnp.int32), 0.0, KEY)  # fmt: skip
        written, _ = language_run.write_paths(little(), state.params, KEY)
    assert written == language_run.write_paths(little(), state.params, KEY)[0]
    assert_same_bits(again, (state, rows))
    assert_same_bits(tuned, language.finetune(little(), state, KEY)[0])
    assert paths.tokens.dtype == jnp.int32


def test_the_same_key_gives_the_same_bits_and_time_can_be_cut_anywhere():
    config = little()
    state, metrics = pretrained()
    first, one = language.run(config, language.init(config, KEY), 1)
    with compiles_nothing():
        again, _ = language.run(config.replace(walks=0.3, detours=0.5), first, 1)
    assert jax.tree.leaves(again.params)[0].shape == jax.tree.leaves(state.params)[0].shape
    second, _ = language.run(config, first, 3)
    assert_same_bits(second, state)
    np.testing.assert_array_equal(one.loss, metrics.loss[:1])
    assert metrics.texts.tolist() == [16, 32, 48, 64]


def test_the_step_size_rises_to_what_was_set_then_falls_to_its_share():
    config = little(updates=40, warmup_updates=30, learning_rate=1.0)
    sizes = jax.vmap(functools.partial(language.learning_rate, config))(jnp.arange(41))
    np.testing.assert_allclose(sizes[:31], np.minimum(np.arange(1, 32) / 30, 1.0), rtol=1e-6)
    assert (np.diff(sizes[30:]) < 0).all()
    assert sizes[35] == pytest.approx((1.0 + 0.1) / 2), "half way down"
    assert sizes[40] == pytest.approx(0.1)


def test_a_step_of_muon_is_nearly_orthogonal_in_blocks_and_adams_elsewhere():
    """Each matrix, as those who read it see it; its step is about as large as one of Adam's."""
    config, params = deep()
    config = config.replace(optimizer="muon", max_grad_norm=jnp.inf, weight_decay=0.0)
    grads = jax.tree.map(lambda x: jax.random.normal(jax.random.key(x.size), x.shape), params)

    def step(made):
        return jax.jit(lambda: made.update(grads, made.init(params), params)[0])()

    muons = step(optimizers.direction(config))
    adams = step(optax.scale_by_adam(b2=0.98, nesterov=True))
    matrices = 0
    for (path, adam), muon in zip(
        jax.tree.leaves_with_path(adams), jax.tree.leaves(muons), strict=True
    ):
        names = [part.key for part in path]
        if "trunk" not in names or names[-1] != "kernel":
            np.testing.assert_allclose(muon, adam, rtol=1e-5)
            continue
        matrices += 1
        into = adam.shape[0] * (adam.shape[1] if names[-2] == "out" else 1)
        matrix = muon.reshape(into, -1)
        values = np.linalg.svd(matrix, compute_uv=False) / max(matrix.shape) ** 0.5
        assert 0.6 * 0.2 < values.min() <= values.max() < 1.3 * 0.2
    assert matrices == 2 * 6, "query, key, value, out, widen and narrow of two blocks"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_biases_and_scales_do_not_decay_and_all_else_does(optimizer):
    """Those of query, key and value too, which are matrices: of heads by numbers per head."""
    config, params = deep()
    params = jax.tree.map(lambda x: x + 1, params)
    made = optimizers.direction(config.replace(weight_decay=0.5, optimizer=optimizer))
    still = jax.tree.map(jnp.zeros_like, params)
    step = jax.jit(lambda: made.update(still, made.init(params), params)[0])()
    for (path, moved), weight in zip(
        jax.tree.leaves_with_path(step), jax.tree.leaves(params), strict=True
    ):
        share = 0.0 if path[-1].key in ("bias", "scale") else 0.5
        np.testing.assert_allclose(moved, share * weight, rtol=1e-5, atol=1e-6)


def test_a_vmapped_model_is_that_model_alone():
    config = little()
    many, metrics = jax.vmap(language.pretrain, (None, 0))(config, jax.random.split(KEY, 2))
    alone, _ = language.pretrain(config, jax.random.split(KEY, 2)[1])
    np.testing.assert_array_equal(many.updates, [8, 8])
    for one, other in zip(*map(jax.tree.leaves, (many.params, alone.params)), strict=True):
        np.testing.assert_allclose(one[1], other, atol=2e-4)
    assert metrics.loss[0, 0] != metrics.loss[1, 0]


def test_what_is_learned_is_the_text_and_then_the_path():
    _, before = pretrained()
    fresh = language.init(little(), KEY)
    tuned, after = language.finetune(little(), fresh, KEY)
    assert before.held_out.board[-1] < before.held_out.board[0]
    whole = jax.jit(functools.partial(language._measure, little(), corpus.banks(little())[0]))
    walls = [whole(fresh.replace(params=state.params)).board for state in (fresh, tuned)]
    assert walls[1] > walls[0] - 1e-3, "walls aren't learned in fine-tuning"
    assert after.held_out.path[-1] < after.held_out.path[0]
    assert (after.held_out.path_floor == 0).all(), "a perfect maze has one shortest path"
    assert (before.held_out.perplexity > 1).all()


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ([1, 2, 5, "end"], "shortest"),
        ([1, 0, 1, 2, 5, "end"], "solved"),
        ([1, 2, "end"], "wrong_end"),
        ([1, 2, 5, 2, "end"], "wrong_end"),
        ([1, 4, 5, "end"], "neither"),
        ([2, 5, "end"], "neither"),
        ([1, 1, 2, 5, "end"], "neither"),
        ([1, "wall", 2, 5, "end"], "invalid_token"),
        ([1, 2, 5], "invalid_token"),
        (["end"], "wrong_end"),
    ],
)
def test_verdicts(path, verdict):
    level = maze.draw("S..\n##G")
    words = f"{text.write(level)} {' '.join(map(str, path))}"
    tokens = jnp.full(text.prompt_length(6) + 8, text.PADDING).at[: len(words.split())].set(
        jnp.asarray(text.encode(words, 6))
    )  # fmt: skip
    found = jax.jit(generation.verdict, static_argnums=0)(
        text.prompt_length(6), jnp.asarray(level.walls), tokens, jnp.int32(3)
    )
    named = {
        "valid": verdict in ("shortest", "solved", "wrong_end"),
        "solved": verdict in ("shortest", "solved"),
        **{name: verdict == name for name in ("shortest", "wrong_end", "invalid_token")},
    }
    assert {name: bool(getattr(found, name)) for name in named} == named


def test_settings_round_trip_through_toml():
    config = little(env_kwargs={**MAZES, "difficulty": (4, 12)}, learning_rate=3e-4)
    assert from_toml(to_toml(config), "a text") == config
    assert for_finetuning(config).shares == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"layers": 0}, ["layers (0)", "1 or more"]),
        ({"heads": 3}, ["width (8)", "multiple of heads (3)", "use 9"]),
        ({"learning_rate": -1.0}, ["learning_rate (-1.0)", "change it"]),
        ({"learning_rate": jnp.ones(2)}, ["learning_rate (an array of shape (2,))", "jax.vmap"]),
        ({"learning_rate": [0.1, 0.2]}, ["learning_rate (an array of shape (2,))", "jax.vmap"]),
        ({"walks": []}, ["walks (an array of shape (0,))", "give one number"]),
        ({"walks": 0.0, "solutions": 0.0, "alone": 0.0}, ["are all 0", "raise one"]),
        ({"warmup_updates": 8}, ["warmup_updates (8) must be below finetune_updates (8)", "raise"]),
        (
            {"updates": 20, "warmup_updates": 20, "finetune_updates": 30},
            ["warmup_updates (20) must be below updates (20)", "set it to 2"],
        ),
        ({"updates": 2**30}, ["updates (1073741824) × batch_size (8)", "lower one"]),
        ({"updates": 2**28 - 1}, ["updates (268435456) × batch_size (8)", "lower one"]),
        ({"finetune_updates": 2**30}, ["finetune_updates (1073741824) × batch_size (8)", "lower"]),
        ({"starts": 3, "causal": False}, ["starts (3) needs causal = true", "or starts = 1"]),
        ({"finetune_starts": 26}, ["finetune_starts (26)", "25 cells", "lower it"]),
        ({"precision": "float8"}, ["precision", "float8"]),
        ({"mazes": 153}, ["mazes (153)", "distinct", "lower it"]),
        ({"env_kwargs": {**MAZES, "num_held_out": 0}}, ["num_held_out (0)", "1 or more"]),
        ({"env_kwargs": {**MAZES, "height": 4}}, ["env_kwargs.height (4)", "odd"]),
        ({"env_kwargs": {**MAZES, "heigth": 5}}, ["heigth", "height"]),
        (
            {"env_kwargs": {**MAZES, "observation": "text"}},
            ["env_kwargs.observation ('text') is of agents", "leave it out"],
        ),
        ({"env_kwargs": {"height": "ten"}}, ["env_kwargs.height ('ten')", "from 1 to 128"]),
        ({"env_kwargs": {"width": [9]}}, ["env_kwargs.width ((9,))", "from 1 to 128"]),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(changes, fragments):
    with pytest.raises(ConfigError) as refusal:
        language.pretrain(little(**changes), KEY)
    for fragment in fragments:
        assert fragment in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_other_states_keys_and_words_are_refused():
    with pytest.raises(ConfigError, match=r"did you mean 'learning_rate'"):
        from_toml("learning_rat = 0.1", "a text")
    with pytest.raises(
        ConfigError, match=r"prompts \(of 48 tokens\) exceed the 47.*path_length = 17"
    ):
        generation.generate(little(), {}, jnp.zeros((1, 48), jnp.int32), 0.0, KEY)
    with pytest.raises(ConfigError, match="must be typed"):
        language.pretrain(little(), 0)
    with pytest.raises(ConfigError, match="is not what these settings make"):
        language.finetune(little(width=16), pretrained()[0], KEY)
    with pytest.raises(ConfigError, match="is not what these settings make"):
        language.run(little(width=16), pretrained()[0])
    with pytest.raises(ConfigError, match=r"evaluations \(-1\) must be a whole number, 0 or more"):
        language.run(little(), {}, -1)
    for wrong in (language.pretrain, lambda config, key: language.finetune(config, {}, key)):
        with pytest.raises(ConfigError, match=r"config \('language'\) must be a LanguageConfig: "):
            wrong("language", KEY)
    with pytest.raises(ConfigError, match=r"state \(None\) must be a LanguageState: give what"):
        language.finetune(little(), None, KEY)


AGENT = {
    "network": "transformer", "layers": 1, "heads": 2, "width": 8, "widths": (),
    "env_kwargs": {**MAZES, "observation": "text", "start": "random", "num_levels": 10},
}  # fmt: skip


@functools.cache
def run_folder(tmp):
    """A run folder with what a network reads of one."""
    folder = tmp / "lm"
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(little()))
    (folder / "params.msgpack").write_bytes(serialization.to_bytes(pretrained()[0].params))
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("language"))


def trunk_of(state):
    return state.agent.params["params"]["trunk"]


def test_the_network_of_an_agent_begins_with_the_trunk_that_was_trained(folder):
    config = small(**AGENT, pretrained=folder)
    begun = jaxdqn.init(config, KEY).agent
    given = pretrained()[0].params["params"]["trunk"]
    kept = {**given, "places": given["places"][:LENGTH]}
    assert_same_bits(begun.params["params"]["trunk"], kept)
    assert_same_bits(begun.target_params, begun.params)
    fresh = jaxdqn.init(small(**AGENT), KEY).agent.params
    assert not np.array_equal(
        fresh["params"]["trunk"]["places"], begun.params["params"]["trunk"]["places"]
    )
    assert_same_bits(fresh["params"]["dense"], begun.params["params"]["dense"])


def test_what_the_agent_knows_of_a_maze_is_what_the_language_model_knows(folder):
    """The head reads what the trunk makes of the prompt, after the agent's cell."""
    config = small(**AGENT, pretrained=folder)
    parts = assembly.assemble(config)
    params = jaxdqn.init(config, KEY).agent.params
    kernel = params["params"]["dense"]["output"]["kernel"]
    obs = parts.environment.reset(KEY, parts.env_params)[0]
    whole = jnp.pad(obs, (0, 17), constant_values=text.PADDING)
    trunk = {"params": pretrained()[0].params["params"]["trunk"]}
    hidden = jax.jit(little().model().trunk.apply)(trunk, whole)[LENGTH - 1]
    np.testing.assert_allclose(
        jax.jit(parts.method.q_values)(params, obs), kernel @ hidden, rtol=1e-4, atol=1e-5
    )


SPEAKING = {**AGENT, "action_words": 4, "word_temperature": 0.1,
            "env_kwargs": {**AGENT["env_kwargs"], "observation": "choices"}}  # fmt: skip


def test_an_agent_with_words_begins_as_the_policy_of_the_language_model(folder):
    """Its advantages are the temperature times the logarithm of the model's choice of four."""
    config = small(**SPEAKING, pretrained=folder)
    parts = assembly.assemble(config)
    params = jaxdqn.init(config, KEY).agent.params
    every = parts.environment.gymnax.observe_everywhere(
        parts.env_params, jnp.int32(3), jnp.int32(24)
    )
    found = jax.jit(jax.vmap(parts.method.q_values, (None, 0)))(params, every)
    logits = jax.vmap(logits_of, (None, None, 0))(
        little(), pretrained()[0].params, every[:, :LENGTH]
    )[:, -1]
    chosen = jnp.take_along_axis(logits, every[:, LENGTH:].astype(jnp.int32), axis=1)
    wanted = 0.1 * jax.nn.log_softmax(chosen)
    np.testing.assert_allclose(
        found - found.max(axis=1, keepdims=True),
        wanted - wanted.max(axis=1, keepdims=True),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_words_make_the_policy_of_ppo_and_leave_its_value_alone(folder):
    config = small(**SPEAKING, method="ppo", pretrained=folder)
    made = config.part("network").make(5, 1, len(text.vocabulary(25)))
    obs = jnp.zeros(LENGTH + 4, jnp.uint8).at[-4:].set(jnp.arange(20, 24, dtype=jnp.uint8))
    params = jax.jit(made.init)(KEY, obs)
    outputs = jax.jit(lambda: made.apply(params, (), obs, True, None)[0][:, 0])()
    kernel = params["params"]["dense"]["output"]["kernel"]
    read = jax.jit(little().model().trunk.apply)
    known = read({"params": pretrained()[0].params["params"]["trunk"]}, obs[:LENGTH])[-1]
    assert kernel.shape == (2, 8)
    assert outputs[4] == pytest.approx(float(kernel[1] @ known), abs=1e-5)
    assert float(jax.nn.logsumexp((outputs[:4] - kernel[0] @ known) / 0.1)) == pytest.approx(
        0.0, abs=1e-3
    )


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"action_words": 0}, ["action_words (0) must be 4", "set action_words = 4"]),
        ({"action_words": 3}, ["action_words (3) must be 4", "set action_words = 4"]),
        (
            {"env_kwargs": AGENT["env_kwargs"]},
            ["action_words (4)", "0 with any other", "set action_words = 0"],
        ),
        (
            {"env": "FrozenLake-misc", "env_kwargs": {}, "env_params": {}},
            ["network = 'mlp'"],
        ),
        ({"head": "categorical"}, ["action_words (4) adds", "'expected' or 'quantile'"]),
        ({"head": "implicit_quantile"}, ["action_words (4) adds", "'expected' or 'quantile'"]),
        ({"word_temperature": -1.0}, ["word_temperature (-1.0)", "change it"]),
        (
            {"causal": False},
            ["action_words (4) needs causal = true", "or action_words = 0", "'text'"],
        ),
    ],
)
def test_words_without_actions_and_actions_without_words_are_refused(changes, fragments):
    with pytest.raises(ConfigError) as refusal:
        jaxdqn.train(small(**{**SPEAKING, **changes}), KEY)
    for fragment in fragments:
        assert fragment in str(refusal.value)


def test_what_changes_nothing_of_a_trunk_is_noted():
    assert (
        notes(small(**AGENT, trunk_rate=0.0, pretrained="runs/lm")) == notes(small(**AGENT)) == []
    )
    (said,) = notes(small(**AGENT, trunk_rate=0.0))
    assert said == "trunk_rate (0) freezes a trunk of random weights, since pretrained names none."
    assert notes(small(**SPEAKING)) == []
    (said,) = notes(small(**AGENT, word_temperature=0.1))
    assert said == "word_temperature (0.1) changes nothing, since action_words is 0."


def test_an_environment_of_ones_own_has_a_word_for_each_action():
    mine = Seen("mine", {}, (9,), 5, num_actions=3, is_maze=False)
    TransformerSettings(action_words=3).check_reads(mine)
    with pytest.raises(ConfigError, match=r"action_words \(4\) must be one for each of the 3 act"):
        TransformerSettings(action_words=4).check_reads(mine)


@pytest.mark.slow
def test_a_frozen_trunk_keeps_its_bits_and_a_slow_one_moves_little(folder):
    config = small(**SPEAKING, pretrained=folder, evaluations=1, total_steps=64 + 4 * 5)
    begun = trunk_of(jaxdqn.init(config, KEY))
    frozen, slow, usual = (
        jaxdqn.train(config.replace(trunk_rate=rate), KEY)[0] for rate in (0.0, 0.1, 1.0)
    )
    assert_same_bits(trunk_of(frozen), begun)
    output = pretrained()[0].params["params"]["output"]
    assert_same_bits(frozen.agent.params["params"]["output"], output)
    assert not np.array_equal(slow.agent.params["params"]["output"]["kernel"], output["kernel"])
    far = [
        float(jnp.abs(trunk_of(state)["places"] - begun["places"]).max()) for state in (slow, usual)
    ]
    assert 0 < far[0] < 0.2 * far[1]
    assert frozen.agent.params["params"]["dense"]["output"]["bias"].any(), "the head learns"


def drawn(walls):
    """Return a maze as text that ``layout`` reads."""
    marks = np.where(walls, "#", ".")
    marks[0, 0], marks[-1, -1] = "S", "G"
    return "\n".join("".join(row) for row in marks)


READ = drawn(np.asarray(maze.bank("corridors", 5, 5, count=50).walls)[45])
"""A maze of the corpus of ``little``, which begins after 40."""


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"env_kwargs": {**MAZES, "observation": "planes"}}, ["(5, 5, 3)", "observation = 'text'"]),
        ({"env": "CartPole-v1", "env_kwargs": {}, "env_params": {}}, ["(4,)", "network = 'mlp'"]),
        ({"heads": 3}, ["width (8)", "multiple of heads (3)"]),
        ({"layers": 2}, ["layers (2) differs", "set layers = 1"]),
        ({"heads": 4}, ["heads (4) differs", "set heads = 2"]),
        ({"width": 16}, ["width (16) differs", "set width = 8"]),
        ({"causal": False}, ["causal (False) differs", "set causal = True"]),
        (
            {"env_kwargs": {**AGENT["env_kwargs"], "observation": "tokens"}},
            ["knows 35 tokens", "25 of 4 kinds", "observation = 'text'"],
        ),
        (
            {"env_kwargs": {**AGENT["env_kwargs"], "height": 7}},
            ["knows 35 tokens", "40 of 45 kinds", "size of mazes"],
        ),
        (
            {"env_kwargs": {**AGENT["env_kwargs"], "num_levels": 21}},
            ["(41) exceed the 40 mazes", "left unread"],
        ),
        (
            {"env_kwargs": {**AGENT["env_kwargs"], "level_seed": 1}},
            ["env_kwargs make 30 mazes", "has read number", "generator = 'corridors', height = 5"],
        ),
        (
            {
                "env_kwargs": {
                    **AGENT["env_kwargs"],
                    "generator": "braid",
                    "loops": 0.0,
                    "num_levels": 40,
                }
            },
            ["num_held_out (60) exceed the 40 mazes", "left unread"],
        ),
        (
            {
                "env_kwargs": {
                    **AGENT["env_kwargs"],
                    "generator": "layout",
                    "num_levels": 1,
                    "num_held_out": 0,
                    "layout": READ,
                }
            },
            ["env_kwargs make 1 maze,", "has read number 1 of them"],
        ),
        (
            {"env_kwargs": {**SPEAKING["env_kwargs"], "height": 9}, "action_words": 4},
            ["env_kwargs.height = 5 and env_kwargs.width = 5"],
        ),
        (
            {
                "env_kwargs": {
                    **AGENT["env_kwargs"],
                    "generator": "layout",
                    "num_levels": 1,
                    "num_held_out": 0,
                    "layout": "S" + 23 * "." + "G",
                }
            },
            ["env_kwargs.height (1) and env_kwargs.width (25) are not those", "use 5 and 5"],
        ),
        ({"pretrained": "nowhere"}, ["pretrained ('nowhere')", "no such file", "run folder"]),
        ({"pretrained": "."}, ["pretrained ('.') has no params.msgpack", "jaxdqn resume"]),
        ({"trunk_rate": -1.0}, ["trunk_rate (-1.0)", "change it"]),
    ],
)
def test_a_trunk_that_does_not_fit_is_refused(folder, changes, fragments):
    with pytest.raises(ConfigError) as refusal:
        jaxdqn.train(small(**{**AGENT, "pretrained": folder, **changes}), KEY)
    for fragment in fragments:
        assert fragment in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_mazes_of_any_kind_that_were_not_read_are_no_hindrance(folder):
    """Whatever makes them: the same trees without loops, fewer walls, only the shorter ones."""
    for changes in (
        {"generator": "braid", "loops": 0.0},
        {"generator": "scatter", "density": 0.2},
        {"level_seed": 0, "carver": "uniform", "room_size": 4},
    ):
        kwargs = {**AGENT["env_kwargs"], **changes}
        unread.check_begins(small(**{**AGENT, "env_kwargs": kwargs}, pretrained=folder))


def test_other_files_are_no_language_model(tmp_path):
    (tmp_path / "params.msgpack").write_bytes(b"nothing")
    (tmp_path / "config.toml").write_text("layers = 1")
    with pytest.raises(ConfigError, match="holds no language model"):
        jaxdqn.train(small(**AGENT, pretrained=str(tmp_path)), KEY)


def test_weights_that_are_not_finite_teach_nothing(folder, tmp_path):
    state = pretrained()[0]
    lost = jax.tree.map(lambda x: x.at[0].set(jnp.nan), state.params)
    with pytest.raises(ConfigError, match=r"holds numbers that aren't finite.*lower learning_rate"):
        language.finetune(little(), state.replace(params=lost), KEY)
    broken = tmp_path / "lm"
    shutil.copytree(folder, broken)
    (broken / "params.msgpack").write_bytes(serialization.to_bytes(lost))
    for train in (jaxdqn.train, jax.jit(jaxdqn.train)):
        with pytest.raises(ConfigError, match=r"pretrained \(.*aren't finite.*lower learning_rate"):
            train(small(**AGENT, pretrained=str(broken)), KEY)


def test_what_is_lost_is_not_called_perfect():
    nothing = language.Losses(*[jnp.float32(jnp.nan)] * 5, tokens=jnp.float32(9))
    assert np.isnan(nothing.perplexity)


def test_any_row_of_names_can_be_read_without_training_before():
    config = small(**{**AGENT, "env_kwargs": {**MAZES, "observation": "tokens"}})
    assert training.outline(config).agent.params["params"]["trunk"]["places"].shape == (25, 8)
    with pytest.raises(ConfigError, match="belongs to network 'transformer'"):
        small(pretrained="runs/lm")


def test_a_probe_reads_what_lies_on_a_line_and_nothing_of_what_does_not():
    draws = np.random.default_rng(0)
    x, slope = draws.normal(size=(2, 500, 4)), draws.normal(size=(4, 3))
    np.testing.assert_allclose(
        probing.line(x[0], x[0] @ slope + 1, x[1]), x[1] @ slope + 1, atol=0.02
    )
    guess = probing.line(x[0], draws.normal(size=(500, 1)), x[1])
    assert np.abs(guess).max() < 0.5


def test_probes_find_in_a_trunk_what_was_put_there(monkeypatch):
    """The walls themselves, and the moves that lead nearer: told right on mazes never seen."""
    real = probing._prompts
    config, key = little(mazes=100), jax.random.key(3)
    params = language.init(config, KEY).params
    untrained = probing.probe(config, params, key, 64)

    def told(*arguments):
        read = real(*arguments)
        known = jnp.concatenate([jnp.float32(values) for values in read.labels.values()], axis=1)
        return read._replace(known=known, said=jnp.float32(read.labels["step"]))

    monkeypatch.setattr(probing, "_prompts", told)
    found = probing.probe(config, params, key, 64)
    assert {found[name]["probe"] for name in ("walls", "step", "next", "said")} == {1}
    assert found["distance"]["probe"] > 0.99
    for name, scores in found.items():
        assert untrained[name]["probe"] < scores["probe"]
        assert untrained[name]["known"] == scores["known"] < 0.9


def test_what_a_masked_model_said_is_what_it_would_write_first():
    """Of the four cells beside the agent, as if it wrote a path: behind the first of its masks."""
    config = for_finetuning(little(mazes=100, causal=False))
    params, (_, bank) = language.init(config, KEY).params, corpus.banks(config)
    said = probing._prompts(config, params, bank, KEY, jnp.arange(4)).said
    for row, tokens in enumerate(draw(config, bank, jnp.arange(4), KEY).tokens):
        logits = logits_of(config, params, tokens.at[LENGTH:].set(text.MASK))[LENGTH]
        walls, agent = bank.walls[row], int(tokens[LENGTH - 1]) - len(text.WORDS)
        cells = np.asarray(solve.successors(walls)[agent])
        np.testing.assert_allclose(said[row], logits[len(text.WORDS) + cells], atol=1e-5)


def test_labels_of_probes_are_those_of_the_maze_that_is_read():
    config = little(mazes=100)
    params = language.init(config, KEY).params
    _, bank = corpus.banks(config)
    written = for_finetuning(config)
    labels = probing._prompts(written, params, bank, KEY, jnp.arange(20)).labels
    texts = draw(written, bank, jnp.arange(20), KEY)
    for row, tokens in enumerate(np.asarray(texts.tokens)):
        level, path = text.read(text.decode(tokens[:LENGTH], 25), 5, 5)
        distances = breadth_first(level.walls, level.goal)
        np.testing.assert_array_equal(labels["walls"][row], level.walls.reshape(-1))
        assert labels["distance"][row, 0] == distances[level.start] == texts.moves[row]
        assert path == []
        step = int(tokens[LENGTH]) - len(text.WORDS)
        move = divmod(step, 5)[0] - level.start // 5, step % 5 - level.start % 5
        assert labels["step"][row, MOVES.index(move)]
        assert labels["step"][row].sum() == 1, "in a perfect maze one move leads nearer"
        assert np.flatnonzero(labels["next"][row]).tolist() == [step]
