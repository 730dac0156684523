"""Tables of plain text, as spreadsheets and pandas read them."""

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdqn import pytrees
from jaxdqn.metrics import Metrics, to_arrays
from jaxdqn.runs import folder


def write(path: Path, parts: Sequence[tuple[Mapping[str, Any], Sequence[int], Metrics]]) -> None:
    """Write a CSV file with one line per setting, seed and evaluation.

    Args:
        path: the file.
        parts: of each setting what its lines begin with, by column; its seeds (S), and their
            metrics, leaves ``[S, T]``. A measure that it doesn't have is empty, and ``nan`` where
            nothing was measured.

    Raises:
        ConfigError: it can't be written.
    """
    tables = [to_arrays(metrics) for _, _, metrics in parts]
    measures = list(dict.fromkeys(itertools.chain(*tables)))
    with folder.writing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*(parts[0][0] if parts else ()), "seed", *measures])
        for (begin, seeds, metrics), table in zip(parts, tables, strict=True):
            start = [text(value) for value in begin.values()]
            blank = [""] * metrics.env_steps.shape[1]
            for row, seed in enumerate(seeds):
                columns = [table[name][row].tolist() if name in table else blank
                           for name in measures]  # fmt: skip
                writer.writerows([*start, seed, *line] for line in zip(*columns, strict=True))


def text(value: Any) -> str:
    """Return a value as a table holds it: names as they are, true or false, numbers, else JSON."""
    return value if isinstance(value, str) else json.dumps(pytrees.plain(value))
