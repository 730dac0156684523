"""``jaxdqn export``: a trained policy of a run as one file that needs nothing but JAX."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxdqn.runs import export
from jaxdqn.runs.trained import trained


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write the policy of one seed as a file that needs JAX and nothing of jaxdqn."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    seed: int | None = None
    """Number of the seed; by default the run's first."""
    out: Path | None = None
    """File to write; by default policy.jax in the run folder."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = tyro.cli(Arguments, prog="jaxdqn export", args=arguments, use_underscores=True)
    found = trained(chosen.run)
    seed = found.seeds.start if chosen.seed is None else chosen.seed
    params = found.of(seed)
    out = chosen.out or chosen.run / "policy.jax"
    size = export.export_policy(out, found.config, params)
    print(f"seed {seed}: {out}, {size / 1e3:.0f} kB; jax.export.deserialize reads it")
    return 0
