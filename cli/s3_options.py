"""How S3 is spoken to: options that every verb with an archive has, and the settings that they make.

Their values are kept with the command that is run, so that verbs need not hand them on: `s3_settings()` has them.
"""

from collections.abc import Callable
from typing import Any

import click

from headrace.archiver.s3_settings import SSE_KINDS, S3Settings

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_KEPT = "headrace.s3"


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    context.meta.setdefault(_KEPT, {})[option.name] = value or None


def s3_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about S3 to a verb; its function is not given them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def s3_settings() -> S3Settings:
    """Return what the running command was told about S3. Raises ValueError for what cannot be meant."""
    context = click.get_current_context(silent=True)
    return S3Settings(**(context.meta.get(_KEPT, {}) if context is not None else {}))


_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--sse",
        type=click.Choice(SSE_KINDS),
        envvar="HEADRACE_S3_SSE",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help="Encrypt each object that is written: AES256 is S3's own key, aws:kms a key of KMS. By default as the "
        "bucket does.",
    ),
    click.option(
        "--sse-kms-key-id",
        metavar="KEY",
        envvar="HEADRACE_S3_SSE_KMS_KEY_ID",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help="The key of KMS: id, ARN or alias. By default the account's own.",
    ),
    click.option(
        "--bucket-owner",
        metavar="ACCOUNT",
        envvar="HEADRACE_S3_BUCKET_OWNER",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help="The AWS account that the bucket must belong to; S3 refuses every request otherwise.",
    ),
    click.option(
        "--ca-bundle",
        metavar="FILE",
        envvar="HEADRACE_S3_CA_BUNDLE",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help="PEM file of the certificates to trust for S3; AWS_CA_BUNDLE does the same.",
    ),
)
