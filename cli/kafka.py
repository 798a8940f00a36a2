"""`headrace kafka`: what Kafka has to allow, as commands for whoever looks after it."""

import shlex
from typing import cast

import click

from headrace.archiver.kafka_acls import ROLES, Role, commands_for, grants_of

from .configuration import setting_option
from .options import EXIT_USAGE, fail


@click.group(name="kafka")
def command() -> None:
    """Rights in Kafka: what each role needs."""


@command.command(name="acls")
@click.option(
    "--role", required=True, type=click.Choice(ROLES), help="Who: producer, archiver, replay (its target), lag."
)
@click.option("--topic", "topics", multiple=True, required=True, metavar="T", help="A topic. Repeat for several.")
@click.option(
    "--user", metavar="NAME", help="The principal, such as User:archiver or User:CN=archiver.  [default: User:ROLE]"
)
@setting_option("archive.group")
@click.option("--kafka", default="KAFKA:9092", show_default=True, metavar="HOST:PORT", help="For the printed commands.")
def acls(role: str, topics: tuple[str, ...], user: str | None, group: str, kafka: str) -> None:
    """Print the kafka-acls.sh commands that give a role the least it needs. Asks no server, changes nothing.

    Whoever runs them adds --command-config with an administrator's settings. For topics that begin alike, give one
    grant by hand with --resource-pattern-type prefixed.

    \b
    headrace kafka acls --role archiver --topic pin --topic follow
    """
    principal = user or f"User:{role}"
    if ":" not in principal:
        fail(f"--user {principal}: a principal has a kind, such as User:{principal}", EXIT_USAGE)
    for words in commands_for(grants_of(cast("Role", role), topics, group), principal, kafka):
        click.echo(shlex.join(words))
