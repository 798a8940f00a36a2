"""`headrace gc`: objects that no entry of the log names: what they are, why, and off with those that are dead."""

import json
import os
import socket
import time
import uuid
from collections.abc import Sequence

import click

from headrace.archiver.clock import wall_clock
from headrace.archiver.commit_log import CommitLog, topics_of
from headrace.archiver.garbage import Leftover, candidates, judge
from headrace.archiver.intents import abandon
from headrace.archiver.object_store import ObjectStore
from headrace.replay.reader import unknown_topic

from .options import archive_option
from .servers import open_store, reported_errors
from .tables import table

GC_VERSION = 1


@click.command(name="gc")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@archive_option
@click.option("--delete", is_flag=True, help="Remove what is dead. Without it nothing is changed.")
@click.option(
    "--abandon",
    "intent",
    metavar="INTENT",
    help="End a rewrite that will not come any more, by the id that this verb shows; its objects are dead then.",
)
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def command(topics: tuple[str, ...], archive_url: str, delete: bool, intent: str | None, as_json: bool) -> None:
    """Show the objects that no entry of a topic's log names (of all topics, where none is given), and what they are.

    \b
    dead        no entry can ever name it: --delete removes it. Archivers do that too, after an assignment.
    undecided   the commit that it was made for may still come. The next commit of its partition decides.
    intended    an open rewrite names it: a rewrite is at work, or died. See --abandon.
    unreadable  it is no file of headrace's. Whoever put it there may remove it.

    Nothing depends on a clock or on who runs, and no archiver and no Kafka is needed. Readers of plain folders see the
    rows of such objects; `headrace files` never names one.

    \b
    headrace gc pin
    headrace gc --delete
    headrace gc pin --json | jq '.topics[].objects[] | select(.verdict != "dead")'
    """
    with reported_errors():
        store = open_store(archive_url)
        if intent is not None and len(topics) != 1:
            raise click.UsageError("--abandon goes with one TOPIC, the one whose log has the intent")
        known = topics_of(store) if not topics or intent is None else []
        results = []
        for topic in topics or known:
            log = CommitLog(store, topic, pause=time.sleep, lean=True)
            if intent is not None:
                who = f"{socket.gethostname()}:{os.getpid()}:gc"
                abandon(log, intent, writer=who, at=wall_clock(), entry_id=str(uuid.uuid4()))
            found = _survey(store, log)
            if topic not in known and not found and log.state.seq == 0:
                raise unknown_topic(store, topic)
            dead = [each.info.key for each in found if each.verdict == "dead"]
            if delete:
                store.delete(dead)
            results.append((topic, log.state.seq, found))
        if as_json:
            click.echo(json.dumps(_as_json(results, deleted=delete), indent=2, ensure_ascii=False))
        else:
            _show(results, deleted=delete)


def _survey(store: ObjectStore, log: CommitLog) -> list[Leftover]:
    """List, then read the log on, then judge: the order that makes it safe (garbage.py)."""
    found = list(candidates(store, log.refresh()))
    state = log.refresh()
    log.refuse_hole()  # the files of entries beyond a hole would look like garbage
    return list(judge(store, state, found))


def _as_json(results: Sequence[tuple[str, int, list[Leftover]]], *, deleted: bool) -> dict[str, object]:
    topics = [
        {
            "topic": topic,
            "snapshot": snapshot,
            "objects": [
                {
                    "key": each.info.key,
                    "bytes": each.info.size,
                    "verdict": each.verdict,
                    "why": each.why,
                    "deleted": deleted and each.verdict == "dead",
                    "intent": None if each.intent is None else each.intent.entry_id,
                    "identities": [
                        {"topic_id": of.topic_id, "partition": of.partition, "lineage": of.lineage}
                        for of in each.identities
                    ],
                }
                for each in found
            ],
        }
        for topic, snapshot, found in results
    ]
    return {"version": GC_VERSION, "delete": deleted, "topics": topics}


def _show(results: Sequence[tuple[str, int, list[Leftover]]], *, deleted: bool) -> None:
    rows = [
        (
            "removed" if deleted and each.verdict == "dead" else each.verdict,
            f"{each.info.size:,}",
            each.info.key,
            each.why,
        )
        for _, _, found in results
        for each in found
    ]
    if rows:
        for line in table([("verdict", "bytes", "object", "why"), *rows], right={"bytes"}):
            click.echo(line)
    for topic, snapshot, found in results:
        dead = [each for each in found if each.verdict == "dead"]
        size = sum(each.info.size for each in dead)
        done = "removed" if deleted else "dead"
        left = f", {len(found) - len(dead)} stay" if len(found) > len(dead) else ""
        click.echo(f"{topic}: {len(dead)} objects, {size:,} bytes {done}{left}; by the log up to entry {snapshot}")
    if not deleted and any(each.verdict == "dead" for _, _, found in results for each in found):
        click.echo("nothing was changed; --delete removes what is dead")
