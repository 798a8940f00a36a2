"""docs/configuration.md and the code have the same settings: the table of the page is the table of the code."""

import re
from collections.abc import Iterator

import click

from headrace.cli.configuration import SettingOption
from headrace.cli.main import VERBS, root
from headrace.cli.setting_table import TABLE
from headrace.producer.setting import Setting
from house.tree import ROOT

PAGE = ROOT / "docs" / "configuration.md"
HEADINGS = ("setting", "what it is", "default", "variable", "flag")


def commands(command: click.Command, context: click.Context, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each verb with its name."""
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, context, f"{name} {below}".strip())
    else:
        yield name, command


def options() -> list[tuple[str, click.Option]]:
    """Return the options of all verbs."""
    context = click.Context(root)
    return [
        (verb, option)
        for verb, command in commands(root, context)
        for option in command.params
        if isinstance(option, click.Option)
    ]


def row(setting: Setting) -> str:
    """Return a setting's line of the page."""
    default = setting.unset or ("" if setting.default is None else setting.kind.text(setting.default))
    variables = " or ".join(f"`{each}`" for each in (setting.variable, *setting.others))
    about = f"{setting.about.rstrip('.')} ({setting.kind.says})".replace("|", "\\|")
    flags = ", ".join(f"`{each}`" for each in setting.flags)
    cells = (f"`{setting.name}`", about, f"{default}", variables, flags)
    return f"| {' | '.join(cells)} |"


def expected() -> list[str]:
    """Return the page's tables: a heading for each section, then its rows."""
    lines: list[str] = []
    for section in dict.fromkeys(each.section for each in TABLE):
        lines += [f"### [{section}]", "| " + " | ".join(HEADINGS) + " |"]
        lines += [row(each) for each in TABLE if each.section == section]
    return lines


def test_the_page_has_the_table_of_the_code() -> None:
    """Each setting's line on the page is the one made from the code: name, meaning, default, variable, flag."""
    found = re.findall(r"^(?:### \[.*|\| (?:`|setting ).*)$", PAGE.read_text(), re.MULTILINE)
    assert found == expected()


def test_every_variable_of_an_option_is_in_the_table() -> None:
    """No option reads a variable by another way than its row, but for the JSON object of Kafka's settings."""
    others = {(verb, each.name) for verb, each in options() if each.envvar and not isinstance(each, SettingOption)}
    assert {name for _, name in others} == {"kafka_config"}


def test_every_flag_of_the_table_is_an_option() -> None:
    """A row that names a flag is taken by a verb, under that flag; and every verb takes --config."""
    taken = {each.setting.key for _, each in options() if isinstance(each, SettingOption)}
    assert {each.key for each in TABLE if each.flags} - taken == set()
    assert {verb for verb, each in options() if "--config" in each.opts} == {verb for verb, _ in options()}
    assert {verb.split()[0] for verb, _ in options()} == set(VERBS)


def test_defaults_are_what_they_must_be() -> None:
    """Each default passes the check that the file's values go through, also as a variable's text."""
    for each in TABLE:
        if each.default is not None:
            assert each.kind.checked(each.default) == each.default
            assert each.kind.parsed(each.kind.text(each.default)) == each.default
