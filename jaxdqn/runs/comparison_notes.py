"""What is to be known of a comparison beside its figures."""

from collections.abc import Sequence

from jaxdqn.runs.comparison import Contender, env_steps

LIKE = 0.05
"""How far numbers of steps may lie apart that are called the same: schedules round them."""


def unlike(contenders: Sequence[Contender]) -> list[str]:
    """Return what sets others apart from the first beside how they learn, in a sentence each."""
    first, *others = contenders
    notes = []
    for word in ("env", "env_kwargs", "env_params"):
        said = _said(first, word)
        names = [one.name for one in others if _said(one, word) != said]
        if names:
            notes.append(
                f"{word} of {_listed(names)} is not that of {first.name}: scores are of other tasks"
            )
    steps = env_steps(first)
    apart = [one for one in others if abs(env_steps(one) / steps - 1) > LIKE]
    if apart:
        counts = _listed([f"{count:,}" for count in sorted({env_steps(one) for one in apart})])
        notes.append(
            f"{_listed([one.name for one in apart])} trained for {counts} steps, {first.name} for "
            f"{steps:,}: their means along training differ by that, too"
        )
    return notes


def repeated(contenders: Sequence[Contender]) -> list[str]:
    """Return, in a sentence, which have all settings of the first and none of its seeds."""
    first, *others = contenders
    names = [
        one.name
        for one in others
        if one.config is not None
        and one.config == first.config
        and not {*one.seeds} & {*first.seeds}
    ]
    if not names:
        return []
    have = "has" if len(names) == 1 else "have"
    return [
        f"{_listed(names)} {have} the settings of {first.name} with other seeds: to join them, "
        "train by jaxdqn sweep with one --out"
    ]


def _said(contender: Contender, word: str) -> str:
    return "" if contender.config is None else repr(getattr(contender.config, word))


def _listed(names: list[str]) -> str:
    """Return some names of many."""
    few, more = names[:3], len(names) - 3
    return ", ".join(few) + (f" and {more} others" if more > 0 else "")
