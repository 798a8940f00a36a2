"""`headrace log`: a topic's commits, one a line."""

import json
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, ClassVar

import click

from headrace.archiver.commit_log import read_entries, read_state
from headrace.archiver.fold_file import fold_key
from headrace.archiver.folds import make_folds
from headrace.archiver.log_entries import Entry, Span, log_key, sha256_of
from headrace.archiver.object_store import ObjectStore
from headrace.replay.loading import object_url
from headrace.replay.reader import unknown_topic

from .log_moved import moved_command
from .options import archive_option
from .progress import RecordProgress
from .servers import open_store, reported_errors
from .tables import table

LOG_VERSION = 1
SPANS_SHOWN = 3


OWN_OPTIONS = ("--tail", "--fold", "--json", "--archive")


class _WithMoved(click.Command):
    """`headrace log moved TOPIC ...` is a verb of its own; a topic that is called `moved` is shown all the same."""

    also: ClassVar[dict[str, click.Command]] = {"moved": moved_command}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand `moved TOPIC` on to its own command."""
        if args and args[0] in self.also and len(args) > 1 and not args[1].startswith(OWN_OPTIONS):
            return self.also[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(name="log", cls=_WithMoved)
@click.argument("topic")
@archive_option
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the newest N entries.")
@click.option("--fold", is_flag=True, help="Make the folds that are missing or damaged, and show what was done.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, with the entries as they are.')
def command(topic: str, archive_url: str, tail: int | None, fold: bool, as_json: bool) -> None:
    """Show a topic's commits: what each covers, and what it added.

    The chain of hashes and the log's rules are checked on the way. Keep the last line's hash: `headrace verify TOPIC
    --head SEQ:HASH` then proves that nothing before it was changed.

    `headrace log moved TOPIC` records that the topic goes on in another Kafka cluster: see `headrace log moved --help`.

    \b
    headrace log pin --tail 20
    headrace log pin --json | jq '.entries[].spans'
    headrace log pin --fold
    """
    with reported_errors():
        store = open_store(archive_url)
        if fold:
            _fold(store, topic)
            return
        # The newest ones of a long log are read from a fold on.
        begin = 0 if tail is None else max(0, read_state(store, topic).seq - tail)
        state = read_state(store, topic, at=begin)
        kept: deque[tuple[Entry, str]] = deque(maxlen=tail)
        for entry, body in read_entries(store, topic, after=begin):
            sha256 = sha256_of(body)
            state.apply(entry, sha256, object_url(store, log_key(topic, entry.seq)))
            kept.append((entry, sha256))
        if state.seq == 0:
            raise unknown_topic(store, topic)
        if as_json:
            entries = [{**json.loads(entry.encode()), "sha256": sha256} for entry, sha256 in kept]
            head = {"version": LOG_VERSION, "topic": topic, "head": state.seq, "head_sha256": state.head_sha256}
            click.echo(json.dumps({**head, "entries": entries}, indent=2, ensure_ascii=False))
            return
        for line in table([HEADINGS, *(_row(entry) for entry, _ in kept)], RIGHT):
            click.echo(line)
        click.echo(f"head {state.seq}:{state.head_sha256}")


def _fold(store: ObjectStore, topic: str) -> None:
    """Archivers fold as they go; this is for a log from before there were folds, and for damaged ones."""
    counts: Counter[str] = Counter()
    with RecordProgress(f"fold {topic}", unit="entries") as progress:
        for each in make_folds(store, topic, on_entries=progress.update):
            counts[each.done] += 1
            if each.why:
                click.echo(f"{object_url(store, fold_key(topic, each.seq))}: {each.why}; replaced")
    if not counts and not read_state(store, topic).seq:
        raise unknown_topic(store, topic)
    click.echo(f"{topic}: {counts['made']} folds made, {counts['replaced']} replaced, {counts['sound']} were sound")


HEADINGS = ("seq", "at", "kind", "spans", "rows", "quarantined", "gaps", "files", "bytes", "writer")
RIGHT = {"seq", "rows", "quarantined", "gaps", "files", "bytes"}


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.seq),
        entry.at,
        entry.kind,
        _spans_text(entry.spans) if entry.kind == "commit" else _details_text(entry.details),
        f"{entry.records - entry.quarantined:,}",
        f"{entry.quarantined:,}",
        str(sum(len(span.gaps) for span in entry.spans)),
        str(len(entry.files)),
        f"{entry.size:,}",
        entry.writer,
    )


def _spans_text(spans: Sequence[Span]) -> str:
    shown = [
        f"{span.partition}{f'/{span.lineage}' if span.lineage else ''}:[{span.start},{span.end})"
        for span in spans[:SPANS_SHOWN]
    ]
    left = len(spans) - SPANS_SHOWN
    return " ".join([*shown, f"+{left} more"] if left > 0 else shown)


def _details_text(details: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in details.items() if isinstance(value, str | int)) or "-"
