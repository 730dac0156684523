"""Which way an update of a language model goes, but for the size of its step."""

import jax
import optax
from optax import contrib

from jaxdqn.language.config import LanguageConfig
from jaxdqn.types import Params

AS_ADAM = 0.2
"""Root mean square of a matrix's step, about what Adam's has, so that one step size serves both
(Liu et al., 2025, arXiv:2502.16982)."""

DECAYING = ("kernel", "embedding", "places")
"""Weights that decay: matrices, and what stands for tokens and for places; no bias, no scale."""


def direction(config: LanguageConfig) -> optax.GradientTransformation:
    """Return what the settings name, after clipping and with weight decay.

    AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) for all weights; or, for the matrices
    within blocks, Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon), whose
    steps are made nearly orthogonal, and for all others Adam with Nesterov's momentum.
    """
    moved = optax.scale_by_adam(b2=0.98)
    if config.optimizer == "muon":
        # With a step size of -1 it leaves the size, and the sign, to whoever asked.
        moved = contrib.muon(
            -1.0,
            adam_b2=0.98,
            adam_learning_rate=-1.0,
            muon_weight_dimension_numbers=_matrices,
            consistent_rms=AS_ADAM,
        )
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        moved,
        optax.add_decayed_weights(config.weight_decay, mask=_decaying),
    )


def _decaying(params: Params) -> Params:
    """Say of each weight whether it decays: by its name, since biases of heads are matrices."""

    def decays(path: tuple, _: jax.Array) -> bool:
        return path[-1].key in DECAYING

    return jax.tree_util.tree_map_with_path(decays, params)


def _matrices(params: Params) -> Params:
    """Say of each weight which axes are read and which are written; None where it is no matrix
    within a block.
    """

    def axes(path: tuple, weight: jax.Array) -> contrib.MuonDimensionNumbers | None:
        *_, layer, kind = (part.key for part in path)
        if kind != "kernel" or layer == "output":
            return None
        # Attention's kernels are [D, heads, D / heads], and the other way round on the way out.
        read = weight.ndim - 1 if layer == "out" else 1
        return contrib.MuonDimensionNumbers(tuple(range(read)), tuple(range(read, weight.ndim)))

    return jax.tree_util.tree_map_with_path(axes, params)
