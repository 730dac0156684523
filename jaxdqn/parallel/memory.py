"""How much memory there is."""

import os
from pathlib import Path

import jax

SHARE = 0.8
"""Of what is free, so much is used: an estimate isn't a measurement."""


def free(device: jax.Device) -> int:
    """Return the bytes that may still be used on a device; CPU devices share what there is."""
    statistics = device.memory_stats() if device.platform != "cpu" else None
    if statistics and "bytes_limit" in statistics:
        return int(SHARE * (statistics["bytes_limit"] - statistics["bytes_in_use"]))
    return int(SHARE * _free_on_host()) // len(jax.local_devices())


def written(count: int) -> str:
    """Write a number of bytes for people."""
    unit = min(max(len(str(count)) - 1, 0) // 3, 5)
    return f"{count / 1000**unit:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[unit]}"


def _free_on_host() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    # What the page cache holds is given back on demand.
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    if available:
        return 1024 * int(available[0])
    # Where nobody says what is free, as on macOS, half of what there is.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
