"""What the verbs share: options for servers and archive, and one place that turns errors into messages and exit codes.

Exit codes: 0 fine; 1 what was asked about is wrong (damage found, bad lines, a broken rule, a difference);
2 usage, or a request that cannot be met (unknown topic, a range that does not exist); 3 a server cannot be reached or
refuses us; 130 interrupted.
"""

from typing import NoReturn

import click

from .configuration import setting_option, tell_aws

EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_SERVER = 3


def _with_store(context: click.Context, _option: click.Parameter, value: str) -> str:
    tell_aws(context)
    return value


kafka_option = setting_option("kafka.servers", required=True)
archive_option = setting_option("store.url", required=True, callback=_with_store)
log_format_option = setting_option("log.format")


def fail(message: str, code: int) -> NoReturn:
    """End the command with one message on standard error and an exit code."""
    click.ClickException(message).show()
    raise SystemExit(code)
