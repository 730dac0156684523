"""A decoder-only transformer: one trunk, read as a language model and as a Q-network."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct

from jaxdqn import pytrees
from jaxdqn.errors import ConfigError
from jaxdqn.networks import pretrained, streams
from jaxdqn.networks.dense import Dense, DenseSettings
from jaxdqn.networks.network import Network, Seen, SideBySide, feedforward
from jaxdqn.networks.streams import Streams
from jaxdqn.settings import Float, RunSettings, leaf, static
from jaxdqn.types import Array, Params, PRNGKey

WIDER = 4
"""Width of the layer within a block, in widths of the trunk."""

SMALL = nn.initializers.normal(0.02)


def lay(length: int, shared: int, tails: int) -> tuple[np.ndarray, np.ndarray]:
    """Say where in its text each token is, when several that begin alike are read at once.

    The texts ``a b c d`` and ``a b e f`` are read as ``a b c d e f``, with two tokens shared by two
    tails: these are at 0 1 2 3 2 3, and of text -1 -1 0 0 1 1.

    Args:
        length: tokens in all: ``shared`` ones, then as many of each text.
        shared: how many the texts have in common.
        tails: texts.

    Returns:
        Place in its text, and which text it belongs to, -1 where to all; int ``[length]`` each.
    """
    index = np.arange(length)
    after = index - shared
    each = (length - shared) // tails
    common = after < 0
    return np.where(common, index, shared + after % each), np.where(common, -1, after // each)


class Block(nn.Module):
    """Attention, then two dense layers, each added to what it is given after normalising it
    (Vaswani et al., 2017, arXiv:1706.03762; normalised before as in Xiong et al., 2020,
    arXiv:2002.04745).
    """

    heads: int
    depth: int
    decode: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, mask: Array | None, unanswered: int = 0) -> Array:
        """Map ``[T, D]`` to ``[T - unanswered, D]``: the first ones are only looked at."""
        # What is added to the trunk starts the smaller the more of it there is (GPT-2).
        last = nn.initializers.normal(0.02 / (2 * self.depth) ** 0.5)
        size = x.shape[-1]
        attention = nn.MultiHeadDotProductAttention(
            self.heads, dtype=self.dtype, kernel_init=SMALL, out_kernel_init=last,
            decode=self.decode, force_fp32_for_softmax=True, name="attention",
        )  # fmt: skip
        # The weights are kept for whoever asks for intermediates, and no one else.
        seen = nn.LayerNorm(dtype=self.dtype)(x)
        if mask is not None:
            mask = mask[:, unanswered:]
        x = x[unanswered:] + attention(seen[unanswered:], seen, mask=mask, sow_weights=True)
        y = nn.Dense(WIDER * size, dtype=self.dtype, kernel_init=SMALL, name="widen")(
            nn.LayerNorm(dtype=self.dtype)(x)
        )
        return x + nn.Dense(size, dtype=self.dtype, kernel_init=last, name="narrow")(nn.gelu(y))


class Trunk(nn.Module):
    """Tokens to what is known after each of them.

    Attributes:
        vocabulary: tokens that there are.
        context: most tokens in a text; None where all texts are as long as the first.
        layers: blocks.
        heads: of attention.
        width: numbers per token (D).
        causal: whether a token sees only those before it.
        decode: read one token at a time, attending to those before through a cache, which
            ``init`` on a text of the length to come makes.
        dtype: of the activations; weights are float32.
    """

    vocabulary: int
    context: int | None
    layers: int
    heads: int
    width: int
    causal: bool = True
    decode: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, tokens: Array, unanswered: int = 0, shared: int = 0, tails: int = 1
    ) -> Array:
        """Map tokens ``[T]`` to ``[T - unanswered, D]``, what is known after each but the first
        ones.

        If causal, that depends on no later token. With ``tails`` the tokens are those of several
        texts that begin alike, laid as ``lay`` says: what they share is read once, and no tail sees
        another.
        """
        embed = nn.Embed(self.vocabulary, self.width, embedding_init=SMALL, name="tokens")
        # What is added to a token for where in its text it is, [context, D].
        added = self.param("places", SMALL, (self.context or len(tokens), self.width))
        if self.decode:
            # Of a cache that is being made nothing has been read.
            made = self.has_variable("cache", "place")
            so_far = self.variable("cache", "place", lambda: jnp.int32(0))
            here = jax.lax.dynamic_slice_in_dim(added, so_far.value, len(tokens) if made else 1)
            so_far.value += len(tokens) if made else 0
            mask = None
        else:
            position, of_text = lay(len(tokens), shared, tails)
            here = added[position]
            mask = nn.make_causal_mask(tokens, dtype=bool) if self.causal else None
            if tails > 1:
                mask &= ((of_text == -1) | (of_text == of_text[:, None]))[None]
        x = (embed(tokens.astype(jnp.int32)) + here).astype(self.dtype)
        for layer in range(self.layers):
            block = Block(self.heads, self.layers, self.decode, self.dtype, name=f"block_{layer}")
            x = block(x, mask, unanswered if layer == self.layers - 1 else 0)
        return nn.LayerNorm(dtype=self.dtype, name="norm")(x)


class LanguageModel(nn.Module):
    """The trunk, then a number for each token that may be next."""

    trunk: Trunk

    @nn.compact
    def __call__(
        self, tokens: Array, unanswered: int = 0, shared: int = 0, tails: int = 1
    ) -> Array:
        """Map tokens ``[T]``, as the trunk reads them, to logits, float32 ``[T - unanswered, V]``.

        They are those of the next tokens where the trunk is causal, else of the tokens themselves.
        """
        logits = nn.Dense(self.trunk.vocabulary, kernel_init=SMALL, name="output")
        return logits(self.trunk(tokens, unanswered, shared, tails).astype(jnp.float32))


class Reader(nn.Module):
    """The trunk, then dense layers on what is known after the last token."""

    trunk: Trunk
    dense: Dense | Streams

    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation, names ``[T]``, to outputs ``[A, K]``."""
        return self.dense(self.trunk(obs, len(obs) - 1)[-1], key)


class Chooser(nn.Module):
    """A language model whose policy is where values begin: Q = dense layers + temperature · log π.

    The last names of an observation aren't read: they are what each action would write next, and
    π is the model's choice among these alone. So an advantage is what it is in soft Q-learning
    (Haarnoja et al., 2017, arXiv:1702.08165), where log π = (Q - V) / temperature; and actions are
    told by their words, as in He et al. (2016, arXiv:1511.04636). What the dense layers give, at
    random at first, is the same for all actions, so that the model alone says which is best.

    Attributes:
        trunk: reads the text.
        output: what is known to a number for each token that may be next.
        dense: what is known to ``[A, K]``.
        words: names that stand for actions, those of the first outputs.
        temperature: value of a nat.
    """

    trunk: Trunk
    output: nn.Dense
    dense: Dense | Streams
    words: int
    temperature: float | Array

    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation, names ``[T]``, to outputs ``[A, K]``."""
        read = len(obs) - self.words
        known = self.trunk(obs[:read], read - 1)[-1]
        logits = self.output(known)
        said = jax.nn.one_hot(obs[read:], len(logits)) @ logits
        value, *others = self.dense(known, key)
        values = value[None] + self.temperature * jax.nn.log_softmax(said)[:, None]
        return jnp.concatenate([values, *(other[None] for other in others)])


class TrunkSettings(struct.PyTreeNode):
    """The shape of a transformer."""

    layers: int = static(2, low=1)
    """Blocks of attention and dense layers."""
    heads: int = static(4, low=1)
    """Heads of attention in a block."""
    width: int = static(64, low=1)
    """Numbers per token, a multiple of heads."""
    causal: bool = static(True)
    """Whether a token sees only those before it; else all of them."""

    def check_heads(self) -> None:
        """Refuse, with a ``ConfigError``, a width that heads don't share equally."""
        if self.width % self.heads:
            raise ConfigError(
                f"width ({self.width}) must be a multiple of heads ({self.heads}): use "
                f"{-(-self.width // self.heads) * self.heads}."
            )


class TransformerSettings(TrunkSettings, DenseSettings):
    """A transformer, for observations that are a row of names."""

    widths: tuple[int, ...] = static((), low=1)
    """Widths of the dense layers that read the last token."""
    pretrained: str = static("")
    """Run folder of pretrain or finetune, whose trunk to begin with; empty: none. Only a new agent
    reads it: one that was trained has the weights."""
    trunk_rate: Float = leaf(1.0, low=0.0, high=1e3)
    """The language model's step size, as a share of learning_rate; 0 freezes it."""
    action_words: int = static(0, low=0)
    """Names at the end of an observation that say what each action would write next, of which the
    language model's choice is where action values begin: 4 with observation 'choices'; else 0."""
    word_temperature: Float = leaf(0.5, low=0.0, high=1e3, idle={"action_words": 0})
    """What a nat of the language model's preference is worth in action values at first."""

    @property
    def products(self) -> float:
        """Multiplications for one observation: a text's are many, whatever its length."""
        return math.inf

    def check_reads(self, seen: Seen) -> None:
        """Refuse, with a ``ConfigError``, what is no text."""
        if seen.categories is None or len(seen.shape) != 1:
            remedy = "env_kwargs.observation = 'text'" if seen.is_maze else "network = 'mlp'"
            raise ConfigError(
                f"network ('transformer') needs a row of names to read, but {seen.env} gives "
                f"observations of shape {seen.shape}: set {remedy}."
            )
        self.check_heads()
        wanted = seen.num_actions if seen.env_kwargs.get("observation") == "choices" else 0
        if seen.is_maze and self.action_words != wanted:
            raise ConfigError(
                f"action_words ({self.action_words}) must be {seen.num_actions} with env_kwargs."
                f"observation = 'choices', and 0 with any other: set action_words = {wanted}, or "
                "another observation."
            )
        if self.action_words not in (0, seen.num_actions):
            raise ConfigError(
                f"action_words ({self.action_words}) must be one for each of the "
                f"{seen.num_actions} actions: set action_words = {seen.num_actions}, or 0."
            )
        if self.action_words and not self.causal:
            raise ConfigError(
                f"action_words ({self.action_words}) needs causal = true, since a masked model is "
                "asked for its next word by masks, which no observation has: set it, or "
                "action_words = 0 and env_kwargs.observation = 'text'."
            )

    def check_begins(self, seen: Seen) -> None:
        """Refuse, with a ``ConfigError``, to begin with a trunk that isn't there or isn't fit."""
        shape = {"layers": self.layers, "heads": self.heads, "width": self.width,
                 "causal": self.causal}  # fmt: skip
        length = seen.shape[0] - self.action_words
        pretrained.check(self.pretrained, shape, seen, length)
        # Arrays, even while a caller is being traced.
        with jax.ensure_compile_time_eval():
            read = pretrained.weights(self.pretrained, length)
        vocabulary = len(read["trunk"]["tokens"]["embedding"])
        trunk = Trunk(vocabulary, length, self.layers, self.heads, self.width, self.causal)
        made: Any = jax.eval_shape(
            LanguageModel(trunk).init, jax.random.key(0), jnp.zeros(length, jnp.int32)
        )
        remedy = (
            f"put config.toml and params.msgpack in {self.pretrained!r} back as one training left "
            "them"
        )
        pytrees.leading_axes(read, made["params"], "pretrained", remedy)
        if pytrees.nonfinite(read):
            raise ConfigError(
                f"pretrained ({self.pretrained!r}) holds weights that aren't finite: pre-train or "
                "fine-tune anew with a lower learning_rate."
            )

    def check_head(self, head: Any, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, outputs that a policy can't be added to."""
        del run
        made = head.make()
        if self.action_words and not (made.adds and not made.at_fractions):
            raise ConfigError(
                f"action_words ({self.action_words}) adds to action values, and this head has "
                "probabilities or fractions: set head = 'expected' or 'quantile'."
            )

    def notes(self) -> list[str]:
        """Return sentences on what is honoured though it may not be meant."""
        if self.pretrained or not np.any(np.asarray(self.trunk_rate) == 0):
            return []
        return ["trunk_rate (0) freezes a trunk of random weights, since pretrained names none."]

    def make(
        self, num_actions: int, width: int, categories: int | None, at_fractions: bool = False
    ) -> Network:
        """Return the network of ``width`` numbers for each action; see ``DenseSettings``."""
        trunk = Trunk(categories or 1, None, self.layers, self.heads, self.width, self.causal)
        # In place of the actions that have words there is one value of the state.
        rows = num_actions - self.action_words + 1 if self.action_words else num_actions
        dense = self.layers_to(rows, width, at_fractions)
        reader: nn.Module = Reader(trunk, dense)
        if self.action_words:
            output = nn.Dense(trunk.vocabulary, kernel_init=SMALL)
            reader = Chooser(trunk, output, dense, self.action_words, self.word_temperature)
        network = feedforward(reader, SideBySide(core=1), streams.perturb)

        def init(key: PRNGKey, obs: Array) -> Params:
            params: Any = network.init(key, obs)
            if not self.pretrained:
                return params
            read = pretrained.weights(self.pretrained, len(obs) - self.action_words)
            return {"params": {name: read.get(name, own) for name, own in params["params"].items()}}

        def paced(step: Any) -> Params:
            slow = {
                name: of if name == "dense" else jax.tree.map(lambda x: self.trunk_rate * x, of)
                for name, of in step["params"].items()
            }
            return {"params": slow}

        return network._replace(init=init, paced=paced)
