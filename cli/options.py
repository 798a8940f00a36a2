"""What the verbs share: options for servers and archive, and one place that turns errors into messages and exit codes.

Exit codes: 0 fine; 1 what was asked about is wrong (damage found, bad lines, a broken rule, a difference);
2 usage, or a request that cannot be met (unknown topic, a range that does not exist); 3 a server cannot be reached or
refuses us; 130 interrupted.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import click

from .s3_options import s3_options

EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_SERVER = 3

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

kafka_option: Decorator = click.option(
    "--kafka",
    envvar="HEADRACE_KAFKA",
    metavar="HOST:PORT[,...]",
    required=True,
    show_envvar=True,
    help="Kafka's bootstrap servers.",
)
_archive_url_option: Decorator = click.option(
    "--archive",
    "archive_url",
    envvar="HEADRACE_ARCHIVE",
    metavar="s3://BUCKET/PREFIX",
    required=True,
    show_envvar=True,
    help="Where the archive lies. Credentials and endpoint come from the usual AWS_... variables.",
)


def archive_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --archive, handed over as `archive_url`, and how S3 is spoken to: see s3_options.py."""
    return _archive_url_option(s3_options(command))


log_format_option: Decorator = click.option(
    "--log-format",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    envvar="HEADRACE_LOG_FORMAT",
    show_envvar=True,
    help="How it logs on standard error: json is an object a line.",
)


def fail(message: str, code: int) -> NoReturn:
    """End the command with one message on standard error and an exit code."""
    click.ClickException(message).show()
    raise SystemExit(code)
