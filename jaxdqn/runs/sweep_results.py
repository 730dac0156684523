"""What a sweep leaves beside its chunks: tables, arrays with named axes, a summary."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdqn import pytrees
from jaxdqn.metrics import to_arrays
from jaxdqn.parallel.sweeps import Results
from jaxdqn.runs import files, folder, long_form, ranking
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.provenance import provenance
from jaxdqn.runs.ranking import Ranked


def save(
    out: Path,
    results: Results,
    ranked: list[Ranked],
    measure: str,
    score: Score,
    seconds: float,
    halving: Mapping[str, Any],
) -> None:
    """Write ``metrics.npz``, ``metrics.csv``, ``settings.csv`` and ``summary.json``.

    Args:
        out: the folder.
        results: of the sweep.
        ranked: settings, best first.
        measure: what they are ranked by.
        score: what of it counts for a seed.
        seconds: of training.
        halving: what successive halving came to; empty where all was trained.

    Raises:
        ConfigError: a file can't be written.
    """
    about = {"axes": {**results.grid.axes, "seed": results.grid.seeds}}
    files.write_arrays(out / "metrics.npz", pytrees.plain(about), arrays(results), "table")
    every = sorted(ranked, key=lambda one: one.cell)
    long_form.write(
        out / "metrics.csv",
        [
            (results.grid.settings[one.cell], one.contender.seeds, one.contender.metrics)
            for one in every
        ],
    )
    _write_table(out / "settings.csv", results, ranked, measure)
    best = ranked[0]
    folder.save_json(
        out / "summary.json",
        pytrees.plain(
            {
                "measure": measure,
                "score": score,
                "agents": results.grid.agents,
                "trained": sum(int(done.sum()) for done in results.done),
                "best": results.grid.settings[best.cell],
                "seeds": len(best.scores),
                "measured": best.measured,
                "mean": best.mean,
                "low": best.low,
                "high": best.high,
                "established": ranking.sentence(ranked, measure, score),
                "halted": {one.contender.name: one.halted for one in ranked if one.halted},
                "train_seconds": round(seconds, 3),
                **({"drawn": results.grid.drawn} if results.grid.drawn else {}),
                **({"halving": halving} if halving else {}),
                **provenance(),
            }
        ),
    )


def arrays(results: Results) -> dict[str, np.ndarray]:
    """Return every measure, ``[*axes, T]``, and ``trained [*axes]``, which says where it is one."""
    shape = results.grid.shape
    trained = np.zeros((len(results.grid.settings), shape[-1]), bool)
    named: dict[str, np.ndarray] = {}
    places = {seed: place for place, seed in enumerate(results.grid.seeds)}
    for cell in range(len(trained)):
        seeds, metrics = results.of_cell(cell)
        if metrics is None:
            continue
        rows = [places[seed] for seed in seeds]
        trained[cell, rows] = True
        for name, values in to_arrays(metrics).items():
            blank = np.nan if values.dtype.kind == "f" else 0
            whole = named.setdefault(
                name, np.full((*trained.shape, values.shape[1]), blank, values.dtype)
            )
            whole[cell, rows] = values
    named = {name: x.reshape(*shape, x.shape[-1]) for name, x in named.items()}
    return {**named, "trained": trained.reshape(shape)}


def _write_table(path: Path, results: Results, ranked: list[Ranked], measure: str) -> None:
    worse_than_first = [None, *ranking.established(ranked, measure)]
    names = list(results.grid.settings[0])
    with folder.writing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "seeds", "measured", "mean", "low", "high", "halted",
                         "worse_is_established"])  # fmt: skip
        for one, worse in zip(ranked, worse_than_first, strict=True):
            setting: dict[str, Any] = results.grid.settings[one.cell]
            values = [long_form.text(setting[name]) for name in names]
            found = [len(one.scores), one.measured, one.mean, one.low, one.high, len(one.halted)]
            writer.writerow([*values, *found, "" if worse is None else str(worse).lower()])
