"""What the READMEs show of a GPU."""

from shown.words import markdown, measured, result_of


def laws(name: str) -> str:
    """Return the laws that were tried, and how well they hold."""
    result = result_of(name)
    lines = []
    for row in result["laws"]:
        if row.get("error"):
            found = row["error"].splitlines()[0]
        elif row["tolerance"] is None:
            found = ""
        elif row["tolerance"] == 0:
            found = f"{row['unequal']:,} numbers of other bits"
        else:
            found = f"{row['difference']:.1e} of {row['tolerance']:.0e} allowed"
        lines.append([row["law"], row["name"], "yes" if row["held"] else "**no**", found])
    lead = (
        "The laws where JAX ran, of a tiny maze agent; differences are to one more than the "
        "number's size:\n\n"
    )
    columns = ["law", "what", "held", "largest difference"]
    return lead + markdown(columns, lines, 2) + measured(result)


def profile(name: str) -> str:
    """Return what one iteration takes, and its slowest kernels for the most seeds."""
    result = result_of(name)
    ceiling = result["bytes_per_second"]
    lines = []
    for found in result["profiles"]:
        rate = found["bytes"] / found["busy_microseconds"] * 1e6
        lines.append([
            f"{found['seeds']:,}", f"{found['span_microseconds']:,.1f}",
            f"{found['busy_microseconds']:,.1f}", f"{found['launches']:,.0f}",
            f"{found['bytes'] / 1e6:,.2f}", f"{rate / ceiling:.0%}",
        ])  # fmt: skip
    columns = ["seeds", "µs of an iteration, traced", "µs of its kernels", "kernels", "MB",
               "of the memory's bandwidth"]  # fmt: skip
    last = result["profiles"][-1]
    slowest = [
        [f"`{row['op']}`", f"`{row['source']}`" if row["source"] else "",
         f"{row['launches']:.0f}", f"{row['microseconds']:,.2f}",
         "unknown" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.3f}"]
        for row in last["kernels"][:10]
    ]  # fmt: skip
    lead = (
        "One iteration of ours (16 environment steps, one update of 64-64), from the device's "
        "trace; bytes as XLA's text says, each number once:\n\n"
    )
    between = f"\n\nThe slowest of {len(last['kernels'])} kernels with {last['seeds']:,} seeds:\n\n"
    kernels = markdown(["kernel", "of", "times", "µs", "MB"], slowest, 2)
    return lead + markdown(columns, lines, 0) + between + kernels + measured(result)


def main_job(name: str) -> str:
    """Return the seconds of the main job from start to end."""
    result = result_of(name)
    lines = []
    for row in result["jobs"]:
        summary = row["summary"]
        reached = f"{summary['shortest_path_seeds']['count']:,} of {summary['seed_count']:,}"
        lines.append([f"`{row['command']}`", f"{row['seconds']:.0f} s",
                      f"{summary['train_seconds']:.1f} s", reached])  # fmt: skip
    columns = ["command", "whole command", "training alone", "walk the shortest path"]
    return markdown(columns, lines, 1) + measured(result)
