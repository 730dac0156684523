"""How much memory there is."""

import jax

from jaxdqn.parallel import host

SHARE = 0.8
"""Of what is free, so much is used: an estimate isn't a measurement."""


def free(device: jax.Device) -> int:
    """Return the bytes that may still be used on a device; CPU devices share what there is."""
    statistics = device.memory_stats() if device.platform != "cpu" else None
    if statistics and "bytes_limit" in statistics:
        return int(SHARE * (statistics["bytes_limit"] - statistics["bytes_in_use"]))
    return int(SHARE * host.free()) // len(jax.local_devices())


def written(count: int) -> str:
    """Write a number of bytes for people."""
    count = int(float(f"{count:.3g}"))  # 999,999 are 1 MB
    unit = min((len(str(count)) - 1) // 3, 5)
    return f"{count / 1000**unit:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[unit]}"
