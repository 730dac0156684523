"""A trained policy as one file for others: it needs JAX, and nothing of this package."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxdqn import pytrees
from jaxdqn.assembly import assemble
from jaxdqn.config import Config, check, check_single
from jaxdqn.errors import ConfigError, reason_of
from jaxdqn.evaluation import NETWORK
from jaxdqn.method import Method
from jaxdqn.precision import in_usual_numbers
from jaxdqn.runs import files, place
from jaxdqn.training import outline
from jaxdqn.types import Array, Params

# One file for every machine; the lowering needs none of them.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@in_usual_numbers
def export_policy(path: str | Path, config: Config, params: Params) -> int:
    """Write a policy as a function of observations, ``[B, ...] -> float32 [B, A]``.

    It gives action values; of a method that learns a policy, as PPO, the logarithms of its
    probabilities, by which ``jax.random.categorical`` acts. The greedy action is the argmax of
    either. The file is a serialised ``jax.export.Exported`` with the weights inside; any ``B``
    fits. JAX reads files at least half a year older than itself.

    Args:
        path: the file.
        config: the settings that the network was trained with.
        params: the network of one agent, ``state.agent.params``.

    Returns:
        Size of the file in bytes.

    Raises:
        ConfigError: a setting that can't be honoured, a network that isn't one of these settings
            or remembers, a file that can't be written, or flatbuffers is not installed.
    """
    file = place.as_path(path, "path")
    check(config)
    check_single(config)
    environment, _, method = assemble(config)[1:]
    if jax.tree.leaves(method.memory()):
        raise ConfigError(
            f"memory ({config.memory!r}) makes values depend on what was seen before, and what is "
            "exported knows one observation: export a run with memory = 'none'."
        )
    of_one = _of_one(method)
    if of_one is None:
        raise ConfigError(
            f"method ({config.method!r}) has neither action values nor a policy, which are what is "
            "exported: export a run of another method."
        )
    _check(params, outline(config).agent.params)
    weights = jax.tree.map(np.asarray, params)

    def policy(obs: Array) -> Array:
        return jax.vmap(of_one, (None, 0))(jax.tree.map(jnp.asarray, weights), obs)

    (batch,) = jax.export.symbolic_shape("B")
    seen = jax.ShapeDtypeStruct((batch, *environment.obs.shape), environment.obs.dtype)
    exported = jax.export.export(jax.jit(policy), platforms=PLATFORMS)(seen)
    try:
        content = exported.serialize()
        with files.replacing(file) as draft:
            return draft.write_bytes(content)
    except ImportError:
        raise ConfigError(
            "export needs the package 'flatbuffers', which is not installed: "
            "run pip install flatbuffers."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"policy '{path}' can't be written ({reason_of(error)}): choose another place."
        ) from None


def _of_one(method: Method) -> Callable[[Params, Array], Array] | None:
    """Return what is exported, for one observation; None where there is nothing."""
    policy = method.policy
    if policy is None:
        return method.q_values
    return lambda params, obs: jnp.log(policy(params, obs)[0])


def _check(params: Params, like: Params) -> None:
    if axes := pytrees.leading_axes(params, like, "params", NETWORK):
        raise ConfigError(
            f"params hold many networks (leading axes {axes}), and a policy is one: choose one."
        )
