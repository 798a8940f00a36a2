"""How S3 is spoken to: options that every verb with an archive has, and the settings that they make.

Their values are kept with the command that is run, so that verbs need not hand them on: `s3_settings()` has them.
"""

import os
from collections.abc import Callable
from typing import Any

import click

from headrace.archiver.s3_settings import S3Settings

from .config_values import value_of
from .configuration import configuration, setting_option
from .setting_table import SETTINGS

_KEPT = "headrace.s3"
_NAMES = ("sse", "sse_kms_key_id", "bucket_owner")


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    context.meta.setdefault(_KEPT, {})[option.name] = value or None


def _trust(_context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value:
        os.environ["AWS_CA_BUNDLE"] = value  # where every library that reads S3 looks, here and in workers


def s3_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about S3 to a verb; its function is not given them."""
    for name in reversed(_NAMES):
        command = setting_option(f"store.{name}", expose_value=False, callback=_keep)(command)
    return setting_option("store.ca_bundle", expose_value=False, callback=_trust)(command)


def s3_settings() -> S3Settings:
    """Return what this run was told about S3: by its flags, or where it has none, by variables and file.

    Raises ValueError for what cannot be meant.
    """
    context = click.get_current_context(silent=True)
    kept = {} if context is None else context.meta.get(_KEPT, {})
    if kept:
        return S3Settings(**kept)
    return S3Settings(**{name: value_of(SETTINGS[f"store.{name}"], configuration(), []).value for name in _NAMES})
