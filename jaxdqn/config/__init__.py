"""Every setting of a run: what it is, what it may be, and how it is read and written."""

from jaxdqn.config.check import check, check_kind, check_single, chosen_length
from jaxdqn.config.config import Config
from jaxdqn.config.schedule import notes, scaled
from jaxdqn.config.shapes import reading_nothing, shaping
from jaxdqn.config.toml import from_toml, load_config, sweep_table, to_toml
from jaxdqn.settings import Schedule

__all__ = [
    "Config",
    "Schedule",
    "check",
    "check_kind",
    "check_single",
    "chosen_length",
    "from_toml",
    "load_config",
    "notes",
    "reading_nothing",
    "scaled",
    "shaping",
    "sweep_table",
    "to_toml",
]
