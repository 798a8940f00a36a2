"""The options that say from when on something is wrong: the same for `lag`, the exporter and the page."""

import functools
from collections.abc import Callable
from typing import Any

from headrace.archiver.oncall.thresholds import Thresholds

from .configuration import configuration, setting_option
from .setting_table import SETTINGS

_KEYS = ("lag.warn_behind", "lag.critical_behind", "lag.critical_loss", "lag.max_transaction")
_FIELDS = {key: SETTINGS[key].flag[1] for key in _KEYS}


def thresholds_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets what they say as `thresholds`."""

    @functools.wraps(command)
    def with_thresholds(**given: Any) -> Any:
        said = {field: given.pop(field) for field in _FIELDS.values()}
        return command(thresholds=Thresholds(**said), **given)

    made: Callable[..., Any] = with_thresholds
    for key in reversed(_KEYS):
        made = setting_option(key)(made)
    return made


def stated_thresholds() -> Thresholds:
    """Return those of the file and the defaults, for a verb that has no options for them."""
    stated = configuration().stated
    return Thresholds(**{field: stated[key].value for key, field in _FIELDS.items() if key in stated})
