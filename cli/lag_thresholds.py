"""The options that say from when on something is wrong: the same for `lag`, the exporter and the page."""

import functools
from collections.abc import Callable
from typing import Any

import click

from headrace.archiver.oncall.thresholds import Thresholds

_DEFAULT = Thresholds()
_OPTIONS = (
    ("--warn-behind", "behind_warning_s", "Seconds."),
    ("--critical-behind", "behind_critical_s", "Seconds."),
    ("--critical-loss", "loss_critical_s", "Seconds: unarchived records that Kafka deletes sooner are critical."),
    ("--max-transaction", "transaction_s", "Seconds: a transaction may stay open for so long."),
)


def thresholds_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets what they say as `thresholds`."""

    @functools.wraps(command)
    def with_thresholds(**given: Any) -> Any:
        said = {field: given.pop(field) for _, field, _ in _OPTIONS}
        return command(thresholds=Thresholds(**said), **given)

    made: Callable[..., Any] = with_thresholds
    for name, field, text in reversed(_OPTIONS):
        default = getattr(_DEFAULT, field)
        made = click.option(name, field, type=float, default=default, show_default=True, metavar="S", help=text)(made)
    return made
