"""Statistics over seeds: the seed is the unit, functions are pure, keyed, and can be compiled.

Only ``summarise`` and Student's intervals can't: they are Python's floats, made on the host.

Scores are ``[S]``, one number per seed, or ``[S, M]``, seeds on M tasks of equal weight, each of
them a training of its own. One agent's scores on many mazes are no such tasks: what the seed does
to all of them alike would be taken for chance in each, so average them first.

NaN says that nothing was measured: such a score isn't counted, and where none was measured the
result is NaN. A seed that diverged to NaN isn't counted either: look at how many were.

The measures and the stratified bootstrap are those of Agarwal et al. (2021, arXiv:2108.13264).
Curves and interquartile means have its intervals, which of few seeds are too narrow; means that are
ranked or told apart, as by ``jaxdqn compare`` and ``jaxdqn sweep``, have Student's.
"""

from jaxdqn.statistics.differences import difference, improvement, seeds_needed
from jaxdqn.statistics.estimators import (
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from jaxdqn.statistics.intervals import (
    Estimate,
    Estimator,
    bootstrap_interval,
    sample_efficiency,
    summarise,
    wilson_interval,
)
from jaxdqn.statistics.student import student_difference, student_interval

__all__ = [
    "Estimate",
    "Estimator",
    "bootstrap_interval",
    "difference",
    "improvement",
    "iqm",
    "mean",
    "median",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "sample_efficiency",
    "seeds_needed",
    "student_difference",
    "student_interval",
    "summarise",
    "wilson_interval",
]
