"""What a language model knows of a maze: by what it says, and by a line through its numbers.

Linear probes (Alain and Bengio, 2017, arXiv:1610.01644) of what is known after the last token of a
maze, its goal and its agent: what a Q-network's head is given. All labels are exact.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.language import corpus
from jaxdqn.language.config import LanguageConfig, for_finetuning
from jaxdqn.language.training import HELD_OUT_AT_ONCE, at_once
from jaxdqn.maze import Levels, solve, text
from jaxdqn.precision import in_usual_numbers
from jaxdqn.types import Array, Params, PRNGKey

COUNT = 2_048
"""Texts that probes are fitted to, and others that they are tried on, unless told otherwise."""
RIDGE = 1e-3
"""Penalty of a probe's weights, in mean variances of what it reads."""


class Prompts(NamedTuple):
    """Texts up to the agent's cell, as a model read them.

    Attributes:
        known: what is known after each, ``[N, D]``.
        labels: what there is to be known, by name, ``[N, K]`` each.
        said: logits of the cells that the moves lead to, ``[N, A]``.
    """

    known: Any
    labels: dict[str, Any]
    said: Any


@in_usual_numbers
def probe(
    config: LanguageConfig, params: Params, key: PRNGKey, count: int = COUNT
) -> dict[str, dict[str, float]]:
    """Fit probes to texts of the corpus, and try them on held-out mazes.

    Args:
        config: of the model; where it has read mazes whose cells were permuted, these aren't.
        params: its weights.
        key: consumed.
        count: texts of either kind.

    Returns:
        Of ``walls`` the share of cells that are told right, of those that aren't always the same;
        of ``next`` and ``step`` the share of agents for which the cell, or the move, that is named
        leads nearer to the goal; of ``distance`` the share of its variance that is explained. Of
        ``said`` the share of agents for which that of the four moves leads nearer whose cell the
        model itself would rather write next. Beside each, as ``known``, what who has seen only the
        labels of the corpus reaches.
    """
    written = for_finetuning(config).replace(permuted=False, starts=1)
    held_out, bank = corpus.banks(config)
    fitted, tried = (
        _read(written, params, levels, part, count)
        for levels, part in zip((bank, held_out), jax.random.split(key), strict=True)
    )
    found = {
        name: line(fitted.known, labels, tried.known) for name, labels in fitted.labels.items()
    }
    found["said"] = tried.said
    baseline = {name: labels.mean(axis=0) for name, labels in fitted.labels.items()}
    baseline["said"] = baseline["step"]
    truth = {**tried.labels, "said": tried.labels["step"]}
    varied = (baseline["walls"] > 0) & (baseline["walls"] < 1)

    def told(guess: np.ndarray) -> float:
        return float(((guess > 0.5) == truth["walls"])[:, varied].mean())

    def led(name: str, guess: np.ndarray) -> float:
        chosen = np.broadcast_to(guess.argmax(axis=-1), len(truth[name]))
        return float(truth[name][np.arange(len(chosen)), chosen].mean())

    def explained(guess: np.ndarray) -> float:
        left = ((truth["distance"] - guess) ** 2).mean()
        return float(1 - left / truth["distance"].var())

    scores: dict[str, Callable[[np.ndarray], float]] = {
        "walls": told,
        "next": partial(led, "next"),
        "step": partial(led, "step"),
        "said": partial(led, "said"),
        "distance": explained,
    }
    return {
        name: {"probe": score(found[name]), "known": score(baseline[name])}
        for name, score in scores.items()
    }


def line(seen: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return what a ridge regression on ``seen [N, D]``, ``labels [N, K]`` says of others."""
    centre, mean = seen.mean(axis=0), labels.mean(axis=0)
    x = seen - centre
    penalty = RIDGE * len(x) * x.var(axis=0).mean() * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + penalty, x.T @ (labels - mean))
    return (others - centre) @ weights + mean


def _read(
    config: LanguageConfig, params: Params, levels: Levels, key: PRNGKey, count: int
) -> Prompts:
    read = _prompts(config, params, levels, key, jnp.arange(count) % len(levels))
    return jax.tree.map(lambda x: np.asarray(x, np.float64), read)


@jax.jit
def _prompts(
    config: LanguageConfig, params: Any, levels: Levels, key: PRNGKey, indices: Array
) -> Prompts:
    """Read texts about mazes of a bank, int ``[N]``; the key is consumed."""
    model, (_, *shape) = config.model(), levels.walls.shape
    texts = corpus.draw(config, levels, indices, key)

    def of_text(tokens: Array) -> Prompts:
        prompt = tokens[: text.prompt_length(config.cells)]
        walls = prompt[1 : config.cells + 1].reshape(shape) == text.TOKENS.index("wall")
        goal, agent = (prompt[place] - len(text.WORDS) for place in (text.GOAL_AT, text.AGENT_AT))
        distances = solve.distances(walls, goal)
        reached = solve.successors(walls)[agent]
        nearer = distances[reached] < distances[agent]
        labels = {
            "walls": walls.reshape(-1),
            "next": jnp.zeros(walls.size, bool).at[reached].max(nearer),
            "step": nearer,
            "distance": distances[agent][None],
        }
        known: Any = model.trunk.apply({"params": params["params"]["trunk"]}, prompt)
        # A masked model says what is next behind the first of the masks that it writes over.
        masks = jnp.full(0 if config.causal else config.path_length, text.MASK)
        logits: Any = model.apply(params, jnp.concatenate([prompt, masks]))
        said = logits[len(prompt) - 1 if config.causal else len(prompt)]
        return Prompts(known[-1], labels, said[len(text.WORDS) + reached])

    together = at_once(min(len(indices), HELD_OUT_AT_ONCE))
    return jax.lax.map(of_text, texts.tokens, batch_size=together)
