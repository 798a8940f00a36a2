"""The options that say from when on something is wrong: the same for `lag`, the exporter and the page."""

from collections.abc import Callable
from typing import Any

import click

from headrace.archiver.oncall.rules import Thresholds

_DEFAULT = Thresholds()
_OPTIONS = (
    ("--warn-behind", _DEFAULT.behind_warning_s, "Seconds."),
    ("--critical-behind", _DEFAULT.behind_critical_s, "Seconds."),
    (
        "--critical-loss",
        _DEFAULT.loss_critical_s,
        "Seconds: unarchived records that Kafka deletes sooner are critical.",
    ),
    ("--max-transaction", _DEFAULT.transaction_s, "Seconds: a transaction may stay open for so long."),
)


def thresholds_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for name, default, text in reversed(_OPTIONS):
        command = click.option(name, type=float, default=default, show_default=True, metavar="S", help=text)(command)
    return command


def thresholds_of(
    warn_behind: float, critical_behind: float, critical_loss: float, max_transaction: float
) -> Thresholds:
    """Return what the options say."""
    return Thresholds(
        behind_warning_s=warn_behind,
        behind_critical_s=critical_behind,
        loss_critical_s=critical_loss,
        transaction_s=max_transaction,
    )
