"""Successive halving: all settings with few seeds, the better half of them with twice as many.

After Karnin, Koren and Somekh (2013) and Jamieson and Talwalkar (2016, arXiv:1502.07943); what is
spent on a setting here are seeds, of which each is a whole training.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdqn.parallel.sweeps import Results
from jaxdqn.runs import comparison, ranking
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.ranking import Ranked

FEWEST = 3
"""Seeds of the first round: of two, an interval is thirteen standard errors to each side."""
_DRAWS = 10_000


class Round(NamedTuple):
    """One round.

    Attributes:
        cells: places of its settings in the grid.
        seeds: how many of the sweep's seeds, from the first on, each of them has.
    """

    cells: list[int]
    seeds: int


def first(settings: int, seeds: int) -> Round:
    """Return the round of all settings; each later one halves them and doubles their seeds."""
    rounds = math.ceil(math.log2(settings))
    # Rounded up, so that the last setting has them all.
    return Round(list(range(settings)), min(max(FEWEST, -(-seeds // 2**rounds)), seeds))


def following(
    now: Round, results: Results, measure: str, score: Score
) -> tuple[Round, float] | None:
    """Return the next round, and the chance that the best setting isn't in it; None after the last.

    The half with the better optimistic ends of their intervals goes on, so that of two settings
    alike the one that less is known of does.

    Args:
        now: the round that was trained.
        results: of it.
        measure: what settings are ranked by.
        score: what of it counts for a seed.
    """
    total = len(results.grid.seeds)
    if now.seeds >= total or len(now.cells) == 1:
        return None
    # An earlier session may have gone further; the choice is made as if it hadn't.
    every = ranking.rank(results, measure, score, first=now.seeds)
    ranked = [one for one in every if one.cell in now.cells]
    sign = -1.0 if comparison.lower_is_better(measure) else 1.0
    hopes = np.array([one.low if sign < 0 else one.high for one in ranked]) * sign
    means = np.array([one.mean for one in ranked]) * sign
    # Where the spread is unknown, the mean; where that isn't finite, or nothing was measured, none.
    hopes = np.where(np.isnan(hopes), means, hopes)
    hopes = np.where(np.isfinite(hopes), hopes, -np.inf)
    order = np.argsort(-hopes, kind="stable")
    half = -(-len(ranked) // 2)
    missed = _chance(ranked, sign, order[half:])
    kept = [ranked[index].cell for index in order[:half]]
    return Round(sorted(kept), min(2 * now.seeds, total)), missed


def said(cost: Mapping[str, Any]) -> list[str]:
    """Return what halving cost and may have missed as a sentence, or none where there was none."""
    if not cost:
        return []
    return [
        f"halving trained {cost['trained']} of {cost['agents']} agents; as far as the seeds tell, "
        f"it dropped the best setting with a chance of {cost['chance_of_dropping_the_best']:.1%}"
    ]


def wanted(now: Round, results: Results) -> list[np.ndarray]:
    """Return which agents of each group a round trains."""
    count, masks = len(results.grid.seeds), []
    for group in results.groups:
        mask = np.zeros((len(group.cells), count), bool)
        mask[np.isin(group.cells, now.cells), : now.seeds] = True
        masks.append(mask.reshape(-1))
    return masks


def _chance(ranked: list[Ranked], sign: float, dropped: np.ndarray) -> float:
    """Return the chance that the greatest true mean is among those dropped.

    True means are drawn around the measured ones as Student's interval has them, each setting by
    itself: seeds that settings share make it too large rather than too small.
    """
    rng = np.random.default_rng(0)
    draws = np.full((_DRAWS, len(ranked)), -np.inf)
    for index, one in enumerate(ranked):
        values = one.scores[~np.isnan(one.scores)]
        if not np.isfinite(values).all():
            continue  # what diverged isn't the best
        if len(values) > 1:
            error = values.std(ddof=1) / math.sqrt(len(values))
            draws[:, index] = sign * one.mean + error * rng.standard_t(len(values) - 1, _DRAWS)
        elif len(values):
            draws[:, index] = sign * one.mean
    # Of several that are equally good so far each may be the best: scores that are all alike, such
    # as a success of 1, say nothing of which is.
    best = draws == draws.max(axis=1, keepdims=True)
    return float(np.mean(best[:, dropped].sum(axis=1) / best.sum(axis=1)))
