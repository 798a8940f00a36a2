"""Distinct values by HyperLogLog: run where the library is, in the engine's environment."""

import json
import subprocess

from monitor_python import environment, monitor_python

SCENE = """
import json, sys
sys.path.insert(0, "tests")
from monitor_kit import T0, S, Watched, event, rule
from headrace.monitor.evaluator import Evaluator
from headrace.monitor.kept_state import RuleKeeper
from headrace.monitor.partial import Partial

watched = Watched(rule(measure="distinct", field="user_id", window="20s", hop="10s", above=1e9), partitions=2)
for partition in range(2):
    for hop in range(3):
        users = [(hop * 20_000 + n) % 50_000 for n in range(30_000)]
        watched.feed([event(T0 + hop * 10 * S + n, (partition, n), user_id=u) for n, u in enumerate(users)], partition)
        watched.take()
kept = {}
class Pieces:
    get_bytes = staticmethod(kept.get)
    set_bytes = staticmethod(kept.__setitem__)
    delete = staticmethod(kept.__delitem__)
RuleKeeper(watched.evaluator).save(Pieces)
again = Evaluator(watched.rule)
RuleKeeper(again).load(Pieces)
again.idle({0: T0 + 60 * S, 1: T0 + 60 * S}, 2)
later = [point.value for point in again.close().points]
said = len(watched.points)
watched.until(T0 + 60 * S)
print(json.dumps({"values": watched.values(), "later": later, "said": said, "largest": max(map(len, kept.values()))}))
"""


def test_distinct_values_are_counted_over_hops_partitions_and_restarts() -> None:
    """30,000 users of a hop, 50,000 of two that overlap: within 6 %, the same in both partitions counted once, and the
    sketches that were kept give the same number again."""
    done = subprocess.run(
        [monitor_python(), "-W", "ignore", "-c", SCENE], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found["values"]) == 4
    # The first hop with the next: users 0 to 50,000; the second with the third the same number of others.
    for value, expected in zip(found["values"], [50_000, 50_000, 30_000, 0], strict=True):
        assert abs(value - expected) <= 0.06 * expected
    assert found["later"] == found["values"][found["said"] :]
    assert found["largest"] < 900_000
