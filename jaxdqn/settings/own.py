"""What methods and networks are derived from: an answer to all that the library asks of them."""

import math
from typing import Any, ClassVar, Self

import jax
from flax import struct

from jaxdqn import named
from jaxdqn.errors import ConfigError
from jaxdqn.settings.run import RunSettings, Schedule, schedule
from jaxdqn.settings.words import Float, leaf


class MethodSettings(struct.PyTreeNode):
    """A way of learning.

    One of one's own adds what can be set of it, and ``make(config, environment, env_params)``,
    which returns a ``method.Method``; by itself it makes one update after each step of all
    environments.
    """

    discount: Float = leaf(0.99, low=0.0, high=1.0)
    """Discount factor (gamma)."""

    without: ClassVar[tuple[str, ...]] = ()
    """Parts that it has no use for, among head, bootstrap, replay and memory: they are refused."""

    def schedule(self, run: RunSettings) -> Schedule:
        """Return exact counts: warm-up, iterations per evaluation, environment steps, updates."""
        return schedule(run, run.num_envs, updates_per_iteration=1, batch_size=run.num_envs)

    def scaled(self, run: RunSettings, factor: float) -> dict[str, Any]:
        """Return the words of a schedule ``factor`` times as long."""
        plan = self.schedule(run)
        least = plan.warmup_env_steps + plan.env_steps_per_iteration
        return {"total_steps": max(round(run.total_steps * factor), least)}

    def notes(self, run: RunSettings) -> list[str]:
        """Return sentences on what is honoured though it may not be meant: here none."""
        del run
        return []

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, what can't go together: here nothing."""
        del run


class NetworkSettings(struct.PyTreeNode):
    """What reads an observation.

    One of one's own adds what can be set of it, and ``make(num_actions, width, categories,
    at_fractions=False)``, which returns a ``networks.network.Network`` of ``width`` numbers for
    each action.
    """

    noisy = False
    """Whether there is noise in its weights, to explore by."""
    shared_noise = False
    """Whether that is the same in all environments."""
    dueling = False
    """Whether it has a stream for the value of the state."""
    knows_fractions = False
    """Whether ``make`` takes ``at_fractions``, as implicit quantiles need."""

    @property
    def products(self) -> float:
        """Multiplications for one observation, about; inf: so many that all cores help."""
        return math.inf

    def reaching(self, moves: int) -> Self:
        """Return the settings by which the same weights are read where ways are so long: these.

        One that looks only so far ahead, by weights that don't say how far, returns others.
        """
        del moves
        return self

    def notes(self) -> list[str]:
        """Return sentences on what is honoured though it may not be meant: here none."""
        return []

    def check_head(self, head: Any, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, a meaning that its outputs can't have."""
        del run
        if head.make().at_fractions and not self.knows_fractions:
            raise ConfigError(
                f"network ({type(self).__name__}) gives no numbers at fractions, which head "
                "'implicit_quantile' asks for: set another head or network. (Where one of your own "
                "does, it says so by knows_fractions = True.)"
            )

    def check_reads(self, seen: Any) -> None:
        """Refuse, with a ``ConfigError``, observations that it doesn't map to its outputs.

        Args:
            seen: of what is to be read, a ``networks.network.Seen``.
        """
        if type(self).__module__.startswith("jaxdqn."):
            return  # known to be right, and looking takes time

        def outputs(key: jax.Array, obs: jax.Array) -> Any:
            network = self.make(seen.num_actions, 1, seen.categories)  # type: ignore[attr-defined]
            params = network.init(key, obs)
            return network.apply(params, network.memory(), obs, True, None)[0]

        obs = jax.ShapeDtypeStruct(seen.shape, seen.dtype)
        try:
            shape = jax.eval_shape(outputs, jax.random.key(0), obs).shape
        except ConfigError:
            raise
        except Exception as error:  # whatever it does
            raise ConfigError(
                f"network ({type(self).__name__}) can't read what {seen.env} gives, {seen.dtype} "
                f"of shape {seen.shape} ({named.what(error)}): mend its make."
            ) from error
        if shape != (seen.num_actions, 1):
            raise ConfigError(
                f"network ({type(self).__name__}) gives outputs of shape {shape}: make it "
                f"(num_actions, width), here {(seen.num_actions, 1)}."
            )
