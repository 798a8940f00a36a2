"""Generated classes beside fastavro, in one run: `python bench/encoding.py`. No servers are needed.

Three events: a pin, an error with a stack of 2 kB, and a basket with two arrays and two maps. Each is made from its
values and encoded with its envelope, as emit() does it; fastavro gets a dict of the same values, without checks and
with its own validation before. Rounds are interleaved (each does every variant once, in turn), and what is printed is
the median of the ratios within rounds, with the interval that holds the middle 90% of them.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import fastavro.validation

from headrace.schemas import Error, Pin
from headrace.schemas.catalog import builtin_folder
from headrace.schemas.event import Envelope, Event
from headrace.schemas.folder import read_folder
from headrace.schemas.frame import MARKER
from headrace.schemas.generate import generate

ENVELOPE = Envelope(service="web", host="web-1", session_id=bytes(range(16)))
EVENT_ID = bytes(range(16, 32))
MICROS = 1_764_000_000_000_000
STACK = "".join(
    f'  File "/srv/app/shop/{n}.py", line {n}, in handle\n    return self.next(request)\n' for n in range(25)
)
PIN = {"user_id": 7_654_321, "pin_id": 123_456_789, "action": "SAVE"}
ERROR = {
    "level": "ERROR", "message": "no cover for 17", "exception_type": "shop.PaymentError", "stack": STACK[:2048],
    "fingerprint": "0123456789abcdef", "logger": "shop.checkout", "path": "/orders", "user_id": 7_654_321,
}  # fmt: skip
BASKET = {
    "user_id": 7_654_321,
    "item_ids": [1_000_003 * n for n in range(1, 21)],
    "tags": [f"tag-{n}" for n in range(10)],
    "prices": {f"item-{n}": n * 1.25 for n in range(10)},
    "labels": {f"key-{n}": f"value-{n}" for n in range(10)},
}
BASKET_FIELDS = [
    {"name": "user_id", "type": "long"},
    {"name": "item_ids", "type": {"type": "array", "items": "long"}, "default": []},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "prices", "type": {"type": "map", "values": "double"}, "default": {}},
    {"name": "labels", "type": {"type": "map", "values": "string"}, "default": {}},
]
FASTAVRO, VALIDATED, GENERATED = "fastavro", "fastavro, validated", "generated class"
Values = dict[str, Any]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench/encoding.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=61, help="interleaved rounds (%(default)s)")
    parser.add_argument("--events", type=int, default=2_000, help="events in each (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name, cls, values in (("pin", Pin, PIN), ("error, 2 kB stack", Error, ERROR), ("basket", basket(), BASKET)):
        found[name] = compare(variants(cls, values), arguments.rounds, arguments.events)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, result in found.items():
        print(f"{name}: {result['bytes']} bytes")
        for variant, (low, middle, high) in result["ratios"].items():
            us = result["us"][variant]
            print(f"  {variant:20} {us:6.2f} us    {middle:5.2f} of fastavro  [{low:.2f} to {high:.2f}]")
    return 0


def basket() -> type[Event]:
    """Make the class of a type with arrays and maps, as `headrace schema generate` would."""
    envelope = json.loads((builtin_folder() / "pin.avsc").read_text())["fields"][:7]
    schema = {"type": "record", "name": "Basket", "namespace": "bench", "key": "user_id"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "basket.avsc"
        file.write_text(json.dumps({**schema, "fields": [*envelope, *BASKET_FIELDS]}))
        module = types.ModuleType("basket_events")
        exec(generate(read_folder(Path(folder))), vars(module))  # noqa: S102 - what was generated the line before
    made: type[Event] = module.Basket
    return made


def variants(cls: type[Event], values: Values) -> dict[str, Callable[[], bytes]]:
    """Return the ways to make an event's bytes, after checking that they give the same ones."""
    schema: Any = fastavro.parse_schema(json.loads(cls.SCHEMA))
    head = MARKER + cls.FINGERPRINT

    def fields() -> Values:
        return {
            "event_id": EVENT_ID, "occurred_at": MICROS, "service": "web", "host": "web-1",
            "session_id": ENVELOPE.session_id, "seq": 123_456, "trace_id": None, **values,
        }  # fmt: skip

    def with_fastavro() -> bytes:
        out = io.BytesIO()
        out.write(head)
        fastavro.schemaless_writer(out, schema, fields())
        return out.getvalue()

    def validated() -> bytes:
        out, given = io.BytesIO(), fields()
        fastavro.validation.validate(given, schema, strict=True)
        out.write(head)
        fastavro.schemaless_writer(out, schema, given)
        return out.getvalue()

    def generated() -> bytes:
        return cls(**values).kafka_value(ENVELOPE, EVENT_ID, 123_456, MICROS, None)

    # fastavro's strict validation wants every field: those with a default are given.
    values = {**json_defaults(cls), **values}
    ways = {FASTAVRO: with_fastavro, VALIDATED: validated, GENERATED: generated}
    if len({way() for way in ways.values()}) != 1:
        raise RuntimeError(f"{cls.TYPE}: the variants do not give the same bytes")
    return ways


def json_defaults(cls: type[Event]) -> Values:
    """Return the defaults of a class's own fields."""
    return {
        f["name"]: f["default"] for f in json.loads(cls.SCHEMA)["fields"] if "default" in f and f["name"] in cls.FIELDS
    }


def compare(ways: dict[str, Callable[[], bytes]], rounds: int, events: int) -> dict[str, Any]:
    """Time each way in interleaved rounds of CPU time; ratios are to fastavro in the same round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for number in range(rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            way = ways[name]
            begun = time.process_time()
            for _ in range(events):
                way()
            taken[name].append((time.process_time() - begun) / events * 1e6)
    ratios = {}
    for name in ways:
        within = sorted(own / base for own, base in zip(taken[name], taken[FASTAVRO], strict=True))
        edge = len(within) // 20
        ratios[name] = (within[edge], statistics.median(within), within[-1 - edge])
    us = {name: statistics.median(times) for name, times in taken.items()}
    return {"bytes": len(ways[GENERATED]()), "us": us, "ratios": ratios}


if __name__ == "__main__":
    sys.exit(main())
