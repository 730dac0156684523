"""What the READMEs show of the results, made of them and of nothing else.

    python benchmarks/tables.py

Only rewrites text: what the tables show was measured by the scripts that they name.
"""

import argparse

import harness
from shown import agents, gpu, highlights, language, speed

TABLES = {
    "results": agents.results,
    "highlights": highlights.highlights,
    "configurations": lambda: agents.configurations("readme", agents.MEASURES),
    "family": lambda: agents.configurations("family", agents.OF_FAMILY),
    "zoo": agents.zoo,
    "bars": agents.bars,
    "memory": agents.memory,
    "residual_13": agents.residual_13,
    "larger_mazes": agents.larger_mazes,
    "gpu": agents.gpu,
    "compare": agents.compare,
    "methods": agents.methods,
    "search": agents.search,
    "language": language.language,
    "transfer": lambda: language.transfer("transfer"),
    "transfer_muon": lambda: language.transfer("transfer_muon"),
    "overestimation": agents.overestimation,
    "compare_designs_cpu": lambda: speed.design("compare_designs_cpu"),
    "compare_designs_one_core": speed.one_core,
    "compare_designs_rainbow_cpu": lambda: speed.rainbow_design("cpu"),
    "compare_designs_rainbow_one_core": lambda: speed.rainbow_design("one_core"),
    "prices": speed.prices,
    "rainbow": agents.rainbow,
    "rainbow_noise": agents.rainbow_noise,
    "machines": speed.machines,
    "compare_designs_gpu": lambda: speed.design("compare_designs_gpu"),
    "compare_designs_wide_gpu": lambda: speed.design("compare_designs_wide_gpu"),
    "laws_plain_gpu": lambda: gpu.laws("laws_plain_gpu"),
    "laws_gpu": lambda: gpu.laws("laws_gpu"),
    "profile_gpu": lambda: gpu.profile("profile_gpu"),
    "job_gpu": lambda: gpu.main_job("job_gpu"),
    "peers": speed.peers,
    "peers_iqn": speed.peers_iqn,
    "rollouts": speed.rollouts,
    "minatar": speed.minatar,
    "throughput": speed.throughput,
    "sweeps": speed.sweeps,
    "environments": speed.environments,
    "autoreset": speed.autoreset,
    "replay": speed.replay,
    "compile": speed.start,
}
"""What stands between the markers ``<!-- name -->`` and ``<!-- end of name -->``."""


def main() -> None:
    """Replace every table in every README that has its markers."""
    shown = "".join(path.read_text(encoding="utf-8") for path in harness.READMES)
    for name, table in TABLES.items():
        if f"<!-- {name} -->" not in shown:
            continue
        for path in harness.replace_in_readme(name, table()):
            print(f"{path.relative_to(harness.ROOT)}: {name}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
