"""Log-ins with all that can be wrong with them, over three partitions: an attack, silence, late and broken ones."""

import itertools
import random

from monitor_kit import S, an_id
from small_archive import Rec

from headrace.schemas.event import Envelope
from headrace.schemas.events import Login

ENVELOPE = Envelope(service="web", host="h1", session_id=b"s" * 16)
RULES = """
[rule.failed]
type = "login"
measure = "ratio"
where = { success = false }
window = "20s"
hop = "5s"
grace = "3s"
above = 0.4
at_least = 5
message = "{percent} failed"

[rule.methods]
type = "login"
window = "10s"
grace = "1s"
group_by = ["method"]
above = 12
clear_for = "10s"

[rule.gone]
type = "login"
window = "10s"
hop = "5s"
drop = { from_at_least = 5, before = "30s" }
"""


def login(at_us: int, number: object, *, success: bool = True, method: str = "PASSWORD") -> bytes:
    """The value of a log-in, the same for the same arguments."""
    made = Login(user_id=1, method=method, success=success)  # type: ignore[arg-type] # any of its symbols
    return made.kafka_value(ENVELOPE, an_id(at_us, number), 1, at_us, None)


def logins(start_us: int, count: int, seconds: int, seed: int) -> list[Rec]:
    """The records in the order in which they came."""
    chosen = random.Random(seed)
    offsets = [itertools.count() for _ in range(3)]
    made: list[Rec] = []
    for at in sorted(chosen.randrange(seconds * S) for _ in range(count)):
        partition = chosen.randrange(3)
        if seconds * 0.8 * S < at < seconds * 0.9 * S:
            continue
        came = start_us + at
        happened = came - chosen.choice([0, 0, 0, 0, 2 * S, 30 * S])
        bad = seconds * 0.4 * S < at < seconds * 0.5 * S and chosen.random() < 0.7
        value = login(happened, (partition, at), success=not bad, method=chosen.choice(["PASSWORD", "SSO", "TOKEN"]))
        values = [value] * chosen.choice([1] * 9 + [2]) + [b"junk"] * (chosen.random() < 0.02)
        made.extend(Rec(partition, next(offsets[partition]), each, None, came // 1000) for each in values)
    return made
