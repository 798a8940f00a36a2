"""`headrace local`: start, stop and describe a real Kafka and a real S3 server on this machine, without Docker."""

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TypeVar

import click
from rich.console import Console
from rich.markup import escape

from headrace.local import Instance, LocalError, default_folder
from headrace.local.localstack import KINDS

from .configuration import setting_option
from .terminal import unguarded

T = TypeVar("T")

# As init scripts do: 3 is "not running".
_NOT_RUNNING = 3
_WATCH_S = 0.5

_FOLDER = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds the instance (data, logs, pid files). One folder, one instance; several run side by side. "
    "Default: $XDG_STATE_HOME/headrace/local, which is ~/.local/state/headrace/local for most.",
)


@click.group("local")
def command() -> None:
    """Run real Kafka and real S3 on this machine, without Docker.

    Apache Kafka runs on a Java that comes with headrace; the S3 server is SeaweedFS. Both listen on 127.0.0.1 only, on
    free ports. Kafka's files (43 MB) are fetched from Maven Central once and then kept in ~/.cache/headrace.

    \b
    Examples:
      headrace local up --detach             start both, return when they answer
      eval "$(headrace local env)"           point headrace, boto3 and others at them
      headrace local status                  are they running, and where
      headrace local down                    stop both; data stays for the next `up`
      headrace local down --purge            stop both and remove all data
      headrace local up --dir /tmp/second    another pair beside the first
    """


@command.command()
@click.option("--detach", is_flag=True, help="Return once both answer, and leave them running.")
@_FOLDER
@setting_option("local.kafka_home", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--java-home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Use this Java (17 or newer) instead of the one that comes with headrace.",
)
@setting_option("local.maven_url")
@click.option(
    "--s3",
    "s3_kind",
    type=click.Choice(KINDS),
    help="The S3 server of a new instance: SeaweedFS by default; LocalStack is installed at first (535 MB) and keeps "
    "nothing over its own end.",
)
def up(
    folder: Path | None,
    kafka_home: Path | None,
    java_home: Path | None,
    maven_url: str | None,
    s3_kind: str | None,
    *,
    detach: bool,
) -> None:
    """Start both servers, or finish what a killed `up` began.

    Without --detach it stays in the foreground; Ctrl-C stops both servers. If a server ends by itself, it says which
    and why, stops the other, and exits with 1. When both run already, it says so and exits with 0.

    \b
    Examples:
      headrace local up
      headrace local up --detach && eval "$(headrace local env)"
      headrace local up --s3 localstack --dir /tmp/second
      KAFKA_HOME=~/kafka_2.13-4.1.1 headrace local up --detach
    """
    instance = _instance(folder, kafka_home=kafka_home, java_home=java_home, maven_url=maven_url, s3_kind=s3_kind)
    stop = threading.Event()
    starting = True

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        if starting:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        with _progress() as progress:
            fresh = instance.up(progress)
    except LocalError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; what had been started was stopped again") from None
    starting = False
    click.echo("" if fresh else "already running")
    _describe(instance, folder, detach=detach or not fresh)
    if stop.is_set() or (fresh and not detach):  # a signal may have come in the start's last moment
        _watch(instance, stop)


@command.command()
@_FOLDER
@click.option("--purge", is_flag=True, help="Remove the data, logs and settings too.")
def down(folder: Path | None, *, purge: bool) -> None:
    """Stop both servers. Data stays for the next `up`, unless --purge.

    \b
    Examples:
      headrace local down
      headrace local down --purge --dir /tmp/second
    """
    instance = _instance(folder)
    running = _or_exit(lambda: instance.down(purge=purge))
    removed = " (removed)" if purge and not instance.folder.exists() else ""
    click.echo(f"{'stopped' if running else 'nothing was running'}: {instance.folder}{removed}")


@command.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(folder: Path | None, *, as_json: bool) -> None:
    """Say whether both servers run and answer. Exit code 0: both do. 3: not, or not both.

    \b
    Examples:
      headrace local status
      headrace local status --json | jq -r '.servers[].address'
    """
    instance = _instance(folder)
    found = _or_exit(instance.status)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    elif not found.servers:
        click.echo(f"not running: no instance in {found.folder}. Start one with: headrace local up --detach")
    else:
        for each in found.servers:
            how = "not running" if each.pid is None else f"{'answers' if each.answers else 'NO ANSWER'}, pid {each.pid}"
            click.echo(f"{each.name:6} {each.address:28} {how}")
        click.echo(f"folder {found.folder}")
    if not found.running:
        sys.exit(_NOT_RUNNING)


@command.command()
@_FOLDER
def env(folder: Path | None) -> None:
    """Print the variables that point headrace and S3 programs at the servers, one `export` a line.

    \b
    Example:
      eval "$(headrace local env)"
    """
    instance = _instance(folder)
    found = _or_exit(instance.status)
    if not found.running:
        where = "" if folder is None else f" --dir {shlex.quote(str(folder))}"
        missing = ", ".join(each.name for each in found.servers if not each.answers) or "both servers"
        click.echo(f"Error: not running: {missing}. Start with: headrace local up --detach{where}", err=True)
        sys.exit(_NOT_RUNNING)
    for name, value in instance.env().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _instance(
    folder: Path | None,
    *,
    kafka_home: Path | None = None,
    java_home: Path | None = None,
    maven_url: str | None = None,
    s3_kind: str | None = None,
) -> Instance:
    where = folder or default_folder(os.environ)
    return Instance(
        where, env=os.environ, kafka_home=kafka_home, java_home=java_home, maven_url=maven_url, s3_kind=s3_kind
    )


def _or_exit(work: Callable[[], T]) -> T:
    try:
        return work()
    except LocalError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Yield what prints a line with the seconds so far to stderr; on a terminal a spinner shows that it goes on."""
    began = time.monotonic()
    console = Console(file=unguarded(sys.stderr), highlight=False)
    with console.status("working") if console.is_terminal else nullcontext():

        def show(line: str) -> None:
            console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {escape(line)}", soft_wrap=True)

        yield show


def _describe(instance: Instance, folder: Path | None, *, detach: bool) -> None:
    where = "" if folder is None else f" --dir {shlex.quote(str(folder))}"
    addresses = instance.env()
    click.echo(f"Kafka    {addresses['HEADRACE_KAFKA']}")
    click.echo(f"S3       {addresses['AWS_ENDPOINT_URL_S3']}    archive: {addresses['HEADRACE_ARCHIVE']}")
    click.echo(f"folder   {instance.folder}    (logs in logs/)")
    click.echo("")
    click.echo("next" if detach else "next, in another terminal")
    steps = [
        (f'eval "$(headrace local env{where})"', "point headrace and S3 programs at these servers"),
        ("headrace produce --help", "log your first events"),
    ]
    if detach:
        steps.append((f"headrace local down{where}", "stop both; data stays"))
    width = max(len(command) for command, _ in steps)
    for command, purpose in steps:
        click.echo(f"  {command:{width}}   {purpose}")
    if not detach:
        click.echo("Ctrl-C here stops both; data stays")


def _watch(instance: Instance, stop: threading.Event) -> None:
    """Stay until told to stop, until `down` stops the servers from elsewhere, or until one of them dies."""
    while not stop.wait(_WATCH_S):
        if instance.stopped():
            click.echo("stopped from elsewhere")
            return
        dead = instance.dead()
        if dead:
            why = "\n".join(f"{each.name} ended by itself. The end of its log:\n{each.why_dead()}" for each in dead)
            instance.down()
            raise click.ClickException(
                f"{why}\nThe other server was stopped. Data stays; `headrace local up` tries again."
            )
    click.echo("stopping")
    instance.down()
    click.echo("stopped; data stays for the next `headrace local up`")
