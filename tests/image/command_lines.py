"""Hands the command lines of manifests to the real command line parser."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from headrace.cli.main import root


def parsed(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what `headrace WORDS` would be called with; raise click.UsageError for what it would not take."""
    verb, *arguments = words
    command = root.get_command(click.Context(root), verb)
    assert command is not None, f"there is no verb {verb}"
    context = command.make_context(verb, arguments, default_map=_defaults(command, environment))
    return context.params


def _defaults(command: click.Command, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the command takes from these environment variables, by parameter."""
    return {
        parameter.name: environment[parameter.envvar]
        for parameter in command.params
        if parameter.name and isinstance(parameter.envvar, str) and parameter.envvar in environment
    }


SUPERVISOR_MIB = 170  # docs/deploy.md has these two, and how they were measured
BARE_WORKER_MIB = 215


def memory_mib(parameters: Mapping[str, Any]) -> int:
    """Return what `headrace archive` takes at most with these parameters."""
    return int(SUPERVISOR_MIB + parameters["workers"] * (BARE_WORKER_MIB + parameters["memory_mib"]))
