"""What the verbs of `headrace monitor` share: which rules, which types, and how an alert is written."""

from dataclasses import asdict
from pathlib import Path

import click

from headrace.monitor.rules import Rule
from headrace.monitor.rules_file import READY, RulesWrong, read_rules
from headrace.monitor.transition import Transition
from headrace.schemas.catalog import SchemaCatalog, builtin, from_folder
from headrace.schemas.errors import SchemaError
from headrace.schemas.folder import read_folder

from .options import EXIT_WRONG, fail

rules_argument = click.argument("rules_path", metavar="RULES")
prefix_option = click.option("--topic-prefix", default="", metavar="TEXT", help="What topics' names begin with.")
schemas_option = click.option(
    "--schemas", type=click.Path(exists=True, file_okay=False), help="A folder of event types of your own."
)


def rules_of(path: str, schemas: str | None, topic_prefix: str) -> list[Rule]:
    """Read the rules that a command names. Ends it with all that is wrong with them."""
    try:
        return read_rules(READY if path == "ready" else Path(path), texts_of(schemas), topic_prefix=topic_prefix)
    except RulesWrong as error:
        for line in str(error).splitlines():
            click.echo(f"WRONG {line}", err=True)
        raise SystemExit(EXIT_WRONG) from None


def texts_of(schemas: str | None) -> SchemaCatalog:
    """Return the event types of a folder, or headrace's own. Ends the command when the folder cannot be read."""
    try:
        return builtin() if schemas is None else from_folder(read_folder(Path(schemas)))
    except SchemaError as error:
        fail(str(error), EXIT_WRONG)


def transition_json(transition: Transition) -> dict[str, object]:
    """Return a transition as JSON has it."""
    return {**asdict(transition), "fingerprint": transition.fingerprint}
