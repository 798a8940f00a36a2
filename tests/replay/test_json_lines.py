"""Lines for people and for machines: one JSON object a record."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.replay import RequestRefused, open_reading
from headrace.replay.event_json import EventDecoder, json_value
from headrace.replay.json_lines import JsonLines, LineFormat
from headrace.replay.line_file import LineFile


def lines_of(archive: SmallArchive, form: LineFormat) -> list[dict[str, Any]]:
    lines = JsonLines(archive.topic, form)
    text = b"".join(
        piece for chunk in open_reading(archive.store, archive.topic).chunks() for piece in lines.lines(chunk)
    )
    return [json.loads(line) for line in text.decode().splitlines()]


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def test_a_raw_line_holds_the_record_exactly() -> None:
    """Null and empty differ, headers keep order and duplicates, all bytes are base64."""
    archive = SmallArchive("any", form="raw")
    archive.commit(
        [
            Rec(3, 7, b"\xff\x00", b"", 5, [("h", b"1"), ("h", None), ("h", b"")], 1),
            Rec(3, 8, None, None, -1, [], -1),
        ]
    )
    assert lines_of(archive, "raw") == [
        {
            "topic": "any",
            "partition": 3,
            "offset": 7,
            "timestamp": 5,
            "timestamp_type": 1,
            "key": "",
            "value": b64(b"\xff\x00"),
            "headers": [["h", b64(b"1")], ["h", None], ["h", ""]],
        },
        {
            "topic": "any",
            "partition": 3,
            "offset": 8,
            "timestamp": -1,
            "timestamp_type": -1,
            "key": None,
            "value": None,
            "headers": [],
        },
    ]


def test_an_event_line_shows_the_fields() -> None:
    """Ids are hex, instants ISO 8601 in UTC, keys and header values text."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(5), b"user-5", headers=[("trace", b"\xff")])])
    (line,) = lines_of(archive, "event")
    assert line["key"] == "user-5"
    assert line["headers"] == [["trace", {"hex": "ff"}]]
    assert line["value"]["event_id"] == (5).to_bytes(16, "big").hex()
    assert line["value"]["occurred_at"] == "2026-11-23T00:00:00.000000Z"
    assert (line["value"]["user_id"], line["value"]["action"]) == (5, "SAVE")
    assert "_error" not in line


def test_a_quarantined_record_is_shown_with_its_error() -> None:
    """The bytes are shown as they are, and what was wrong with them."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, b"hello"), Rec(0, 1, None), Rec(0, 2, pin_value(1)[:-1])])
    first, tombstone, cut = lines_of(archive, "event")
    assert first["value"] == "hello"
    assert first["_error"].startswith("undecodable: ")
    assert tombstone["value"] is None
    assert "_error" not in tombstone
    assert cut["value"] == {"hex": pin_value(1)[:-1].hex()}
    assert cut["_error"].startswith("bad-body: ")


def test_thousands_of_records_are_all_there() -> None:
    """Pieces join without a record lost or doubled."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o), timestamp=NOV_23_MS + o) for o in range(5000)])
    assert [line["offset"] for line in lines_of(archive, "raw")] == list(range(5000))


def test_every_line_is_json_that_strict_parsers_take() -> None:
    """NaN and infinities, which JSON does not have, are text; decimals too."""
    shown = json_value({"a": [float("nan"), float("-inf"), 1.5], "d": Decimal("1.10"), "b": b"\x01"})
    assert shown == {"a": ["NaN", "-Infinity", 1.5], "d": "1.10", "b": "01"}
    assert json_value(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"


def test_an_instant_beyond_the_calendar_is_a_number() -> None:
    """Avro allows years that no datetime has; the record is still shown decoded."""
    schema = (
        '{"type":"record","name":"R","fields":[{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}}]}'
    )
    body = b"\xfe" + b"\xff" * 8 + b"\x01"  # the largest long
    assert EventDecoder().decode(b"FRAME-10-B" + body, {b"FRAME-10-B": schema}) == {"t": 2**63 - 1}


def test_a_confluent_frame_is_decoded_too() -> None:
    """Five bytes and a schema of the file's footer."""
    schema = '{"type":"record","name":"R","fields":[{"name":"n","type":"long"}]}'
    assert EventDecoder().decode(b"\x00\x00\x00\x00\x07\x04", {b"\x00\x00\x00\x00\x07": schema}) == {"n": 2}


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    """Until the end there is no file of that name; then it is whole, and nothing lies beside it."""
    target = tmp_path / "out.jsonl"
    with LineFile(target, overwrite=False) as file:
        file.write(b"one\n")
        assert not target.exists()
    assert target.read_bytes() == b"one\n"
    assert list(tmp_path.iterdir()) == [target]


def interrupted(into: LineFile) -> None:
    with into as file:
        file.write(b"new\n")
        raise KeyboardInterrupt


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves the folder as it was."""
    with pytest.raises(KeyboardInterrupt):
        interrupted(LineFile(tmp_path / "out.jsonl", overwrite=False))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_overwrite_leaves_the_old_file(tmp_path: Path) -> None:
    """The old content stays until the new one is complete."""
    target = tmp_path / "out.jsonl"
    target.write_bytes(b"old\n")
    with pytest.raises(KeyboardInterrupt):
        interrupted(LineFile(target, overwrite=True))
    assert target.read_bytes() == b"old\n"


def test_an_existing_file_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    """One has to ask for it."""
    target = tmp_path / "out.jsonl"
    target.write_bytes(b"old\n")
    with pytest.raises(RequestRefused, match="exists"):
        LineFile(target, overwrite=False)
    with LineFile(target, overwrite=True) as file:
        file.write(b"new\n")
    assert target.read_bytes() == b"new\n"


@pytest.mark.parametrize("name", ["", "no/such/folder/out.jsonl"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    """A folder, or a folder that does not exist: said before anything is read."""
    with pytest.raises(RequestRefused, match=r"folder|cannot write"):
        LineFile(tmp_path / name, overwrite=False)
