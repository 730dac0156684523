"""What a language model loses on texts: on tokens that come next, or on tokens that were masked."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdqn.language.config import LanguageConfig
from jaxdqn.maze import text
from jaxdqn.networks import transformer
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey


def places(config: LanguageConfig, length: int) -> np.ndarray:
    """Return the place in its text of each token that is read at once, int ``[T]``."""
    return transformer.lay(length, text.shared_length(config.cells), config.starts)[0]


def first_learned(config: LanguageConfig) -> int:
    """Return the first place in a text that is learned: all but the kind, or the path alone."""
    return 1 if config.stage == "pretrain" else text.prompt_length(config.cells)


def learned(config: LanguageConfig, tokens: Array) -> Array:
    """Return which tokens of texts ``[..., T]`` are learned, booleans: they alone have a loss.

    Those from ``first_learned`` on. Where the model is causal not padding, nor the word before the
    second and later starts, which is always the same; where it isn't, padding too: how long a path
    is isn't given away.
    """
    place = places(config, tokens.shape[-1])
    late = np.broadcast_to(place >= first_learned(config), tokens.shape)
    if not config.causal:
        return jnp.asarray(late)
    follows = np.concatenate([[False], place[1:] == place[:-1] + 1])
    return (late & follows) & (tokens != text.PADDING)


def next_tokens(config: LanguageConfig, params: Params, tokens: Array) -> Array:
    """Return the loss on each token of a text that is learned given those before it, float32
    ``[T]``.
    """
    first, shared = first_learned(config), text.shared_length(config.cells)
    logits: Any = config.model().apply(params, tokens, first - 1, shared, config.starts)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits[:-1], tokens[first:])
    each = jnp.concatenate([jnp.zeros(first), losses])
    return jnp.where(learned(config, tokens), each, 0.0)


def masked_tokens(
    config: LanguageConfig, params: Params, tokens: Array, share: Array, key: PRNGKey
) -> Array:
    """Return the loss on those tokens of a text that were masked given all others, ``[T]``.

    Divided by the share that is masked, so that with shares drawn uniformly from 0 to 1 the sum's
    mean is an upper bound of the text's loss (Shi et al., 2024, arXiv:2406.04329; Sahoo et al.,
    2024, arXiv:2406.07524; on mazes Nolte et al., 2024, arXiv:2412.05117).

    Args:
        config: the settings.
        params: of the model.
        tokens: int32 ``[T]``.
        share: of tokens that are masked, ``[]``.
        key: consumed.
    """
    first = first_learned(config)
    masked = (jax.random.uniform(key, tokens.shape) < share) & learned(config, tokens)
    logits: Any = config.model().apply(params, jnp.where(masked, text.MASK, tokens), first)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, tokens[first:])
    return jnp.concatenate([jnp.zeros(first), jnp.where(masked[first:], losses / share, 0.0)])


class Read(NamedTuple):
    """Texts ``[B, ...]``, and what is left to chance of the losses on each.

    Attributes:
        tokens: int32 ``[B, T]``.
        shares: of tokens that are masked where the model isn't causal, ``[B]``.
        keys: pay for which, ``[B]``.
    """

    tokens: Array
    shares: Array
    keys: PRNGKey


def drawn(tokens: Array, key: PRNGKey) -> Read:
    """Return texts ``[B, T]`` with their chances; the key is consumed."""
    count = len(tokens)
    key_part, key_share, key = jax.random.split(unrolled(key), 3)
    # Spread evenly, one of each B-th part of what may be drawn; which part is a text's changes.
    part = jax.random.permutation(key_part, count)
    shares = (part + jax.random.uniform(key_share, minval=0.01)) / count
    return Read(tokens, shares, jax.random.split(key, count))


def of_texts(config: LanguageConfig, params: Params, texts: Read, at_once: int) -> Array:
    """Return the losses on texts, of whichever kind the model learns, ``[B, T]``.

    Args:
        config: the settings.
        params: of the model.
        texts: as ``drawn``.
        at_once: how many are read together.
    """

    def of_text(read: Read) -> Array:
        if config.causal:
            return next_tokens(config, params, read.tokens)
        return masked_tokens(config, params, *read)

    if at_once >= len(texts.tokens):
        return jax.vmap(of_text)(texts)
    return jax.lax.map(of_text, texts, batch_size=at_once)
