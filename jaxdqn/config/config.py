"""The settings as one pytree: structure is static, numbers are leaves."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax.core import freeze

from jaxdqn import settings
from jaxdqn.config import parts
from jaxdqn.config.values import check_words
from jaxdqn.errors import ConfigError, unknown
from jaxdqn.settings import Schedule, Word


@jax.tree_util.register_pytree_with_keys_class
class Config:
    """Settings of one agent's training; sizes and names are static, numbers are pytree leaves.

    >>> config = Config(network="residual", channels=16, learning_rate=1e-3)
    >>> config.network, config.channels, config.discount
    ('residual', 16, 0.99)
    >>> config.replace(learning_rate=1e-4)

    Words are those of the parts that ``method``, ``head`` and ``network`` name, and of every run;
    they are flat here, in TOML, in sweeps and on the command line. ``print(config)`` shows them all
    with their values, and ``jaxdqn train maze --help`` says what each means.
    ``config.part("network")`` is one part's own struct.

    Nothing of it can be changed in place: tables and arrays are kept as copies.

    Args:
        **words: what is set; everything else takes its default. Values are looked at when
            something is trained with them, since they may be tracers here.

    Raises:
        ConfigError: an unknown word or choice, or a word of a part that isn't chosen.
    """

    _chosen: dict[str, str]
    _held: dict[str, Any]

    def __init__(self, **words: Any) -> None:
        chosen = parts.choose(words)
        self._fill(chosen, _assemble(chosen, {}, {}, words))

    def replace(self, **words: Any) -> "Config":
        """Return these settings with some changed.

        Another choice of a part keeps what both parts have, and takes defaults for the rest. A
        table is replaced as a whole: to keep other entries write
        ``replace(env_params={**config.env_params, "slip": 0.1})``.

        Raises:
            ConfigError: an unknown word or choice, or a word of a part that isn't chosen.
        """
        chosen = parts.choose({**self._chosen, **words})
        return _made(chosen, _assemble(chosen, self._chosen, self._parts, words))

    def settled(self) -> "Config":
        """Return the same settings with numbers of their kinds: 1.0 for 1, where it is a float.

        JAX would compile for each of them. Not from the beginning, since a Config of axes, for
        ``jax.vmap``, has whole numbers in their place.
        """
        known = self.words.items()
        return self.replace(
            **{name: word.as_leaf(getattr(self, name)) for name, word in known if word.is_number}
        )

    def part(self, word: str) -> Any:
        """Return the struct of one part: ``"run"``, or the one that ``word`` chooses.

        Raises:
            ConfigError: a word that chooses none here.
        """
        if word not in self._held:
            raise unknown("part", word, self._held)
        return self._parts[word]

    @property
    def chosen(self) -> dict[str, str]:
        """The name of each chosen part, by the word that chooses it."""
        return dict(self._chosen)

    @property
    def words(self) -> dict[str, Word]:
        """What can be set of the chosen parts, by name; the choices themselves apart."""
        return parts.words(self._chosen)

    @property
    def schedule(self) -> Schedule:
        """Exact counts: warm-up, iterations per evaluation, environment steps, updates.

        Raises:
            ConfigError: a word, of the method or of every run, that can't be counted with.
        """
        run, method = self.part(parts.RUN), self.part("method")
        for part in (run, method):
            check_words(part, numbers=False)
        return method.schedule(run)

    def __getattr__(self, name: str) -> Any:
        for values in (
            () if name.startswith("_") else (self._chosen, *map(vars, self._parts.values()))
        ):
            if name in values:
                return values[name]
        raise AttributeError(f"these settings have no {name!r}.", name=name, obj=self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, ({**self._chosen, **{name: getattr(self, name) for name in self.words}},)

    def __dir__(self) -> list[str]:
        return [
            *self._chosen,
            *self.words,
            "chosen",
            "part",
            "replace",
            "schedule",
            "settled",
            "words",
        ]

    def __setattr__(self, name: str, value: Any = None) -> None:
        raise dataclasses.FrozenInstanceError(
            f"{name} can't be changed in place: write config.replace({name}=...)."
        )

    __delattr__ = __setattr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Config):
            return NotImplemented
        alike = jax.tree.structure(self) == jax.tree.structure(other)  # type: ignore[operator]
        return alike and all(map(_are_equal, jax.tree.leaves(self), jax.tree.leaves(other)))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        said = {**self._chosen, **{name: getattr(self, name) for name in self.words}}
        return f"Config({', '.join(f'{name}={value!r}' for name, value in said.items())})"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        """For JAX: the parts, which say themselves what of them is static, and their names."""
        children = [(jax.tree_util.GetAttrKey(word), part) for word, part in self._parts.items()]
        return children, tuple(self._chosen.items())

    @classmethod
    def tree_unflatten(cls, names: tuple[Any, ...], children: Iterable[Any]) -> "Config":
        """For JAX: put it together again, whatever the leaves are now."""
        chosen = dict(names)
        return _made(chosen, dict(zip([parts.RUN, *chosen], children, strict=True)))

    def _fill(self, chosen: dict[str, str], made: dict[str, Any]) -> None:
        vars(self).update(_chosen=chosen, _held=made)

    @property
    def _parts(self) -> dict[str, Any]:
        """The parts, of the classes that their names stand for now."""
        return {word: parts.renewed(word, self._chosen.get(word, ""), part)
                for word, part in self._held.items()}  # fmt: skip


def _made(chosen: dict[str, str], made: dict[str, Any]) -> Config:
    config = object.__new__(Config)
    config._fill(chosen, made)
    return config


def _read(words: dict[str, Any]) -> Config:
    """Return settings of a copy or a pickle."""
    return Config(**words)


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two leaves are the same, of arrays each number."""
    return one is other or (np.shape(one) == np.shape(other) and bool(np.all(one == other)))


def _assemble(
    chosen: Mapping[str, str],
    chosen_before: Mapping[str, str],
    before: Mapping[str, Any],
    words: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the chosen parts: as they were before, or by default, then changed by words."""
    for name, value in words.items():
        parts.check_word(name, value, chosen)
    said = {name: value for part in before.values() for name, value in vars(part).items()}
    said |= chosen_before
    words = {**parts.implied(said, words), **words}

    def make(word: str, kind: type) -> Any:
        values = {**vars(before[word]), **words} if word in before else words
        return kind(
            **{
                name: frozen(_with_arrays(name, values[name]) if known.is_number else values[name])
                for name, known in settings.words(kind).items()
                if name in values
            }
        )

    return {word: make(word, kind) for word, kind in parts.kinds(chosen).items()}


def _with_arrays(name: str, value: Any) -> Any:
    """Return a table of numbers with arrays for lists; others as they are."""
    if not isinstance(value, Mapping):
        return value
    return {key: as_array(f"{name}.{key}", item) for key, item in value.items()}


def as_array(name: str, value: Any) -> Any:
    """Return an array for a list, anything else as it is.

    Raises:
        ConfigError: its rows are of several lengths.
    """
    if not isinstance(value, list):
        return value
    try:
        return np.asarray(value)
    except ValueError:
        raise ConfigError(
            f"{name} ({value!r}) is ragged: give a number, or rows of the same length."
        ) from None


def frozen(value: Any) -> Any:
    """Return a value as nobody can change it: tables and lists, too, and copies of arrays.

    NumPy's single values become Python's, which structure is hashed by.
    """
    if isinstance(value, Mapping):
        return freeze({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value.item() if isinstance(value, np.generic) else value
