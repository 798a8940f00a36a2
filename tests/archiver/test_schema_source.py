"""Where writer schemas come from, who wins, and how often Kafka is asked."""

import json

from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.schema_source import TOPIC_READS_MAX, UNKNOWN_RETRY_S, ArchiveSchemas, by_fingerprint
from headrace.schemas import Pin
from headrace.schemas.canonical import fingerprint
from headrace.schemas.catalog import builtin


def schema(name: str, logical: str | None = None) -> str:
    kind = "long" if logical is None else {"type": "long", "logicalType": logical}
    return json.dumps({"type": "record", "name": name, "fields": [{"name": "at", "type": kind}]})


class Setting:
    """Sources over a store and a schema topic that tests write to."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.topic: list[bytes] = []
        self.reads = 0
        self.now_s = 100.0

    def source(self) -> ArchiveSchemas:
        return ArchiveSchemas(self.store, builtin(), self._read, monotonic=lambda: self.now_s)

    def _read(self) -> list[bytes]:
        self.reads += 1
        return list(self.topic)


def test_builtin_schemas_are_kept_in_the_archive() -> None:
    """A fingerprint of a built-in type is answered without Kafka, and its text is kept for readers of all times."""
    setting = Setting()
    text = setting.source().text_by_fingerprint(Pin.FINGERPRINT)
    assert text is not None
    assert setting.store.get(f"schemas/{Pin.FINGERPRINT.hex()}.avsc").decode() == text
    assert setting.reads == 0


def test_the_archives_text_wins_and_another_one_is_kept_beside_it() -> None:
    """Two texts of one fingerprint (logical types differ): the archived one decodes, the other is kept and reported."""
    setting = Setting()
    first, second = schema("A", "timestamp-micros"), schema("A", "timestamp-millis")
    wanted = fingerprint(json.loads(first))
    assert wanted == fingerprint(json.loads(second))
    setting.topic = [first.encode()]
    assert setting.source().text_by_fingerprint(wanted) == first
    setting.topic = [second.encode()]
    assert setting.source().text_by_fingerprint(wanted) == first
    kept = [info.key for info in setting.store.list(f"schemas/{wanted.hex()}")]
    assert len(kept) == 2
    assert setting.store.get(next(key for key in kept if "-" in key)).decode() == second


def test_a_new_fingerprint_is_asked_for_at_once() -> None:
    """A schema published a moment ago is found, also when another unknown one was just asked for."""
    setting = Setting()
    source = setting.source()
    assert source.text_by_fingerprint(b"nobody's") is None
    published = schema("B")
    setting.topic = [published.encode()]
    assert source.text_by_fingerprint(fingerprint(json.loads(published))) == published


def test_an_unknown_fingerprint_is_asked_for_again_after_a_while() -> None:
    """What nobody knew costs nothing for a while, and is found once it is published."""
    setting = Setting()
    source = setting.source()
    published = schema("C")
    wanted = fingerprint(json.loads(published))
    assert source.text_by_fingerprint(wanted) is None
    setting.topic = [published.encode()]
    gets: list[str] = []
    setting.store.fault = lambda _operation, key: gets.append(key)
    assert source.text_by_fingerprint(wanted) is None
    assert not gets
    setting.now_s += UNKNOWN_RETRY_S
    assert source.text_by_fingerprint(wanted) == published


def test_noise_does_not_become_load_on_kafka() -> None:
    """Ever new fingerprints read the schema topic a bounded number of times."""
    setting = Setting()
    source = setting.source()
    for n in range(100):
        assert source.text_by_fingerprint(n.to_bytes(8, "little")) is None
    assert setting.reads == TOPIC_READS_MAX


def test_what_is_no_schema_is_passed_over() -> None:
    """A record of the schema topic that is no schema does not hide the others."""
    good = schema("D")
    assert list(by_fingerprint([b"\xff", b"{}", b"[]", good.encode()]).values()) == [good]
