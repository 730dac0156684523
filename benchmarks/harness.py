"""Honest timing: trace, compile and run apart, everything blocked on, the machine named."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def machine() -> dict[str, Any]:
    """Name the machine, the versions, the commit and the day."""
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "device": f"{len(jax.devices())} × {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "commit": commit or None,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def save(name: str, result: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a result with the machine beside it; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps({"machine": machine(), **result}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def provenance(script: str) -> str:
    """Return the sentence that says where and when figures were measured, and how to redo them."""
    here = machine()
    return (
        f"Measured on {here['date']}: {here['cores']} cores of an {here['processor']}, "
        f"JAX {here['jax']}, Python {here['python']}. Regenerate with `python {script}`."
    )


def replace_in_readme(name: str, text: str) -> None:
    """Put a text between the README's markers of that name."""
    readme = ROOT / "README.md"
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
