"""An archive changed row by row by somebody who also made file and log fit: only the digests tell, and they do.

Flipped bits, missing objects and edited commits are in tests/integration/test_bad_input_damage.py and in
tests/replay/test_reader.py; here are those cases again as a replay's command line sees them, each with its exit code.
"""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value

import headrace.replay
from headrace.archiver.log_entries import Entry, FileEntry, decode, log_key, sha256_of
from headrace.replay import ArchiveDamaged

Run = Callable[..., Result]
ROWS = 6


@pytest.fixture
def damaged(monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    """One file of one partition, offsets 10 to 15, between two others."""
    small = SmallArchive()
    for start in (4, 10, 16):
        small.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in range(start, start + ROWS)])
    for verb in ("replay", "verify"):
        monkeypatch.setattr(f"headrace.cli.{verb}.open_store", lambda _url: small.store)
    return small


def entry_of(small: SmallArchive, seq: int) -> Entry:
    return decode(small.memory.objects[log_key("pin", seq)], "the test's")


def rewritten(body: bytes, change: Callable[[pa.Table], pa.Table]) -> bytes:
    """The file with other rows, its footer as it was."""
    table = pq.read_table(io.BytesIO(body), read_dictionary=["_frame"])
    sink = io.BytesIO()
    changed = change(table)
    with pq.ParquetWriter(sink, changed.schema, write_page_checksum=True, store_schema=False) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata(pq.read_metadata(io.BytesIO(body)).metadata)
    return sink.getvalue()


def forge(small: SmallArchive, change: Callable[[pa.Table], pa.Table]) -> str:
    """Change the rows of the middle file, and all that the log says of it but the digest; chain the log anew."""
    entry = entry_of(small, 2)
    (file,) = entry.files
    body = rewritten(small.memory.objects[file.key], change)
    small.memory.objects[file.key] = body
    rows = pq.read_metadata(io.BytesIO(body)).num_rows
    part = replace(file.parts[0], rows=rows)
    forged = replace(file, bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), rows=rows, parts=(part,))
    rechain(small, forged)
    return file.key


def rechain(small: SmallArchive, forged: FileEntry) -> None:
    entry = entry_of(small, 2)
    span = replace(entry.spans[0], rows=forged.rows)
    body = replace(entry, files=(forged,), spans=(span,)).encode()
    small.memory.objects[log_key("pin", 2)] = body
    last = replace(entry_of(small, 3), prev_sha256=sha256_of(body))
    small.memory.objects[log_key("pin", 3)] = last.encode()


def swapped(table: pa.Table) -> pa.Table:
    """Two rows' own columns change places; partition and offset stay."""
    taken = table.take([0, 2, 1, *range(3, table.num_rows)])
    return taken.set_column(taken.schema.get_field_index("_offset"), "_offset", table.column("_offset"))


def with_user(table: pa.Table) -> pa.Table:
    values = table.column("user_id").to_pylist()
    values[3] += 1
    return table.set_column(table.schema.get_field_index("user_id"), "user_id", pa.array(values, pa.int64()))


CHANGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "dropped row": lambda table: table.take([0, 1, 2, 4, 5]),
    "dropped last row": lambda table: table.slice(0, ROWS - 1),
    "doubled row": lambda table: table.take([0, 1, 1, 2, 3, 4, 5]),
    "swapped rows": swapped,
    "rows in another order": lambda table: table.take([0, 2, 1, 3, 4, 5]),
    "changed value": with_user,
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_rows_are_caught_with_file_and_offsets(
    run: Run, damaged: SmallArchive, tmp_path: Path, what: str
) -> None:
    """Exit 1 from replay and verify; the object, its entry and the part's offsets are named; no file is left."""
    key = forge(damaged, CHANGES[what])
    for into in (f"jsonl:{tmp_path / 'a'}", f"avro:{tmp_path / 'b'}", f"parquet:{tmp_path / 'c'}", "stdout"):
        result = run("replay", "pin", "--into", into)
        assert result.exit_code == 1, result.output
        assert f"memory://archive/{key} (entry 2), pin/0: the restored records (offsets 10 to " in result.stderr
        assert '"offset":10' not in result.stdout
    assert list(tmp_path.iterdir()) == []
    checked = run("verify", "pin", "--json")
    assert checked.exit_code == 1
    assert any(key in finding["where"] for finding in json.loads(checked.stdout)["findings"])
    with pytest.raises(ArchiveDamaged, match=key):
        list(headrace.replay.open(damaged.store).read("pin"))


def flip(small: SmallArchive, key: str) -> None:
    body = bytearray(small.memory.objects[key])
    body[len(body) // 2] ^= 1
    small.memory.objects[key] = bytes(body)


def remove(small: SmallArchive, key: str) -> None:
    del small.memory.objects[key]


def edit_commit(small: SmallArchive, _key: str) -> None:
    body = small.memory.objects[log_key("pin", 2)]
    small.memory.objects[log_key("pin", 2)] = body.replace(b'"rows":6', b'"rows":7', 1)


@pytest.mark.parametrize("damage", [flip, remove, edit_commit])
def test_damaged_objects_are_caught(run: Run, damaged: SmallArchive, tmp_path: Path, damage: Any) -> None:
    """A flipped bit, an object that is gone, a commit that was edited: exit 1, with the object's address."""
    (file,) = entry_of(damaged, 2).files
    damage(damaged, file.key)
    named = log_key("pin", 2) if damage is edit_commit else f"{file.key} (entry 2)"
    result = run("replay", "pin", "--into", f"parquet:{tmp_path / 'out'}")
    assert result.exit_code == 1
    assert f"memory://archive/{named}" in result.stderr
    assert list(tmp_path.iterdir()) == []
