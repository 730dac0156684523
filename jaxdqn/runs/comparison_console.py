"""What a person sees at the end of a comparison: a table, and what is established."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from jaxdqn.runs import comparison, console
from jaxdqn.runs.ranking import of_seeds, share


def report(
    found: Mapping[str, Mapping[str, Any]],
    measure: str,
    score: str,
    out: Path,
    notes: Sequence[str] = (),
    sweep: str = "",
) -> None:
    """Print one line per setting, then what is established about the others and the first.

    Args:
        found: from ``comparison.report``.
        measure: what was compared.
        score: what of it counts for a seed.
        out: the folder.
        notes: what else is to be said.
        sweep: that all settings are of, if any, with which their names begin.
    """
    of = f", in {sweep}" if sweep else ""
    found = {name.removeprefix(f"{sweep} "): entry for name, entry in found.items()}
    first, *others = found
    table = Table(title=f"{measure}, {score} of each seed{of}", title_justify="left")
    table.add_column("setting", overflow="fold")
    for head in ("seeds", "IQM\n[95 % interval]", "P(better\nthan first)"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, entry in found.items():
        middle = _interval(entry["iqm"], entry["low"], entry["high"], form=".4g")
        chance = "" if name == first else _interval(*entry["improvement"], form=".2f")
        table.add_row(name, share(entry["measured"], entry["seeds"]), middle, chance)
    console.print_table(table)
    for name, entry in found.items():
        if not math.isnan(entry["seconds"]):
            console.print_line(
                f"{name}: trained in {entry['seconds']:.0f} s in all, "
                f"{entry['env_steps_per_second']:,.0f} env-steps/s"
            )
    for name in others:
        console.print_line(f"{name} - {first}, means: {_verdict(found, first, name)}")
    for name in others:
        if by_seconds := found[name].get("by_seconds"):
            beside = {first: found[first]["by_seconds"], name: by_seconds}
            console.print_line(
                f"{name} - {first}, means along the first {by_seconds['until']:.3g} s of training, "
                f"which was timed once: {_difference(beside, first, name)}"
            )
    console.print_line(_how(found, first))
    for note in notes:
        console.print_line(f"note: {note}")
    console.print_line(f"everything is in {out}")


def _interval(middle: float, low: float, high: float, *, form: str) -> str:
    if math.isnan(middle):
        return "not measured"
    return f"{middle:{form}}" + ("" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]")


def _verdict(found: Mapping[str, Mapping[str, Any]], first: str, name: str) -> str:
    entry, said = found[name], _difference(found, first, name)
    if math.isnan(entry["difference"][1]):
        return said
    if entry["established"]:
        return f"{said}: the difference is established"
    if math.isfinite(needed := entry["seeds_needed"]):
        return (
            f"{said}: not established with {' and '.join(map(str, sorted({*entry['compared']})))} "
            f"seeds; about {needed:,.0f} would be needed if it is as large as it looks"
        )
    return f"{said}: no difference was seen"


def _difference(found: Mapping[str, Mapping[str, Any]], first: str, name: str) -> str:
    """Return the difference of means and its interval, or why there is none."""
    middle, low, high = found[name]["difference"]
    if not math.isnan(low):
        return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
    infinite = [
        f"{of_seeds(found[each]['infinite'], found[each]['measured'])} of {each}"
        for each in (name, first)
        if found[each]["infinite"]
    ]
    if infinite:
        return f"not finite in {' and '.join(infinite)}, so that nothing can be said"
    few = f"{' and '.join(map(str, found[name]['compared']))} measured"
    return f"of fewer than two seeds each ({few}) nothing can be said"


def _how(found: Mapping[str, Mapping[str, Any]], first: str) -> str:
    """Return by which tests means were compared, and what their intervals hold for."""
    tests, others = defaultdict(list), [name for name in found if name != first]
    for name in others:
        tests[_test(found[name], found[first])].append(name)
    said = "; ".join(
        how if len(tests) == 1 else f"{', '.join(names)} {how}" for how, names in tests.items()
    )
    sure = f"intervals of {100 * found[others[0]]['confidence']:.4g} %"
    if len(others) > 1:
        sure += f" each, so that all {len(others)} hold at once with "
        sure += f"{100 * (1 - comparison.ERROR):.4g} % (Bonferroni)"
    return f"means are compared {said}; {sure}"


def _test(entry: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    shared = entry["shared_seeds"]
    if entry["test"] != comparison.PAIRED:
        few = f", though {', '.join(map(str, shared))} are shared" if shared else ""
        return f"as of independent seeds (Welch){few}"
    if len(shared) == entry["seeds"] == first["seeds"]:
        return "in pairs of the same seed (Student)"
    row = shared == list(range(shared[0], shared[-1] + 1))
    which = f"{shared[0]} to {shared[-1]}" if row else ", ".join(map(str, shared))
    return f"in pairs of the {len(shared)} seeds that both have, {which} (Student)"
