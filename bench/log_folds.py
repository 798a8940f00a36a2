"""What a long log costs to open: a synthetic one of N commits, folded as archivers do, then opened from its folds.

    python bench/log_folds.py [--commits 1000000] [--partitions 4] [--s3 s3://bucket/prefix]

Of the entries only those are kept that opening looks at (each thousandth, and those after the last fold), so that the
million fits into memory; with --s3 folds and entries are put there and read back from there. Each commit has one file
with a part for each partition. Memory is what the state's columns take, which is nearly all that grows with the log.
"""

import argparse
import hashlib
import multiprocessing
import time
from collections.abc import Callable

import pyarrow as pa

from headrace.archiver.commit_log import read_state
from headrace.archiver.fold_file import Fold, fold_key, fold_of
from headrace.archiver.log_entries import Entry, FileEntry, PartEntry, Span, log_key, sha256_of
from headrace.archiver.log_state import FOLD_ENTRIES, LogState
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.s3 import S3Store

TOPIC = "pin"
ROWS = 1000


def entry_at(seq: int, partitions: int, head: str) -> Entry:
    """Return the commit of one slot: a thousand rows of each partition, in one file."""
    start, day = (seq - 1) * ROWS, f"2026-{seq // 44_000 % 12 + 1:02}-{seq // 1440 % 28 + 1:02}"
    unlike = hashlib.sha256(str(seq).encode()).hexdigest()  # real digests don't compress either
    name = f"{unlike[:8]}-{unlike[8:12]}-7{unlike[13:16]}-a{unlike[17:20]}-{unlike[20:32]}"
    key = f"data/topic={TOPIC}/dt={day}/{name}.parquet"
    parts = tuple(
        PartEntry(p, p * ROWS, ROWS, start, start + ROWS - 1, hashlib.sha256(f"{seq} {p}".encode()).hexdigest())
        for p in range(partitions)
    )
    return Entry(
        kind="commit",
        topic=TOPIC,
        cluster_id="5L6g3nShT-eMCtK--X86sw",
        entry_id=unlike[:32],
        writer="archiver-7f9c:17:0",
        at=f"{day}T00:00:00.000000Z",
        topic_id="dAq3n0GmQbK6wfKk3b0hqg",
        spans=tuple(
            Span(p, 0, start, start + ROWS, rows=ROWS, max_timestamp=1_795_392_000_000) for p in range(partitions)
        ),
        files=(FileEntry("data", key, day, 140_000, unlike, ROWS * partitions, 0, parts),),
        seq=seq,
        prev_sha256=head,
    )


def build(store: ObjectStore, commits: int, partitions: int) -> tuple[float, int]:
    """Fold a log of so many commits as it grows; return the seconds that folding took and the folds' bytes."""
    state = LogState(TOPIC, lean=True)
    folded_s, size = 0.0, 0

    def store_fold(fold: Callable[[], Fold]) -> None:
        nonlocal folded_s, size
        began = time.perf_counter()
        made = fold()
        body = made.encode()
        folded_s += time.perf_counter() - began
        size += len(body)
        store.put_if_absent(fold_key(TOPIC, made.seq), body)

    state.on_thousand = lambda at, columns, begin: store_fold(lambda: fold_of(at, columns, begin))
    for seq in range(1, commits + 1):
        entry = entry_at(seq, partitions, state.head_sha256)
        body = entry.encode()
        if seq % FOLD_ENTRIES == 0 or seq > commits // FOLD_ENTRIES * FOLD_ENTRIES:
            store.put_if_absent(log_key(TOPIC, seq), body)
        state.apply(entry, sha256_of(body), "here")
    return folded_s, size


def opened(store: ObjectStore, what: str) -> tuple[float, float, float, str]:
    """Open the log in a process of its own; return seconds, CPU seconds, MiB of columns, and what was found."""
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[tuple[float, float, float, str]] = context.Queue()

    def run() -> None:
        before, cpu = pa.total_allocated_bytes(), time.process_time()
        again = store if isinstance(store, MemoryStore) else S3Store(store.url)
        began = time.perf_counter()
        state = read_state(again, TOPIC)
        found = f"{len(list(state.partitions()))} partitions at entry {state.seq:,}"
        if what == "files":
            found = f"{len(state.files):,} files"
        elif what == "date":
            found = f"{sum(1 for _ in state.files.select(dates=['2026-01-02'])):,} files of one date, as objects"
        took = time.perf_counter() - began
        results.put((took, time.process_time() - cpu, (pa.total_allocated_bytes() - before) / (1 << 20), found))

    process = context.Process(target=run)
    process.start()
    answer = results.get(timeout=900)
    process.join()
    return answer


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--commits", type=int, default=100_000)
    arguments.add_argument("--partitions", type=int, default=4)
    arguments.add_argument("--s3", metavar="s3://BUCKET/PREFIX", help="an empty prefix; AWS_... as always")
    given = arguments.parse_args()
    store: ObjectStore = S3Store(given.s3) if given.s3 else MemoryStore()
    began = time.perf_counter()
    folded_s, size = build(store, given.commits, given.partitions)
    folds = given.commits // FOLD_ENTRIES
    print(f"{given.commits:,} commits of {given.partitions} partitions, in {time.perf_counter() - began:.0f} s")
    each = f"{folded_s / folds * 1000:.1f} ms and {size / folds / 1024:.0f} KiB each"
    print(f"{folds} folds: {each}, {size >> 20} MiB in all")
    for what in ("positions", "date", "files"):
        seconds, cpu, mib, found = opened(store, what)
        print(f"open, {what:<10} {seconds:8.3f} s  {cpu:8.3f} s CPU  {mib:7.1f} MiB of columns  {found}", flush=True)


if __name__ == "__main__":
    main()
