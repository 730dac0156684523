"""What a model came to, on mazes that it never read."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import statistics
from jaxdqn.language import exact
from jaxdqn.language.config import LanguageConfig
from jaxdqn.language.generation import Verdicts
from jaxdqn.maze import text
from jaxdqn.types import Array, Params

SHARES = ("valid", "solved", "shortest", "wrong_end", "invalid_token")


def divergence(config: LanguageConfig, params: Params, walls: Array, kind: int) -> np.ndarray:
    """Return how far the model's idea of each wall is from the exact one, given those before it.

    Args:
        config: of the model.
        params: its weights.
        walls: uniform perfect mazes, booleans ``[L, H, W]``.
        kind: of text that they begin, a place in ``text.KINDS``.

    Returns:
        KL(exact ‖ model) of each cell, nats, ``[H, W]``, a mean over mazes; their sum is the
        distance of the expected loss on the walls from its floor.
    """
    _, height, width = walls.shape
    free = exact.board_probabilities(np.asarray(walls)).reshape(len(walls), -1)
    learned = np.asarray(_board(config, params, walls, kind), np.float64)
    both = np.stack([free, 1 - free], axis=-1)  # in the order of TOKENS
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(both > 0, both * (np.log(both) - learned), 0.0)
    return terms.sum(axis=-1).mean(axis=0).reshape(height, width)


@jax.jit
def _board(config: LanguageConfig, params: Params, walls: Array, kind: Array) -> Array:
    """Return the model's log-probabilities of a free cell and of a wall, ``[L, H * W, 2]``."""

    def of_maze(walls: Array) -> Array:
        tokens = text.prompt(walls, 0, 0, kind).astype(jnp.int32)[: walls.size]
        logits: Any = config.model().apply(params, tokens)
        return jax.nn.log_softmax(logits)[:, : text.TOKENS.index("wall") + 1]

    return jax.lax.map(of_maze, walls, batch_size=min(len(walls), 64))


def summarise(verdicts: Verdicts, bounds: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return shares of paths with their intervals (Wilson, 1927), in all and by length.

    Args:
        verdicts: from ``generation.judge``.
        bounds: most moves of each class of lengths but the last.
    """
    moves = np.asarray(verdicts.moves)
    edges = [0, *bounds, int(moves.max())]
    by_length = {
        f"{low + 1} to {high}": _shares(verdicts, (moves > low) & (moves <= high))
        for low, high in itertools.pairwise(edges)
        if low < high
    }
    return {**_shares(verdicts, np.ones(len(moves), bool)), "by_moves": by_length}


def _shares(verdicts: Verdicts, which: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {"paths": int(which.sum())}
    for name in SHARES:
        count = int(np.asarray(getattr(verdicts, name))[which].sum())
        low, high = statistics.wilson_interval(count, found["paths"])
        share = count / found["paths"] if found["paths"] else float("nan")
        found[name] = {"mean": share, "low": float(low), "high": float(high)}
    return found


def flat(metrics: Any) -> Mapping[str, Any]:
    """Return rows by name, those on held-out mazes beside the others."""
    own = {name: x for name, x in vars(metrics).items() if name != "held_out"}
    return own | vars(metrics.held_out) | {"perplexity": metrics.held_out.perplexity}
