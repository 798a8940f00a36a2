"""Records of every kind that the archive must bring back: each has a name, and says whether its value can be decoded.

`named_cases()` is the fixed list, `random_cases()` an endless seeded stream of variations. Avro bodies are put together
from hand-encoded pieces, so that any piece can be replaced by a wrong one.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from zoo_schemas import CONFLICTING, PIN, PIN_LATER, UNION_OF_MANY, ZOO, frame_of

Headers = tuple[tuple[str, bytes | None], ...]

YEAR_9999_MS = 253_402_300_799_999
# Few dates, since each one is a file in every flush; but the ends of the range, a leap day and a year's end among them.
DAYS_MS = (1, 951_782_400_000, 1_763_856_000_000, 1_767_225_599_999, 4_102_444_800_000, YEAR_9999_MS)


@dataclass(frozen=True)
class ZooRecord:
    """A record to produce. `decodable`: whether it becomes a data row; None where that depends on its neighbours."""

    what: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    decodable: bool | None


# -- Avro, by hand -----------------------------------------------------------------------------------------------------


def number(value: int, *, longer_by: int = 0) -> bytes:
    """Encode a zigzag integer; `longer_by` adds continuation bytes that a canonical encoding doesn't have."""
    left = (value << 1) ^ (value >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    for _ in range(longer_by):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    """Encode a string or bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return number(len(raw)) + raw


def pin_body(rng: Random, *, later: bool = False) -> bytes:
    """Encode a pin event: of the built-in schema, or of its later version with two fields more and a new symbol."""
    envelope = [
        rng.randbytes(16),
        number(rng.choice(DAYS_MS) * 1000 + rng.randrange(1000)),
        text(rng.choice(["web", "", "Ünïcode ☂ 🜁"])),
        text("host"),
        rng.randbytes(16),
        number(rng.randrange(1 << 40)),
        number(0) if rng.random() < 0.5 else number(1) + rng.randbytes(16),
    ]
    own = [
        number(rng.choice([0, -1, 1 << 62, -(1 << 63), rng.randrange(1 << 30)])),
        number(rng.randrange(1 << 20)),
        number(0) if rng.random() < 0.5 else number(1) + number(rng.randrange(1 << 50)),
        number(rng.randrange(11 if later else 10)),
    ]
    if later:
        own += [number(0) if rng.random() < 0.5 else number(1) + text(rng.choice(["", "a note"])), number(3)]
    return b"".join(envelope + own)


def zoo_pieces(rng: Random) -> dict[str, bytes]:
    """Encode the fields of the ZOO schema canonically, by name and in order."""
    double = rng.choice(
        [b"\0\0\0\0\0\0\xf0\x7f", b"\x01\0\0\0\0\0\xf4\xff", struct.pack("<d", rng.random()), b"\0" * 8]
    )
    tags = [text(f"tag {rng.randrange(9)}") for _ in range(rng.randrange(3))]
    labels = [text(f"{name}") + number(rng.randrange(99)) for name in "abc"[: rng.randrange(4)]]
    return {
        "occurred_at": number(rng.choice(DAYS_MS) * 1000),
        "flag": rng.choice([b"\0", b"\1"]),
        "mood": number(rng.randrange(3)),
        "count": number(rng.randrange(-(1 << 31), 1 << 31)),
        "note": rng.choice([number(0), number(1) + text("note"), number(1) + text("")]),
        "ratio": double,
        "blob": text(rng.randbytes(rng.randrange(40))),
        "tags": _block(tags),
        "labels": _block(labels),
        "place": struct.pack("<f", rng.random()) + text("somewhere"),
        "price": text(rng.choice([b"\x05", b"\x00\x80", b"\xff", b"\x12\x34\x56"])),
        "day": number(rng.randrange(20_000)),
    }


def _block(items: Sequence[bytes]) -> bytes:
    return (number(len(items)) + b"".join(items) if items else b"") + number(0)


def _block_with_size(items: Sequence[bytes]) -> bytes:
    """Encode an array the other legal way: each item a block of its own, with its size in bytes."""
    return b"".join(number(-1) + number(len(item)) + item for item in items) + number(0)


# What may stand in a field of ZOO instead of a canonical value: legal detours, and what no decoder may accept.
DETOURS: dict[str, tuple[str, bytes]] = {
    "varint longer than need be": ("count", number(7, longer_by=2)),
    "union index longer than need be": ("note", number(1, longer_by=1) + text("x")),
    "array in blocks with sizes": ("tags", _block_with_size([text("a"), text("bc")])),
    "map with a key twice": ("labels", _block([text("a") + number(1), text("a") + number(2)])),
    "decimal with a leading zero byte": ("price", text(b"\x00\x05")),
}
FAULTS: dict[str, tuple[str, bytes]] = {
    "boolean 2": ("flag", b"\x02"),
    "boolean 127": ("flag", b"\x7f"),
    "union index 2": ("note", number(2) + text("x")),
    "union index -1": ("note", number(-1)),
    "enum index 3 of 3": ("mood", number(3)),
    "enum index -1": ("mood", number(-1)),
    "int over 32 bits": ("count", number(1 << 33)),
    "varint of 11 bytes": ("count", b"\x80" * 10 + b"\x01"),
    "varint over 64 bits": ("count", b"\xff" * 9 + b"\x7f"),
    "string that is not UTF-8": ("note", number(1) + text(b"\xff\xfe")),
    "bytes of negative length": ("blob", number(-5)),
    "bytes longer than the value": ("blob", number(1 << 40)),
    "array that promises too much": ("tags", number(1 << 50)),
    "decimal of too many digits": ("price", text(b"\x7f" * 9)),
}


# -- the fixed list ----------------------------------------------------------------------------------------------------

KEYS: dict[str, bytes | None] = {"null key": None, "empty key": b"", "key": b"user 7", "key not UTF-8": b"\xff\0\xfe"}
HEADERS: dict[str, Headers] = {
    "no headers": (),
    "empty header": (("", b""),),
    "empty name": (("", b"value"),),
    "empty value": (("name", b""),),
    "null value": (("name", None),),
    "duplicates": (("a", b"1"), ("b", b"2"), ("a", None), ("a", b"1")),
    "names not ASCII": (("ключ ☂", b"\xff"), ("K", b""), ("k", b"")),
    "many headers": tuple((f"h{index % 50}", bytes([index % 256])) for index in range(300)),
}


def values(rng: Random) -> Iterator[tuple[str, bytes | None, bool | None]]:
    """Yield each kind of value once: its name, the value, and whether it decodes."""
    yield "tombstone", None, True
    yield "empty value", b"", False
    for length in range(1, 10):
        yield f"cut off in the frame at {length}", frame_of(PIN)[:length], False
    yield "JSON", json.dumps({"no": "Avro"}).encode(), False
    yield "wrong magic", b"\xc3\x02" + frame_of(PIN)[2:] + pin_body(rng), False
    yield "another wrong magic", b"\xc2\x01" + frame_of(PIN)[2:] + pin_body(rng), False
    yield "unknown fingerprint", b"\xc3\x01" + rng.randbytes(8) + pin_body(rng), False
    yield "Confluent frame", b"\0\0\0\0\x07" + pin_body(rng), False
    yield "Confluent frame alone", b"\0\0\0\0\x07", False
    yield "Confluent frame cut off", b"\0\0\0\0", False
    yield "pin", frame_of(PIN) + pin_body(rng), True
    yield "pin of a later schema", frame_of(PIN_LATER) + pin_body(rng, later=True), True
    yield "pin with trailing byte", frame_of(PIN) + pin_body(rng) + b"\0", False
    yield "pin of the later schema under the old frame", frame_of(PIN) + pin_body(rng, later=True), False
    yield "frame without a body", frame_of(PIN), False
    yield "schema of another type for a column", frame_of(CONFLICTING) + text("not a number"), None
    yield "schema that columns cannot hold", frame_of(UNION_OF_MANY) + number(0) + number(5), False
    yield "large", frame_of(ZOO) + b"".join({**zoo_pieces(rng), "blob": text(rng.randbytes(200_000))}.values()), True
    for _ in range(3):
        yield "zoo", frame_of(ZOO) + b"".join(zoo_pieces(rng).values()), True
    for what, (field, piece) in DETOURS.items():
        yield what, frame_of(ZOO) + b"".join({**zoo_pieces(rng), field: piece}.values()), True
    for what, (field, piece) in FAULTS.items():
        yield what, frame_of(ZOO) + b"".join({**zoo_pieces(rng), field: piece}.values()), False


def named_cases(rng: Random) -> list[ZooRecord]:
    """Return each kind of value, and each kind of key with each kind of headers under null, empty and other values."""
    plain = [
        ZooRecord(what, b"k", value, (), DAYS_MS[index % len(DAYS_MS)], decodable)
        for index, (what, value, decodable) in enumerate(values(rng))
    ]
    body = frame_of(PIN) + pin_body(rng)
    crossed = [
        ZooRecord(f"{key_name}, {headers_name}, {kind}", key, value, headers, DAYS_MS[2], value != b"")
        for key_name, key in KEYS.items()
        for headers_name, headers in HEADERS.items()
        for kind, value in (("tombstone", None), ("empty value", b""), ("pin", body))
    ]
    return plain + crossed


# -- the stream --------------------------------------------------------------------------------------------------------


def random_cases(rng: Random) -> Iterator[ZooRecord]:
    """Yield records for ever: mostly whole events, mixed with everything else, with random keys and headers."""
    while True:
        what, value, decodable = rng.choice(list(values(rng)))
        if rng.random() < 0.6:
            what, value, decodable = rng.choice(_events(rng))
        elif value and rng.random() < 0.2:
            what, value, decodable = _mutated(rng, what, value)
        yield ZooRecord(
            what,
            rng.choice([*KEYS.values(), rng.randbytes(rng.randrange(1, 30))]),
            value,
            rng.choice([(), (), (), *HEADERS.values(), _random_headers(rng)]),
            rng.choice(DAYS_MS),
            decodable,
        )


def distinct_keys(records: Iterator[ZooRecord], keys: int) -> Iterator[ZooRecord]:
    """Give records one of a few keys by turns, for compacted topics, which refuse records without one."""
    for index, record in enumerate(records):
        yield replace(record, key=f"key {index % keys}".encode())


def _events(rng: Random) -> list[tuple[str, bytes | None, bool | None]]:
    return [
        ("pin", frame_of(PIN) + pin_body(rng), True),
        ("pin of a later schema", frame_of(PIN_LATER) + pin_body(rng, later=True), True),
        ("zoo", frame_of(ZOO) + b"".join(zoo_pieces(rng).values()), True),
    ]


def _mutated(rng: Random, what: str, value: bytes) -> tuple[str, bytes, None]:
    """Cut, flip or insert a byte somewhere; what that gives may still decode."""
    at = rng.randrange(len(value))
    kind = rng.choice(["cut", "flip", "insert"])
    if kind == "cut":
        return f"{what}, cut at {at}", value[:at], None
    if kind == "flip":
        return (
            f"{what}, flipped at {at}",
            value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :],
            None,
        )
    return f"{what}, a byte more at {at}", value[:at] + rng.randbytes(1) + value[at:], None


def _random_headers(rng: Random) -> Headers:
    return tuple(
        (rng.choice(["", "a", "trace", "ü"]), rng.choice([None, b"", rng.randbytes(rng.randrange(20))]))
        for _ in range(rng.randrange(6))
    )
