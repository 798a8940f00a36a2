"""Makes the golden files of format v1: `python tests/golden/make_v1.py FOLDER`, with tests/ on the path.

They were made once, when the format was released, and stay: a later version must read them. Run it again only to add a
file that covers something new, under a new name.
"""

import base64
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from format_v1 import (
    DAY_US,
    NOW_MS,
    Record,
    batch_of,
    buffer,
    context,
    frame,
    long_varint,
    new_event,
    old_event,
    read,
    record,
    restored,
    value_of,
)

from headrace.archiver.flush_buffer import BuiltFile

ODD: dict[str, Any] = {
    "key": None,
    "timestamp_type": 1,
    "headers": [("trace", b"\x01"), ("trace", None), ("", b""), ("ü", b"x")],
}


def events() -> list[Record]:
    """Two partitions, five schemas, and every way in which a value is kept."""
    wide = {"occurred_at": NOW_MS * 1000, "tags": ["a", ""], "counts": {"k": -1}, "place": {"x": 1}}
    wider = {"occurred_at": None, "place": {"x": 2, "name": "here"}}
    return [
        record(0, 0, value_of(b"old-----", old_event())),
        record(0, 1, None, **ODD),
        record(0, 2, value_of(b"new-----", new_event(note="ü", action="HIDE")), key=b"", timestamp_type=1),
        record(0, 5, long_varint()),
        record(0, 6, b"\x00\x00\x00\x00\x07" + value_of(b"old-----", old_event(user_id=-1))[10:]),
        record(0, 7, value_of(b"old-----", old_event(NOW_MS * 1000 - 90 * DAY_US))),
        record(0, 8, value_of(b"old-----", old_event()), timestamp=-1, timestamp_type=-1),
        record(1, 2**40, value_of(b"wide----", wide), headers=[("h", b"v")]),
        record(1, 2**40 + 1, value_of(b"wider---", wider)),
        record(1, 2**40 + 9, value_of(b"new-----", new_event(ok=None, ratio=-0.0)), timestamp=NOW_MS + 1),
    ]


def poison() -> list[Record]:
    """One record of each kind of error; the first, which is good, decides what the columns are."""
    return [
        record(0, 0, value_of(b"old-----", old_event())),
        record(0, 1, b"", **ODD),
        record(0, 2, b'{"json": 1}', key=b""),
        record(1, 3, frame(b"unknown-") + b"\x02"),
        record(1, 4, frame(b"unsupp--") + b"\x00\x00"),
        record(1, 5, value_of(b"conflict", {"user_id": "seven"})),
        record(1, 6, value_of(b"old-----", old_event())[:-1]),
    ]


def anything() -> list[Record]:
    """Records of a topic that is archived raw."""
    return [
        record(0, 0, b"{}"),
        record(0, 1, b"", **ODD),
        record(3, 0, None, key=b""),
        record(3, 1, b"\x00\xff" * 20),
    ]


def files_of(records: list[Record], **settings: Any) -> list[BuiltFile]:
    """Archive the records."""
    held = buffer(**settings)
    held.add(batch_of(records))
    return held.build(context(range(4)))


def as_text(data: bytes | None) -> str | None:
    """Bytes in JSON."""
    return None if data is None else base64.b64encode(data).decode()


def expectation(file: BuiltFile) -> dict[str, Any]:
    """What a reader must find in the file, independently of how it is read."""
    footer = read(file).footer
    return {
        "kind": file.kind,
        "sha256": file.sha256,
        "footer": json.loads(footer.to_json()),
        "parts": [list(dataclasses.astuple(part)) for part in file.parts],
        "records": [
            {
                **each,
                "key": as_text(each["key"]),
                "value": as_text(each["value"]),
                "headers": [[name, as_text(value)] for name, value in each["headers"]],
            }
            for each in restored([file])
        ],
    }


def main(folder: Path) -> None:
    """Write each file and, beside it, what must be found in it."""
    made = {
        "data": files_of(events()),
        "quarantine": [file for file in files_of(poison()) if file.kind == "quarantine"],
        "raw": files_of(anything(), format="raw"),
    }
    for name, files in made.items():
        (file,) = files
        (folder / f"{name}.parquet").write_bytes(file.body)
        (folder / f"{name}.json").write_text(json.dumps(expectation(file), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
