"""How many programs tests ask for: compilations are the currency of the gate."""

from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import partial

import jax
import pytest

_SPENT = Counter()
_BEFORE = pytest.StashKey[Counter]()


def _on_duration(event: str, seconds: float, **_) -> None:
    if event.endswith("/backend_compile_duration"):
        _SPENT["asked"] += 1
        _SPENT["seconds"] += seconds


def _on_event(event: str, **_) -> None:
    if event.endswith("/cache_hits"):
        _SPENT["kept"] += 1


jax.monitoring.register_event_duration_secs_listener(_on_duration)
jax.monitoring.register_event_listener(_on_event)


@contextmanager
def compiles_at_most(count):
    """Check that no more programs are asked for that this process doesn't have."""
    before = _SPENT["asked"]
    yield
    asked = _SPENT["asked"] - before
    assert asked <= count, f"{asked} programs were compiled"


compiles_nothing = partial(compiles_at_most, 0)


def pytest_addoption(parser):
    parser.addoption("--compilations", action="store_true", help="print what was compiled")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.stash[_BEFORE] = _SPENT.copy()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    if call.when == "teardown":
        item.user_properties.append(("compiled", dict(_SPENT - item.stash[_BEFORE])))
    return (yield)


def pytest_terminal_summary(terminalreporter, config):
    """Print, by test file: seconds, programs asked for, found in the cache, seconds for both."""
    if not config.getoption("--compilations"):
        return
    files = defaultdict(Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not hasattr(report, "when"):
                continue
            file = report.nodeid.partition("::")[0]
            files[file]["all"] += report.duration
            if report.when == "teardown":
                files[file].update(dict(report.user_properties).get("compiled", {}))
    terminalreporter.section("compilations")
    for file, row in sorted(files.items(), key=lambda pair: -pair[1]["all"]):
        terminalreporter.write_line(
            f"{row['all']:7.1f} s  {row['asked']:5.0f} programs, {row['kept']:5.0f} kept, "
            f"{row['seconds']:6.1f} s  {file}"
        )
    total = sum(files.values(), Counter())
    terminalreporter.write_line(
        f"{total['all']:7.1f} s  {total['asked']:5.0f} programs, {total['kept']:5.0f} kept, "
        f"{total['seconds']:6.1f} s  all"
    )
