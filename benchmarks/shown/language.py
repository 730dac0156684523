"""What the READMEs show of language models and of the agents that begin with them."""

import shlex
import statistics
from collections.abc import Iterable
from typing import Any

import harness

from shown.words import difference, markdown, result_of

OF_READING = {
    "causal": "each token from those before it",
    "deep": "4 layers instead of 2, fewer updates",
    "large": "13×13 instead of 9×9 cells",
    "adamw": "AdamW, more updates, as all below",
    "masked": "masked tokens from all others",
    "loops": "mazes with loops",
    "short": "paths of up to 12 moves",
}


FAR = 4
"""So many groups of lengths, of eight moves each, have a column of their own."""


def _by_moves(shares: Iterable[dict[str, float]]) -> list[str]:
    """Return the share of each group of lengths, and of all longer ones together."""
    near, far = list(shares)[:FAR], list(shares)[FAR:]
    said = [f"{share['mean']:.2f}" for share in near]
    if far:
        found = sum(share["paths"] * share["mean"] for share in far)
        said.append(f"{found / sum(share['paths'] for share in far):.2f}")
    return said


def language() -> str:
    """Return what language models come to, before and after fine-tuning."""
    result = result_of("language")
    lines, by_moves = [], []
    for name, found in result["arms"].items():
        losses = found["losses"]
        walls, above = "", found.get("divergence")
        if above is not None:
            walls = f"{above['mean']:.2f}, {above['mean'] / losses['board_floor']['mean']:.1%}"
        shares = [difference(found["greedy"][share])
                  for share in ("shortest", "solved", "wrong_end", "invalid_token")]  # fmt: skip
        lines.append([OF_READING[name], str(found["seeds"]), walls, *shares,
                      difference(found["sampled"]["shortest"]),
                      " + ".join(f"{part / 60:.0f}" for part in _slowest(found))])  # fmt: skip
        by_moves.append([OF_READING[name], *_by_moves(found["by_moves"].values())])
    columns = [
        "what is learned",
        "seeds",
        "walls above the lowest loss: nats, % of it",
        "exactly shortest",
        "solved",
        "wrong end",
        "invalid token",
        "shortest, sampled",
        "minutes of a core",
    ]
    asked: dict[int, list[str]] = {}
    for name, found in result["arms"].items():
        asked.setdefault(found["seeds"], []).append(name)
    commands = "` and `python ".join(
        f"benchmarks/language.py --only {' '.join(names)} --seeds {seeds} --cores 1"
        for seeds, names in asked.items()
    )
    longest = max((found["by_moves"] for found in result["arms"].values()), key=len)
    moves = [*list(longest)[:FAR], f"{8 * FAR + 1} or more"]
    short = [row + [""] * (1 + len(moves) - len(row)) for row in by_moves]
    return (
        markdown(columns, lines, 1)
        + "\n\nExactly shortest by the moves that are needed:\n\n"
        + markdown(["what is learned", *moves], short, 1)
        + "\n\n"
        + harness.provenance(commands, result)
    )


def _slowest(found: dict[str, Any]) -> tuple[float, ...]:
    """Return the seconds of reading and of fine-tuning, of the seed that took longest."""
    return max(zip(*found["seconds"].values(), strict=True), key=sum)


def of_reading() -> str:
    found = result_of("language")["arms"]["causal"]
    above = found["divergence"]["mean"] / found["losses"]["board_floor"]["mean"]
    minutes = sum(_slowest(found)) / 60
    shortest = found["greedy"]["shortest"]["mean"]
    return (
        f"A language model predicts walls of mazes within {above:.1%} of their entropy; tuned, "
        f"in {minutes:.0f} minutes of one core, {shortest:.0%} of its paths in mazes it never read "
        "are exactly shortest ([table](configs/README.md#from-text-to-policy))."
    )


ARMS = {
    "fine-tuned": "begun as the model's policy",
    "frozen": "so, too, and only its head learns",
    "new head": "the fine-tuned trunk, without the model's words for actions",
    "permuted": "the trunk of a model of texts whose cells were permuted",
    "residual": "a convolutional network",
}


def transfer(name: str) -> str:
    """Return what reading before does for a Q-network."""
    result = result_of(name)
    lines = []
    for arm, found in result["arms"].items():
        gain = found["more_than_scratch"]
        lines.append([
            arm, f"{found['learning_rate']:g}", difference(found["curve"][-1]),
            "" if arm == "scratch" else f"{gain[0]:+.2f} [{gain[1]:.2f}, {gain[2]:.2f}]",
            *(_steps(found[share]) for share in ("steps_to_half", "steps_to_nine_tenths")),
            f"{found['seconds'] / result['seeds']:,.0f} s",
        ])  # fmt: skip
    columns = [
        "network",
        "learning rate",
        "unseen mazes solved, at the end",
        "more than from scratch, along training",
        "steps to 50 %",
        "to 90 %",
        "seconds per agent",
    ]
    probes = [
        [model, *(f"{scores['probe']:.2f} ({scores['known']:.2f})" for scores in found.values())]
        for model, found in result["probes"].items()
    ]
    gain, low, high = result["arms"]["PPO, fine-tuned"]["more_than_frozen_at_the_end"]
    better = (
        f"\n\nAt the end PPO's policy solves {gain:+.2f} [{low:.2f}, {high:.2f}] of the mazes "
        "more than the language model's that it began as (frozen)."
    )
    reading = "; ".join(f"{model} {cost['seconds']:,.0f} s, {cost['flops'] / 1e12:,.0f} TFLOP"
                        for model, cost in result["cost_of_reading"].items())  # fmt: skip
    arms = "; ".join(f"{arm}: {ARMS[arm]}" for arm in result["arms"] if arm in ARMS)
    return (
        f"{result['seeds']} paired seeds, {result['arms']['scratch']['steps'][-1]:,.0f} steps of "
        f"the environment each (PPO {result['arms']['PPO, fine-tuned']['steps'][-1]:,.0f}). "
        f"In the table, {arms}:\n\n"
        + markdown(columns, lines, 1)
        + better
        + f"\n\nWhat reading cost: {reading}. What is known after the last token, by linear probes "
        "(in brackets: without reading): the share of walls told right, of next cells and of moves "
        "that lead nearer, and of the variance of the distance. Own words: of the moves that the "
        "model itself would rather write, without a probe:\n\n"
        + markdown(["model", "walls", "next cell", "move", "own words", "distance"], probes, 1)
        + f"\n\n{harness.provenance(f'{TRANSFER} --name {name}', result)[:-1]}, "
        "arms by the step sizes that were tried for them: "
        + "; ".join(_asked(result["arms"]))
        + "."
    )


TRANSFER = (
    "benchmarks/transfer.py --pretrained runs/lm --finetuned runs/lm-finetuned --permuted "
    "runs/lm-permuted"
)


def _asked(arms: dict[str, Any]) -> list[str]:
    """Return the options by which arms are trained that tried the same learning rates."""
    by_rates: dict[str, list[str]] = {}
    for arm, found in arms.items():
        rates = " ".join(f"{float(rate):g}" for rate in found["tried"] or [found["learning_rate"]])
        by_rates.setdefault(rates, []).append(arm)
    return [f"`--arms {shlex.join(which)} --rates {rates}`" for rates, which in by_rates.items()]


def _steps(reached: list[float | None]) -> str:
    """Return the median of steps, and how many seeds have got there."""
    there = sorted(steps for steps in reached if steps is not None)
    if not there:
        return f"0 of {len(reached)} seeds"
    return f"{statistics.median(there):,.0f}, {len(there)} of {len(reached)}"
