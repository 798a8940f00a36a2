"""The options of the verbs that look again and again, and serve what they see: the exporter and the page."""

from collections.abc import Callable
from typing import Any

import click

from headrace.archiver.default_names import DEFAULT_GROUP

from .kafka_settings import kafka_config_option
from .lag_thresholds import thresholds_options
from .options import archive_option, kafka_option, log_format_option
from .serving import address_option, allow_host_option


def watching_options(served: str, listen: str, every_s: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the options of a verb that looks each so many seconds, and serves what it sees at an address."""
    options = (
        kafka_option,
        kafka_config_option,
        archive_option,
        address_option("--listen", f"Where {served} is served.", listen),
        allow_host_option,
        click.option("--topic", "topics", multiple=True, metavar="T", help="Only this topic. Repeat for several."),
        click.option("--group", default=DEFAULT_GROUP, show_default=True, help="The archiver's consumer group."),
        click.option(
            "--every",
            type=click.FloatRange(1),
            default=every_s,
            show_default=True,
            metavar="S",
            help="Look so often: seconds.",
        ),
        thresholds_options,
        log_format_option,
    )

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options
