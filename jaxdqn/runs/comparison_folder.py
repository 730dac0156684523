"""A comparison's folder: each setting, and what is under way of one, found again after any stop."""

import contextlib
import json
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdqn.config import Config, to_toml
from jaxdqn.errors import ConfigError, counted, typed
from jaxdqn.metrics import from_arrays, to_arrays
from jaxdqn.runs import console, files, folder, place
from jaxdqn.runs.attempts import Attempts
from jaxdqn.runs.comparison import Contender
from jaxdqn.runs.sweeps import Moment

TABLE, FIGURE = "metrics.csv", "comparison.png"
_UNDER_WAY, _CLOCK = "under_way", "clock.npz"
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
    measures, parts = [out / f"{name}.npz" for name in plain], out / _UNDER_WAY
    own = {TABLE, FIGURE, *(f"{name}.{end}" for name in plain for end in ("npz", "toml"))}
    if parts.is_dir() and {part.name for part in parts.iterdir()} <= {*plain}:
        own.add(_UNDER_WAY)
    # A folder with files of settings alone is where somebody keeps them.
    begun = any(path.exists() for path in (*measures, parts)) and place.is_unused(out, None, own)
    with place.alone(out) if begun else place.new(out):
        files.clear_drafts(out)
        try:
            yield
        except KeyboardInterrupt:
            done, part = sum(path.exists() for path in measures), parts.exists()
            if done or part:
                console.print_line(
                    f"stopped after {done} of {counted(len(measures), 'setting')}"
                    f"{' and a part of the next' * part}; go on with: the same command and --out "
                    f"{typed(out)}"
                )
            raise


@contextlib.contextmanager
def held(out: Path, plain: str) -> Iterator[tuple[Path, "Clock"]]:
    """Give the folder in which a setting is trained, until it is kept, and its clock.

    It goes again where nothing was saved with which one could go on.

    Args:
        out: the comparison's folder.
        plain: name of the setting's files, without their endings.

    Raises:
        ConfigError: what an earlier command has left there is damaged.
    """
    path = out / _UNDER_WAY / plain
    try:
        yield path, Clock(path)
    except BaseException:
        if not any(path.glob("*/*.npz")):
            _drop(path)
        raise


def _drop(path: Path) -> None:
    """Remove what was under way of a setting, and where it was, if nothing else is there."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


class Clock:
    """The seconds of a setting's training, kept beside what is under way.

    Args:
        path: the folder, where an earlier command may have been stopped.

    Raises:
        ConfigError: what that has left is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._began, self._before = path / _CLOCK, time.perf_counter(), 0.0
        self._along: dict[str, dict[str, float]] = {}
        self._attempts = Attempts()
        if self._path.exists():
            about, _ = files.read_arrays(self._path, _KIND)
            self._before, self._along = about["seconds"], about["along"]

    @property
    def seconds(self) -> float:
        """Of all commands, compilation included."""
        return self._before + time.perf_counter() - self._began

    def along(self, evaluations: int) -> np.ndarray | None:
        """Return those of all chunks, compilation apart, when each evaluation was over, ``[T]``.

        None where some weren't written when they could have been read again.
        """
        times = [list(chunk.values()) for chunk in self._along.values()]
        known = all(len(chunk) == evaluations for chunk in times)
        return np.sum(times, axis=0) if known else None

    def take(self, moment: Moment) -> None:
        """Take the time of a chunk's evaluation, in place of one lost with its agents."""
        name, own = json.dumps(moment.chunk.seeds), {*moment.chunk.seeds}
        if moment.row is None:  # what was cut otherwise, and not saved, is trained anew
            for other in {*self._along} - {name}:
                if own & {*json.loads(other)}:
                    del self._along[other]
        else:
            times = self._along.setdefault(name, {})
            times[str(moment.row.env_steps[0])] = moment.seconds
            about = {"seconds": self.seconds, "along": self._along}
            self._attempts("the clock", files.write_arrays, self._path, about, {}, _KIND)


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
    _drop(out / _UNDER_WAY / plain)


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
    path, text = out / f"{plain}.npz", to_toml(config)
    other = ConfigError(
        f"out ('{out}') holds {name!r} with other settings or seeds: choose another folder."
    )
    if not path.exists():
        begun = out / _UNDER_WAY / plain / place.SETTINGS
        if begun.exists() and begun.read_text(encoding="utf-8") != text:
            raise other
        return None
    about, arrays = files.read_arrays(path, _KIND)
    wanted = {"config": text, "seeds": list(seeds)}
    if "along" not in about or {word: about.get(word) for word in wanted} != wanted:
        raise other
    along = np.asarray(about["along"])
    return Contender(name, from_arrays(arrays), seeds, about["seconds"], along, config)
