"""`headrace config`: every setting with where it comes from; whether they can be used, and what they lead to."""

import json
from collections.abc import Iterator

import click

from headrace.producer.settings_file import SettingsFile

from .config_connect import Verdict, verdicts
from .config_values import VerbLine, check_values, values
from .configuration import chosen_file, configuration
from .options import EXIT_SERVER, EXIT_WRONG
from .tables import table

CONFIG_VERSION = 1


@click.group(name="config")
def command() -> None:
    """Settings: flags over the environment over headrace.toml over defaults.

    docs/configuration.md lists them.
    """


@command.command(name="show", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
@click.option("--set", "only_set", is_flag=True, help="Only what is not at its default.")
@click.argument("line", nargs=-1, type=click.UNPROCESSED, metavar="[VERB [ITS FLAGS]...]")
@click.pass_context
def show(context: click.Context, as_json: bool, only_set: bool, line: tuple[str, ...]) -> None:
    """Show each setting, its value and where it comes from; those of one VERB as it would be run, where one is named.

    A secret is shown as (secret), and is not read.

    \b
    headrace config show --set
    headrace config show archive --workers 2
    headrace config show --json | jq '.settings[] | select(.kind == "file")'
    """
    found = configuration()
    problems: list[str] = []
    verb = None
    if line:
        root = context.find_root()
        if not isinstance(root.command, click.Group):
            raise TypeError("config show runs below the command line's root")
        verb = VerbLine(root.command, line, root)
    shown = [each for each in values(found, problems, verb) if not only_set or each.kind != "default"]
    if as_json:
        path = None if found.path is None else str(found.path)
        settings = [each.as_json() for each in shown]
        click.echo(json.dumps({"version": CONFIG_VERSION, "file": path, "settings": settings}, indent=2))
    else:
        click.echo(_file_line(found), err=True)
        rows = [("setting", "value", "source"), *((each.key, each.text(), each.source) for each in shown)]
        for text in table(rows, right=()):
            click.echo(text)
    for problem in problems:
        click.echo(f"WRONG {problem}", err=True)
    if problems:
        raise SystemExit(EXIT_WRONG)


def _file_line(found: SettingsFile) -> str:
    return "no settings file: no headrace.toml here or in /etc/headrace" if found.path is None else f"file {found.path}"


@command.command(name="check")
@click.option("--connect", is_flag=True, help="Also ask Kafka and the store, as far as they are set.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def check(connect: bool, as_json: bool) -> None:
    """Check the file and the environment: unknown names, wrong values, secrets that cannot be read.

    All that is wrong is told at once. With --connect it asks Kafka for its topics and the store for a listing, and says
    of each whether it lets us in, and if not why. Nothing is written anywhere.

    Exit codes: 0 all is fine; 1 a setting is wrong; 3 Kafka or the store cannot be reached or refuses us.
    """
    problems: list[str] = []
    notes: list[str] = []
    asked: list[Verdict] = []
    found = SettingsFile(chosen_file())
    try:
        found = configuration()
        problems, notes = check_values(found)
    except click.UsageError as error:
        problems = error.message.splitlines()
    if connect and not problems:
        asked = list(verdicts(found))
    if as_json:
        value = {
            "version": CONFIG_VERSION,
            "file": None if found.path is None else str(found.path),
            "wrong": problems,
            "notes": notes,
            "servers": [each._asdict() for each in asked],
        }
        click.echo(json.dumps(value, indent=2))
    else:
        for text in _told(found, problems, notes, asked):
            click.echo(text)
    if problems:
        raise SystemExit(EXIT_WRONG)
    if not all(each.ok for each in asked):
        raise SystemExit(EXIT_SERVER)


def _told(found: SettingsFile, problems: list[str], notes: list[str], asked: list[Verdict]) -> Iterator[str]:
    yield _file_line(found)
    for problem in problems:
        yield f"WRONG {problem}"
    for note in notes:
        yield f"note: {note}"
    for each in asked:
        yield f"{'fine ' if each.ok else 'WRONG'} {each.server} {each.where}: {each.said}"
    if problems:
        yield f"{len(problems)} settings are wrong"
    elif not all(each.ok for each in asked):
        yield "the settings can be read, and do not lead where they should"
    else:
        yield "fine: all settings can be used" + ("" if asked else "; --connect also asks Kafka and the store")
