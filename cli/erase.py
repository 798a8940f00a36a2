"""`headrace erase`: take the rows of a person out of the archive for good, as an entry of its log."""

import getpass
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

import click

from headrace.archiver.eraser import Erased, Eraser, FileFound, Order
from headrace.archiver.log_reading import read_state
from headrace.archiver.object_store import ObjectStore
from headrace.replay.erase_rows import RowJudge, condition_hmac, condition_of, refuse_telling, refuse_vague
from headrace.replay.errors import RequestRefused
from headrace.replay.reader import unknown_topic
from headrace.replay.selection import Selection, parse_selection

from .options import EXIT_WRONG, archive_option
from .progress import RecordProgress
from .rewriters import new_ids, rewriting
from .servers import open_store, reported_errors
from .tables import table

ERASE_VERSION = 1
KEY_BYTES = 32
ELSEWHERE = (
    "Kafka, until its retention deletes them; what is archived from now on another run of this verb takes",
    "spools and dead letters of app hosts: `headrace spool DIR`",
    "what was replayed or copied from the archive before: `replays/` names each replay's target",
)


@click.command(name="erase")
@click.argument("topic")
@archive_option
@click.option(
    "--where",
    metavar="CONDITION",
    help="Rows to erase: user_id=7, or SQL on columns: \"user_id = 7 and action = 'SAVE'\".",
)
@click.option("--key", "keys", multiple=True, metavar="TEXT", help="Only records of this key. Repeatable.")
@click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only in this date's files. Repeatable.")
@click.option("--from", "from_", metavar="OFFSET|TIME", help="First offset (with --partition), or first timestamp.")
@click.option("--to", metavar="OFFSET|TIME", help="End of the range, exclusive.")
@click.option("--partition", "-p", "partitions", multiple=True, type=int, metavar="P", help="Repeatable.")
@click.option("--topic-id", metavar="ID", help="Only of one incarnation of the topic. Without it: of all.")
@click.option(
    "--why", metavar="TEXT", help="The reason, kept in the log for ever: a ticket's number, not the person's name."
)
@click.option("--who", metavar="NAME", help="Who orders it, kept in the log. [default: the login name]")
@click.option("--yes", is_flag=True, help="Erase. Without it the verb only shows what would go.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def command(
    topic: str,
    archive_url: str,
    where: str | None,
    keys: tuple[str, ...],
    dates: tuple[str, ...],
    from_: str | None,
    to: str | None,
    partitions: tuple[int, ...],
    topic_id: str | None,
    why: str | None,
    who: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase rows for good, for whoever has to forget a person, and prove that nothing else changed.

    Each file with such rows is replaced by one without them. The records that stay are held against their digests
    before and after. One entry of the log says which offsets went, when, by whom and why, and never what stood there;
    `headrace verify` and replays name it from then on, and are exact about the rest. The replaced objects are removed
    with all their old versions, and so are old versions of what earlier rewrites had removed.

    It may run beside archivers and `headrace compact`, twice, and be killed at any moment: run it again, until it finds
    nothing. Quarantined rows have no columns: they match by --key, or --where on _key, _partition, _offset. Archivers
    and readers older than this headrace refuse the log afterwards: upgrade them first.

    \b
    headrace erase pin --where user_id=7
    headrace erase pin --where user_id=7 --why GDPR-4711 --yes
    headrace erase pin --partition 0 --from 1500 --to 1501 --why GDPR-4711 --yes
    """
    logging.basicConfig(level="WARNING", format="%(levelname)s %(message)s")
    with reported_errors():
        selection = parse_selection(
            from_=from_,
            to=to,
            partitions=partitions,
            dates=dates,
            topic_id=topic_id,
            keys=[key.encode() for key in keys],
            where=condition_of(where),
        )
        refuse_vague(selection)
        if yes and not why:
            raise RequestRefused("--yes needs --why: the reason stands in the log for ever")
        refuse_telling(why or "", selection)
        store = open_store(archive_url)
        secret = os.urandom(KEY_BYTES)
        order = Order(new_ids()(), why or "", who or getpass.getuser(), condition_hmac(selection, secret))
        eraser, rows = _eraser(store, topic, selection, order)
        with RecordProgress(f"erase {topic}", rows) as progress:
            try:
                done = (eraser.run if yes else eraser.survey)(progress.advance)
            except KeyboardInterrupt:
                if yes:
                    eraser.tidy()
                    click.echo("stopped: what was erased until now stays so; run it again for the rest", err=True)
                raise
        if as_json:
            click.echo(json.dumps(_as_json(topic, done, order, secret, erased=yes), indent=2, ensure_ascii=False))
        else:
            _show(topic, done, order, secret, erased=yes)
        if yes and (not done.may_remove or done.old_versions is None):
            raise SystemExit(EXIT_WRONG)


def _eraser(store: ObjectStore, topic: str, selection: Selection, order: Order) -> tuple[Eraser, int]:
    """Return the eraser, and how many rows it will look at."""
    state = read_state(store, topic)
    if not state.seq:
        raise unknown_topic(store, topic)
    files = list(state.files.select(dates=selection.dates))
    judge = RowJudge(store, topic, selection, files)
    eraser = Eraser(
        *(store, topic),
        judge=judge,
        dates=selection.dates,
        order=order,
        wanted=judge.wanted,
        **rewriting("erase"),
    )
    return eraser, sum(each.file.rows for each in files if judge.wanted(each))


def _as_json(topic: str, done: Erased, order: Order, secret: bytes, *, erased: bool) -> dict[str, Any]:
    return {
        "version": ERASE_VERSION,
        "topic": topic,
        "erased": erased,
        "snapshot": done.snapshot,
        "records": done.rows,
        "entries": done.entries,
        "erasure": order.erasure if erased else None,
        "condition_hmac": order.condition_hmac if erased else None,
        "condition_key": secret.hex() if erased else None,
        "files": [
            {
                "key": each.committed.file.key,
                "dt": each.committed.file.dt,
                "kind": each.committed.file.kind,
                "records": each.rows,
                "of": each.committed.file.rows,
                "parts": [part.as_json() for part in each.erased],
            }
            for each in done.files
        ],
        "files_looked_at": done.files_looked_at,
        "quarantined_left": done.unjudged,
        "old_versions": done.old_versions,
        "may_remove": done.may_remove,
        "elsewhere": list(ELSEWHERE),
    }


def _show(topic: str, done: Erased, order: Order, secret: bytes, *, erased: bool) -> None:
    if done.files:
        headings = ("dt", "kind", "partitions", "records", "of", "file")
        for line in table([headings, *map(_row, done.files)], right={"records", "of"}):
            click.echo(line)
    entries = f" (entries {', '.join(map(str, done.entries))})" if done.entries else ""
    verb = "erased" if erased else "match"
    click.echo(
        f"{topic}: {done.rows:,} records in {len(done.files):,} files {verb}{entries}; {done.files_looked_at:,} files "
        f"were looked at, all that was archived up to entry {done.snapshot}"
    )
    for text in _remarks(done, erased=erased):
        click.echo(text)
    if not erased:
        click.echo("nothing was changed; --why TICKET --yes erases")
    elif done.entries:
        click.echo(
            f"the entries name the erasure {order.erasure}, and the condition only as a keyed hash; keep this key with "
            f"the ticket to prove it later: {secret.hex()}"
        )


def _remarks(done: Erased, *, erased: bool) -> Sequence[str]:
    found: list[str] = []
    if done.unjudged:
        found.append(
            f"quarantine: {done.unjudged:,} records there stay. They have no columns: look at them by `headrace "
            "quarantine show`, decode them by `retry`, or erase them by --key, or --partition with --from and --to"
        )
    if done.old_versions is None:
        found.append("old versions: the store does not let us look for them or remove them, so that some may be left")
    elif done.old_versions:
        left = "were removed for good" if erased else "of what left the archive are still kept by the bucket"
        found.append(f"old versions: {done.old_versions:,} {left}")
    if not done.may_remove:
        found.append(
            "the store refuses to remove the replaced files: give the right s3:DeleteObject and run this again"
        )
    if done.files:
        found += [f"look elsewhere too: {place}" for place in ELSEWHERE]
    return found


def _row(found: FileFound) -> tuple[str, ...]:
    file = found.committed.file
    partitions = ",".join(str(p) for p in sorted({part.partition for part in found.erased}))
    return file.dt, file.kind, partitions, f"{found.rows:,}", f"{file.rows:,}", file.key.rpartition("/")[2]
