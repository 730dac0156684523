"""Checksums of a run folder's files, which its summary holds, so that damage is noticed."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdqn.errors import ConfigError, typed

SUMMARY = "summary.json"
_KEY = "crc32"


def said(contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what a summary says of files, by name."""
    return {_KEY: {name: f"{zlib.crc32(content):08x}" for name, content in contents.items()}}


def read(path: Path) -> bytes:
    """Return a file of a run folder; where the summary has its checksum, compared with that.

    Raises:
        ConfigError: it is another.
        OSError: there is no such file.
        ValueError: the summary is damaged.
    """
    content, summary = path.read_bytes(), path.with_name(SUMMARY)
    sums = json.loads(summary.read_text(encoding="utf-8")).get(_KEY) if summary.exists() else None
    if sums and sums.get(path.name, "") not in ("", said({path.name: content})[_KEY][path.name]):
        raise ConfigError(
            f"'{path}' is damaged, or {SUMMARY} is of another training: use another copy, or write "
            f"both again by jaxdqn resume {typed(path.parent)}."
        )
    return content
