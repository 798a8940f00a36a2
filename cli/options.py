"""What the verbs share: options for servers and archive, and one place that turns errors into messages and exit codes.

Exit codes: 0 fine; 1 what was asked about is wrong (damage found, bad lines, a broken rule, a difference);
2 usage, or a request that cannot be met (unknown topic, a range that does not exist); 3 a server cannot be reached or
refuses us; 130 interrupted.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import click

from .configuration import setting_option, tell_aws
from .s3_options import s3_options

EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_SERVER = 3


def _with_store(context: click.Context, _option: click.Parameter, value: str) -> str:
    tell_aws(context)
    return value


kafka_option = setting_option("kafka.servers", required=True)
_url_option = setting_option("store.url", required=True, callback=_with_store)
_url_if_any = setting_option("store.url", callback=_with_store)
log_format_option = setting_option("log.format")


def archive_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --archive, handed over as `archive_url`, and how S3 is spoken to: see s3_options.py."""
    return _url_option(s3_options(command))


def optional_archive_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --archive for a verb that can do without: `archive_url` may be None."""
    return _url_if_any(s3_options(command))


def fail(message: str, code: int) -> NoReturn:
    """End the command with one message on standard error and an exit code."""
    click.ClickException(message).show()
    raise SystemExit(code)
