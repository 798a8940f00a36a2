"""Reading folders, and catalogs of them."""

import json
from pathlib import Path

import pytest
from team_schemas import field, record, write

from headrace.schemas.canonical import fingerprint, wire_text
from headrace.schemas.catalog import builtin, from_folder
from headrace.schemas.errors import SchemaError
from headrace.schemas.folder import read_folder
from headrace.schemas.release import release


def test_files_come_oldest_first(tmp_path: Path) -> None:
    """Releases are ordered by number, not by name, and the current schema is last."""
    for number in range(1, 12):
        fields = [field(f"f{index}", "int", default=0) for index in range(number)]
        write(tmp_path / "order.avsc", record(*fields))
        release(read_folder(tmp_path))
    labels = [file.label for file in read_folder(tmp_path).files()]
    assert labels == [*(f"released/order/{n}.avsc" for n in range(1, 12)), "order.avsc"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("order.avsc", "{", "order.avsc: not JSON"),
        ("order.avsc", '"long"', "order.avsc: an event type is an Avro record"),
        ("released/order/first.avsc", "{}", "named by its number"),
        ("order.txt", "", "holds no .avsc file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    """The error names the file and what is wrong with it."""
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    with pytest.raises(SchemaError, match=said):
        read_folder(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are an error of that file."""
    (tmp_path / "order.avsc").write_bytes(b"\xff\xfe")
    with pytest.raises(SchemaError, match=r"order.avsc: cannot be read"):
        read_folder(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    """A path that is no folder is told as such."""
    with pytest.raises(SchemaError, match="is no folder"):
        read_folder(tmp_path / "missing")


def test_a_catalog_has_all_releases_and_the_current_schema(tmp_path: Path) -> None:
    """Old events stay readable: every version's text is found by its fingerprint."""
    versions = [record(field("a", "long")), record(field("a", "long"), field("b", "int", default=0))]
    for version in versions:
        write(tmp_path / "order.avsc", version)
        release(read_folder(tmp_path))
    current = record(field("a", "long"), field("b", "int", default=0), field("c", "int", default=0))
    write(tmp_path / "order.avsc", current)
    catalog = from_folder(read_folder(tmp_path))
    for schema in [*versions, current]:
        assert catalog.text_by_fingerprint(fingerprint(schema)) == wire_text(schema)
    assert len(catalog.texts()) == 3
    assert catalog.types() == ["order"]
    assert catalog.current_text("order") == wire_text(current)
    assert catalog.current_text("other") is None
    assert catalog.text_by_fingerprint(bytes(8)) is None


def test_two_texts_of_one_fingerprint_are_refused(tmp_path: Path) -> None:
    """Versions that differ in a logical type alone have one fingerprint: readers could not tell them apart."""
    for number, logical in ((1, "timestamp-micros"), (2, "timestamp-millis")):
        schema = record(field("at", {"type": "long", "logicalType": logical}))
        write(tmp_path / "released" / "order" / f"{number}.avsc", schema)
    write(tmp_path / "order.avsc", schema)
    with pytest.raises(SchemaError, match="same fingerprint"):
        from_folder(read_folder(tmp_path))


def test_builtin_types() -> None:
    """Our own catalog has the five types, and gives the text of each by fingerprint."""
    assert builtin().types() == ["alert", "audit", "error", "feed_load", "follow", "login", "pin"]
    for fp, text in builtin().texts().items():
        assert fingerprint(json.loads(text)) == fp
    assert builtin() is builtin()
