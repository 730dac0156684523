"""How much memory this machine still has for this process."""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import resource

UNKNOWN = 4 * 10**9
"""Bytes that are taken to be free where no one says what is."""


def free() -> int:
    """Return the bytes that this process may still take, the least of what is known.

    That is what the machine has free, what each control group around the process leaves (of a
    container, of a job of Slurm or Kubernetes), and its own limit of addresses (``ulimit -v``).
    """
    groups = _read(Path("/proc/self/cgroup"))
    known = [_of_machine(), *of_groups(groups, Path("/sys/fs/cgroup")), _of_addresses()]
    return max(min([bytes_ for bytes_ in known if bytes_ is not None], default=UNKNOWN), 0)


def of_groups(said: str, mount: Path) -> Iterator[int]:
    """Yield what control groups with a limit leave.

    Args:
        said: ``/proc/self/cgroup``, a line ``number:controllers:path`` for each hierarchy.
        mount: where the hierarchies are seen.
    """
    for line in said.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            top = mount
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            top = mount / "memory"
        else:
            continue
        # A container sees its own group at the top, whatever its path is called outside.
        here = top / path.lstrip("/")
        for group in [here, *here.parents]:
            if group.is_relative_to(top):
                left = _left(group, *names)
                if left is not None:
                    yield left


def _left(group: Path, limit: str, usage: str, cache: str) -> int | None:
    """Return what a group leaves; its page cache is given back on demand."""
    most, used = _read(group / limit).strip(), _read(group / usage).strip()
    if not (most.isdecimal() and used.isdecimal()):  # "max": no limit
        return None
    held = [line.split() for line in _read(group / "memory.stat").splitlines()]
    given_back = sum(int(words[1]) for words in held if words[0] == cache)
    return int(most) - int(used) + given_back


def _of_machine() -> int | None:
    available = [
        line.split()[1]
        for line in _read(Path("/proc/meminfo")).splitlines()
        if line.startswith("MemAvailable")  # what the page cache holds is given back on demand
    ]
    if available:
        return 1024 * int(available[0])
    if hasattr(os, "sysconf"):
        # Where nobody says what is free, as on macOS, half of what there is.
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE")) // 2
    return _of_windows()


class _Status(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("total", "available", "total_page",
          "available_page", "total_virtual", "available_virtual", "available_extended")),
    )  # fmt: skip


def _of_windows() -> int | None:
    if sys.platform != "win32":
        return None
    status = _Status(length=ctypes.sizeof(_Status))
    told = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.available) if told else None


def _of_addresses() -> int | None:
    if sys.platform != "win32":
        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            pages = _read(Path("/proc/self/statm")).split()
            return most - (int(pages[0]) * resource.getpagesize() if pages else 0)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
