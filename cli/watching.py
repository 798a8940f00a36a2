"""The options of the verbs that look again and again, and serve what they see: the exporter and the page."""

from collections.abc import Callable
from typing import Any

from .configuration import Decorator, setting_option
from .kafka_settings import kafka_config_option
from .lag_thresholds import thresholds_options
from .options import archive_option, kafka_option, log_format_option
from .serving import allow_host_option, listen_option


def watching_options(verb: str) -> Decorator:
    """Return the options of a verb that looks each so many seconds, and serves what it sees at an address."""
    options = (
        kafka_option,
        kafka_config_option,
        archive_option,
        listen_option(f"{verb}.listen"),
        allow_host_option,
        setting_option("lag.topics"),
        setting_option("archive.group"),
        setting_option(f"{verb}.every"),
        thresholds_options,
        log_format_option,
    )

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options
