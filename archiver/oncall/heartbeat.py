"""Heartbeats: what a worker says of itself in the metadata of its Kafka offset commits.

So the lag verb learns it from Kafka alone, without a port on the workers. The metadata is a string of each partition's
committed offset: Kafka takes 4,095 bytes of it, but refuses a whole commit beyond 1 MB, so a partition gets at most
METADATA_BYTES_MAX and what is said of the whole worker stands on its lowest partition of a topic only. Pure: text in,
text out. Reading never raises: what is not ours, or of a later version, is no heartbeat.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

METADATA_BYTES_MAX = 256
WORKER_CHARS_MAX = 48
TROUBLE_CHARS_MAX = 90
SILENT_S = 60.0
"""A worker whose last heartbeat is older is gone: six intervals."""
_VERSION = 1
_KINDS = {"w": str, "t": int, "o": int, "r": int, "e": str, "s": int}


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One partition's heartbeat.

    worker: `host:pid:number` of the process that holds the partition, cut from the left where it is too long.
    at_ms: Unix milliseconds by that host's clock. taken: all records before this offset were fetched and decoded;
    what lies between the committed offset and it is held in memory. rate: offsets of this partition a second that
    became durable in the last minutes, -1 when it is too early to tell. trouble: what kept the worker from committing,
    and since when; empty when nothing does, and on all partitions but the worker's lowest one.
    """

    worker: str
    at_ms: int
    taken: int
    rate: int = -1
    trouble: str = ""
    trouble_since_ms: int = 0

    def encode(self) -> str:
        """Return the metadata text: ASCII, at most METADATA_BYTES_MAX bytes."""
        value: dict[str, Any] = {"v": _VERSION, "w": _plain(self.worker)[-WORKER_CHARS_MAX:], "t": self.at_ms}
        value |= {"o": self.taken, "r": self.rate}
        if self.trouble:
            value |= {"e": _plain(self.trouble)[:TROUBLE_CHARS_MAX], "s": self.trouble_since_ms}
        return json.dumps(value, separators=(",", ":"))


def gist(trouble: str) -> str:
    """Return what an error says went wrong, without where: `writing s3://... at http://...: ` would fill the room."""
    return re.sub(r"\A.* at https?://\S+: ", "", trouble, flags=re.DOTALL)


def decode(metadata: str | None) -> Heartbeat | None:
    """Return the heartbeat in an offset commit's metadata, or None when there is none that this version reads."""
    try:
        value = json.loads(metadata or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("v") != _VERSION:
        return None
    known: dict[str, Any] = {"r": -1, "e": "", "s": 0, **value}
    if not all(isinstance(known.get(name), kind) for name, kind in _KINDS.items()):
        return None
    return Heartbeat(_plain(known["w"]), known["t"], known["o"], known["r"], _plain(known["e"]), known["s"])


def _plain(text: str) -> str:
    """Keep what can stand in a terminal and in one byte of JSON: printable ASCII without quotes and backslashes."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)
