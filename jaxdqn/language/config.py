"""What can be set of a language model's training, as TOML and in Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import settings
from jaxdqn.config.config import frozen
from jaxdqn.config.parts import unknown_word
from jaxdqn.config.toml import as_value, dump, parse, read
from jaxdqn.config.values import check_words
from jaxdqn.errors import ConfigError, brief, shown
from jaxdqn.maze import text
from jaxdqn.maze.check import LONGEST, whole
from jaxdqn.networks import pretrained
from jaxdqn.networks.transformer import LanguageModel, Trunk, TrunkSettings
from jaxdqn.settings import Float, Int, leaf, static

UNREAD = ("start", "goal", "observation", "view_size")
"""Arguments of a maze's constructor that are of agents: texts are about the mazes alone."""


class LanguageConfig(TrunkSettings):
    """Settings of one language model; sizes and names are static, numbers are pytree leaves."""

    stage: Literal["pretrain", "finetune"] = static("pretrain")
    """What is learned: whole texts, or the paths in them alone. A causal model learns each token
    from those before it, another some of the tokens, which are masked, from all others."""
    env_kwargs: Mapping[str, Any] = static({})
    """The mazes, in the words of the environment's constructor: those that follow its num_levels
    and num_held_out in the bank are the corpus, and the held-out ones are judged on."""
    mazes: int = static(100_000, low=1)
    """Mazes of the corpus, all distinct; they are read in turn, again once all were read."""
    path_length: int = static(48, low=2)
    """Most tokens after the agent's cell."""
    starts: int = static(1, low=1)
    """Cells from which ways to one goal are written after each maze, which is read once for all."""
    longest: Int = leaf(1_000_000, low=1)
    """Most moves from start to goal; a path for which path_length has no room is cut."""
    alone: Float = leaf(0.2, low=0.0, high=1e6)
    """How often a text is a maze alone, in proportion to the other kinds."""
    walks: Float = leaf(0.4, low=0.0, high=1e6)
    """How often a random walk follows, until the goal or as far as there is room."""
    solutions: Float = leaf(0.4, low=0.0, high=1e6)
    """How often a walk to the goal follows."""
    detours: Float = leaf(0.2, low=0.0, high=1.0)
    """Probability that a step of such a walk is a random one; 0: the path is a shortest one."""

    permuted: bool = static(False)
    """Whether the cells of each text change places at random: a control that can teach nothing of
    where things are."""

    updates: int = static(4_000, low=1)
    """Gradient updates; rounded up to a multiple of evaluations."""
    batch_size: int = static(64, low=1)
    """Texts in one update (B)."""
    evaluations: int = static(10, low=1)
    """Rows of metrics (T), evenly spaced."""
    eval_texts: int = static(256, low=1)
    """Texts about held-out mazes in one evaluation."""
    optimizer: Literal["adamw", "muon"] = static("adamw")
    """What makes steps of gradients; muon orthogonalises those of the matrices within blocks."""
    learning_rate: Float = leaf(2e-3, low=0.0, high=1e3)
    """The step size at its highest."""
    learning_rate_end_factor: Float = leaf(0.1, low=0.0, high=1.0)
    """After warm-up the step size falls along a cosine to this fraction of itself."""
    warmup_updates: Int = leaf(100, low=1)
    """Updates over which the step size rises, fewer than there are in either stage."""
    weight_decay: Float = leaf(0.01, low=0.0, high=1e3)
    """Of matrices and of what stands for tokens and places; not of biases and scales."""
    max_grad_norm: Float = leaf(1.0, low=1e-8, infinite=True)
    """The gradient is scaled down to this global norm; inf: never."""
    precision: Literal["float32", "bfloat16"] = static("float32")
    """Of the activations."""

    finetune_updates: int = static(1_000, low=1)
    """Updates of fine-tuning."""
    finetune_learning_rate: Float = leaf(1e-3, low=0.0, high=1e3)
    """The highest step size in it."""
    finetune_starts: int = static(1, low=1)
    """Cells from which ways are written after each maze in it."""
    finetune_longest: Int = leaf(1_000_000, low=1)
    """Most moves from start to goal in it."""

    def __post_init__(self) -> None:
        """Make the table hashable, since it is structure."""
        object.__setattr__(self, "env_kwargs", frozen(self.env_kwargs))

    @property
    def shares(self) -> tuple[Float, ...]:
        """How often each kind of ``text.KINDS`` is written."""
        return self.alone, self.walks, self.solutions

    @property
    def cells(self) -> int:
        """Cells of a maze."""
        height, width = pretrained.size(self.env_kwargs)
        return height * width

    @property
    def context(self) -> int:
        """Tokens of one text, padding included."""
        return text.prompt_length(self.cells) + self.path_length

    @property
    def updates_per_evaluation(self) -> int:
        """Gradient updates between two rows of metrics."""
        return -(-self.updates // self.rows)

    @property
    def rows(self) -> int:
        """Rows of metrics: as many as evaluations, unless there are fewer updates."""
        return min(self.evaluations, self.updates)

    def model(self, decode: bool = False) -> LanguageModel:
        """Return the model; with ``decode`` the one that reads a token at a time."""
        trunk = Trunk(
            len(text.vocabulary(self.cells)), self.context, self.layers, self.heads, self.width,
            self.causal, decode, jnp.dtype(self.precision),
        )  # fmt: skip
        return LanguageModel(trunk)


def for_finetuning(config: LanguageConfig) -> LanguageConfig:
    """Return the settings of fine-tuning: shortest paths only, learned for themselves.

    Raises:
        ConfigError: what is no ``LanguageConfig``.
    """
    _check_kind(config)
    return config.replace(
        stage="finetune",
        updates=config.finetune_updates,
        learning_rate=config.finetune_learning_rate,
        starts=config.finetune_starts,
        longest=config.finetune_longest,
        alone=0.0,
        walks=0.0,
        solutions=1.0,
        detours=0.0,
    )


def extended(config: LanguageConfig, updates: int, done: int) -> LanguageConfig:
    """Return settings whose schedule goes on to ``updates`` with evaluations as far apart.

    Args:
        config: the settings so far.
        updates: in all, of the settings' stage.
        done: rows of metrics so far.

    Raises:
        ConfigError: fewer updates than were done, or too many to count.
    """
    apart = config.updates_per_evaluation
    rows = -(-updates // apart)
    if rows < max(done, 1):
        raise ConfigError(
            f"updates ({updates}) is less than the {done * apart} done already: raise it, or leave "
            "it out to finish what was asked for."
        )
    longer = config.replace(updates=rows * apart, evaluations=rows)
    if config.stage == "finetune":
        longer = longer.replace(finetune_updates=longer.updates)
    check(longer)
    return longer


def check(config: LanguageConfig) -> None:
    """Check every word by itself, then together; traced numbers are let through.

    Raises:
        ConfigError: at the first setting that can't be honoured, or where this is no
            ``LanguageConfig``.
    """
    _check_kind(config)
    check_words(config)
    for name, word in settings.words(LanguageConfig).items():
        if word.is_number and (shape := np.shape(getattr(config, name))):
            raise ConfigError(
                f"{name} (an array of shape {shape}) is a sweep, and this trains one "
                "setting: give one number, or map over the array with jax.vmap."
            )
    for name in ("height", "width"):
        if name in config.env_kwargs:
            whole(f"env_kwargs.{name}", config.env_kwargs[name], 1, LONGEST)
    for name in UNREAD:
        if name in config.env_kwargs:
            raise ConfigError(
                f"env_kwargs.{name} ({shown(config.env_kwargs[name])}) is of agents, and changes "
                "no text: leave it out."
            )
    config.check_heads()
    for name in ("starts", "finetune_starts"):
        starts = getattr(config, name)
        if starts > 1 and not config.causal:
            raise ConfigError(
                f"{name} ({starts}) needs causal = true, since what many ways share must see none "
                f"of them: set it, or {name} = 1."
            )
        if starts > config.cells:
            raise ConfigError(
                f"{name} ({starts}) exceeds the {config.cells} cells of a maze: lower it."
            )
    for name in ("finetune_updates", "updates"):
        _check_warmup(config.warmup_updates, name, getattr(config, name))
    _check_texts(config)
    traced = any(isinstance(share, jax.core.Tracer) for share in config.shares)
    if not traced and not sum(config.shares):
        raise ConfigError(
            "alone, walks and solutions are all 0, which leaves no kind of text to read: raise one."
        )


def _check_kind(config: LanguageConfig) -> None:
    if not isinstance(config, LanguageConfig):
        raise ConfigError(
            f"config ({brief(config)}) must be a LanguageConfig: write "
            "jaxdqn.language.config.load('configs/language.toml') or LanguageConfig(...)."
        )


def _check_texts(config: LanguageConfig) -> None:
    """Refuse more texts than 32 bits count, by the updates that there will be of either stage."""
    for name in ("updates", "finetune_updates"):
        stage = config.replace(updates=getattr(config, name))
        done = stage.rows * stage.updates_per_evaluation
        if done * config.batch_size >= 2**31:
            raise ConfigError(
                f"{name} ({done}) × batch_size ({config.batch_size}) must stay below "
                "2147483648: lower one."
            )


def _check_warmup(warmup: Int, name: str, updates: int) -> None:
    if not isinstance(warmup, jax.core.Tracer) and warmup >= updates:
        raise ConfigError(
            f"warmup_updates ({warmup}) must be below {name} ({updates}), or the step size never "
            f"falls: set it to {max(updates // 10, 1)}, or raise {name}."
        )


def load(path: str | Path, **overrides: Any) -> LanguageConfig:
    """Read a language model's settings from a TOML file; keys as for ``jaxdqn.load_config``.

    Args:
        path: the file, or ``"language"``, which comes with the package.
        **overrides: words that replace the file's.

    Raises:
        ConfigError: the file is missing or isn't TOML, a key is unknown, or a value can't be
            honoured.
    """
    return from_toml(read(path), f"config file {str(path)!r}", **overrides)


def from_toml(content: str, source: str, **overrides: Any) -> LanguageConfig:
    """Read settings from TOML text, which ``source`` names; the inverse of ``to_toml``.

    Raises:
        ConfigError: as for ``load``.
    """
    words = settings.words(LanguageConfig)
    given = {**parse(content, source, {"env_kwargs"}),
             **overrides}  # fmt: skip
    for name in given:
        if name not in words:
            raise unknown_word("key", name, words, f" in {source}")
    config = LanguageConfig(
        **{name: as_value(name, words[name], value) for name, value in given.items()}
    )
    check(config)
    return config


def to_toml(config: LanguageConfig) -> str:
    """Return all words as TOML text."""
    return dump({name: getattr(config, name) for name in settings.words(LanguageConfig)})
