"""A comparison's folder: each setting as soon as it is there, found again after any stop."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdqn.config import Config, to_toml
from jaxdqn.errors import ConfigError, counted, typed
from jaxdqn.metrics import from_arrays, to_arrays
from jaxdqn.runs import console, files, folder, place
from jaxdqn.runs.comparison import Contender

TABLE, FIGURE = "metrics.csv", "comparison.png"
_KIND = "setting"


@contextlib.contextmanager
def opened(out: Path, plain: Collection[str]) -> Iterator[None]:
    """Make a comparison's folder and hold it, or hold what one of these settings was stopped in.

    Where Ctrl-C comes it says what is kept, and how to go on.

    Args:
        out: the folder.
        plain: names of the settings' files, without their endings.

    Raises:
        ConfigError: something else is there, another process has it, or it can't be written to.
    """
    measures = [out / f"{name}.npz" for name in plain]
    own = {TABLE, FIGURE, *(f"{name}.{end}" for name in plain for end in ("npz", "toml"))}
    # A folder with files of settings alone is where somebody keeps them.
    begun = any(path.exists() for path in measures) and place.is_unused(out, None, but=own)
    with place.alone(out) if begun else place.new(out):
        files.clear_drafts(out)
        try:
            yield
        except KeyboardInterrupt:
            if done := sum(path.exists() for path in measures):
                lost = ", what was under way is lost" * (done < len(measures))
                console.print_line(
                    f"stopped after {done} of {counted(len(measures), 'setting')}{lost}; go on "
                    f"with: the same command and --out {typed(out)}"
                )
            raise


def keep(out: Path, plain: str, contender: Contender) -> None:
    """Write a setting's measures, and the setting, to be trained again.

    Args:
        out: the folder.
        plain: name of the files, without their endings.
        contender: trained, or read.

    Raises:
        ConfigError: a file can't be written.
    """
    assert contender.config is not None
    text = to_toml(contender.config)
    about: dict[str, Any] = {"config": text, "seeds": [int(seed) for seed in contender.seeds]}
    if contender.along is not None:
        about |= {"seconds": contender.seconds, "along": contender.along.tolist()}
    files.write_arrays(out / f"{plain}.npz", about, to_arrays(contender.metrics), _KIND)
    with folder.writing(out / f"{plain}.toml") as draft:
        draft.write_text(text, encoding="utf-8")


def kept(
    out: Path, plain: str, name: str, config: Config, seeds: Sequence[int]
) -> Contender | None:
    """Return a setting that was trained before the comparison was stopped, None where it wasn't.

    Args:
        out: the folder.
        plain: name of the files, without their endings.
        name: of the setting.
        config: what is to be trained.
        seeds: of which seeds.

    Raises:
        ConfigError: the setting or the seeds that are there are others, or the file is damaged.
    """
    path = out / f"{plain}.npz"
    if not path.exists():
        return None
    about, arrays = files.read_arrays(path, _KIND)
    wanted = {"config": to_toml(config), "seeds": list(seeds)}
    if "along" not in about or {word: about.get(word) for word in wanted} != wanted:
        raise ConfigError(
            f"out ('{out}') holds {name!r} with other settings or seeds: choose another folder."
        )
    along = np.asarray(about["along"])
    return Contender(name, from_arrays(arrays), seeds, about["seconds"], along, config)
