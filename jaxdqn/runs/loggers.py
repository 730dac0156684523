"""Where rows of metrics go as they come: a table always, dashboards by option."""

import contextlib
import csv
import hashlib
import importlib.util
import io
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from jaxdqn.config import Config, to_toml
from jaxdqn.errors import ConfigError, reason_of
from jaxdqn.metrics import Metrics, to_arrays
from jaxdqn.runs import files

Log = Callable[[Metrics], None]
"""Takes one evaluation of all seeds, leaves ``[S]``."""


def check_installed(option: str, package: str) -> None:
    """Refuse, with a ``ConfigError``, an option whose package isn't there."""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"{option} needs the package {package!r}, which is not installed: "
            f"run pip install {package}, or leave the option out."
        )


@contextlib.contextmanager
def table(path: Path, seeds: range, so_far: Metrics | None) -> Iterator[Log]:
    """Keep a CSV file with one line per evaluation and seed; what wasn't measured is ``nan``.

    Args:
        path: the file; what it holds is replaced, since it may know more than the checkpoint.
        seeds: numbers of the seeds.
        so_far: rows before this session, leaves ``[S, T]``.

    Raises:
        ConfigError: it can't be written before anything is learned, or not to its end.
    """
    rows = [] if so_far is None else list(_rows(so_far))
    try:
        with files.replacing(path) as draft:
            draft.write_bytes(b"".join(_lines(row, seeds, row is rows[0]) for row in rows))
        # Without a buffer, it is known here what finds no room, and waits for it.
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise ConfigError(
            f"table '{path}' can't be written ({reason_of(error)}): choose another run folder."
        ) from None
    left, headed = b"", bool(rows)

    def write() -> None:
        nonlocal left
        while left:
            left = left[file.write(left) :]

    def log(row: Metrics) -> None:
        nonlocal left, headed
        left += _lines(row, seeds, not headed)
        headed = True
        write()

    with file:
        yield log
        try:
            write()
        except OSError as error:
            raise ConfigError(
                f"table '{path}' can't be written to its end ({reason_of(error)}): make room and "
                "resume the run, which writes it anew."
            ) from None


@contextlib.contextmanager
def tensorboard(folder: Path, steps: int) -> Iterator[Log]:
    """Write means over seeds for TensorBoard, by tensorboardX.

    Args:
        folder: for TensorBoard to open.
        steps: environment steps so far; later ones, of a session that was cut off, are hidden.
    """
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder), purge_step=steps + 1) as writer:

        def log(row: Metrics) -> None:
            for name, value in means(row).items():
                writer.add_scalar(name, value, int(row.env_steps[0]))
            writer.flush()

        yield log


@contextlib.contextmanager
def weights_and_biases(project: str, folder: Path, config: Config) -> Iterator[Log]:
    """Send means over seeds to Weights & Biases; ``WANDB_MODE=offline`` keeps them in the folder.

    Args:
        project: its name there.
        folder: the run folder, whose name is the run's; one that was moved begins another.
        config: the settings.

    Raises:
        ConfigError: wandb refuses.
    """
    import wandb

    place = folder.resolve()
    # By the whole path, which is the same when the run is resumed, since folders elsewhere may have
    # the same name; as a digest, since an id has 128 characters at most, and no slash among them.
    known = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
    try:
        run = wandb.init(
            project=project, dir=folder, name=place.name, id=known, resume="allow",
            config=tomllib.loads(to_toml(config)),
        )  # fmt: skip
    except wandb.Error as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"wandb ({project!r}) can't start ({reason}): log in, or set WANDB_MODE=offline."
        ) from None
    with run:
        yield lambda row: run.log(means(row), step=int(row.env_steps[0]))


def means(row: Metrics) -> dict[str, float]:
    """Return the mean of each measure over the seeds that measured something.

    Args:
        row: leaves ``[S]``.
    """
    measured = {name: values[~np.isnan(values)] for name, values in to_arrays(row).items()}
    return {name: float(values.mean()) for name, values in measured.items() if values.size}


def _lines(row: Metrics, seeds: range, headed: bool) -> bytes:
    """Return one evaluation as lines of the table, after their heads where they are its first."""
    values, text = to_arrays(row), io.StringIO()
    writer = csv.writer(text)
    if headed:
        writer.writerow(["seed", *values])
    writer.writerows(zip(seeds, *(x.tolist() for x in values.values()), strict=True))
    return text.getvalue().encode()


def _rows(metrics: Metrics) -> Iterator[Metrics]:
    for t in range(metrics.env_steps.shape[1]):
        yield jax.tree.map(lambda x, t=t: x[:, t], metrics)
