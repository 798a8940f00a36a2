"""The monitor: events a second per core beside a bare loop of the same engine, memory by keys, and backtest = live.

    python bench/monitor.py --events 1000000

One run makes the events, archives them, reads them live with and without rules (the engine's environment: `make
monitor-env`), and backtests them. Event times lie ahead of the clock, so that records alone close windows in both.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench_servers import running
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from engine_python import monitor_python

from headrace.archiver.s3 import S3Store
from headrace.monitor.backtest import backtest
from headrace.monitor.rules_file import read_rules
from headrace.schemas.event import Envelope
from headrace.schemas.events import Pin

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
PREFIX = "bench."
SECONDS = 1_800
S = 1_000_000
RULES = """
[rule.saves]
type = "pin"
measure = "ratio"
where = { action = "SAVE" }
window = "1m"
hop = "5s"
above = 0.4

[rule.by_action]
type = "pin"
group_by = ["action"]
window = "10s"
above = 1e6

[rule.rate]
type = "pin"
measure = "rate"
window = "1m"
hop = "5s"
above = 1e6
"""
BY_KEY = """
[rule.by_user]
type = "pin"
group_by = ["user_id"]
window = "10m"
above = 1e6
"""


def fill(kafka: str, topic: str, events: int, keys: int, start_us: int) -> None:
    """Send pins of `keys` users, evenly over SECONDS; every tenth minute most of them are saves."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(60)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20, "queue.buffering.max.messages": 200_000})
    envelope = Envelope(service="bench", host="h", session_id=b"s" * 16)
    kinds = [[Pin(user_id=u, pin_id=u, action=a) for u in range(keys)] for a in ("LIKE", "CLICK", "SHARE", "SAVE")]
    for n in range(events):
        at_us = start_us + n * SECONDS * S // events
        burst = (at_us - start_us) // (60 * S) % 10 == 9
        event = kinds[3 if burst and n % 3 else n % 4][n * 7919 % keys]
        value = event.kafka_value(envelope, n.to_bytes(16, "big"), n + 1, at_us, None)
        while True:
            try:
                producer.produce(topic, value, None, n % PARTITIONS, timestamp=at_us // 1000)
                break
            except BufferError:
                producer.poll(0.1)
        if n % 1_000 == 0:
            producer.poll(0)
    producer.flush(120)


def line_of(name: str, records: int, seconds: float, cpu_s: float, peak_mib: float) -> str:
    """Return one line of the table."""
    each = f"{records / cpu_s:>8,.0f} per CPU-second {cpu_s / records * 1e6:5.1f} us"
    return f"{name:<8} {records:>9,} records {records / seconds:>8,.0f}/s {each}  peak {peak_mib:,.0f} MiB"


class Bench(NamedTuple):
    """Where a run takes place, and over what."""

    kafka: str
    folder: Path
    events: int


def child(bench: Bench, mode: str, rules: str, until_us: int) -> dict[str, Any]:
    """Run one worker to the end of the events; return what it measured and said."""
    line = [monitor_python(), "-W", "ignore", str(ROOT / "bench" / "monitor_child.py"), mode, bench.kafka, PREFIX]
    line += [str(bench.folder / rules), str(bench.folder / mode), str(bench.events), str(until_us)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"the worker {mode} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not found.pop("finished"):
        raise SystemExit(
            f"the worker {mode} did not come to the end: {found['records']} records\n{done.stderr[-3000:]}"
        )
    print(line_of(mode, found["records"], found["seconds"], found["cpu_s"], found["peak_mib"]), flush=True)
    return found


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=100_000, help="distinct users (%(default)s)")
    arguments = parser.parse_args()
    events = arguments.events
    with running() as instance, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(instance.kafka.bootstrap, folder, events)
        (folder / "rules.toml").write_text(RULES)
        (folder / "by_key.toml").write_text(BY_KEY)
        start_us = (int(time.time()) // 600 * 600 + 1_200) * S  # ahead: closes with the records, never with the clock
        fill(bench.kafka, f"{PREFIX}pin", events, arguments.keys, start_us)
        until_us = start_us + (SECONDS - 60) * S
        bare = child(bench, "bare", "rules.toml", until_us)
        live = child(bench, "rules", "rules.toml", until_us)
        print(f"rules cost {live['cpu_s'] / bare['cpu_s']:.2f} times the bare loop's CPU", flush=True)
        keyed = child(bench, "by_key", "by_key.toml", start_us + 1_200 * S)
        print(f"{arguments.keys:,} keys: {keyed['peak_mib'] - live['peak_mib']:,.0f} MiB more than a few", flush=True)
        archive = [sys.executable, "-c", "from headrace.cli.main import main; main()", "archive", "--until-idle"]
        subprocess.run([*archive, "--topic", f"{PREFIX}pin"], check=True, capture_output=True, env=os.environ)
        compare(live, bench, start_us, until_us)


def compare(live: dict[str, Any], bench: Bench, start_us: int, until_us: int) -> None:
    """Backtest the archive of the same events; the answer must be the live run's, to the digit."""
    transitions, points = [], []

    def take(told: Any, more: Any) -> None:
        transitions.extend(told)
        points.extend(more)

    began, began_cpu = time.monotonic(), time.process_time()
    rules = read_rules(bench.folder / "rules.toml", topic_prefix=PREFIX)
    store = S3Store(os.environ["HEADRACE_ARCHIVE"])
    counts = backtest(store, rules, start_us, until_us, take, past_us=0)
    seconds, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(line_of("backtest", counts.records, seconds, cpu_s, peak), f" {SECONDS / seconds:,.0f} times real time")

    def key(each: Any) -> Any:
        return each["rule"], each["labels"].get("action", ""), each.get("window_end_us", each.get("end_us"))

    def plain(each: Any) -> dict[str, Any]:
        return json.loads(json.dumps({name: getattr(each, name) for name in each.__slots__}))  # type: ignore[no-any-return]

    end = {"points": "end_us", "transitions": "window_end_us"}
    for what, found in (("points", points), ("transitions", transitions)):
        own = sorted((plain(each) for each in found), key=key)
        other = sorted((each for each in live[what] if each[end[what]] <= until_us), key=key)
        same = own == other
        print(f"{what}: {len(own):,} in the backtest, {len(other):,} live: {'equal' if same else 'THEY DIFFER'}")
        if not same:
            raise SystemExit(1)
    if counts.records < bench.events * 0.95:
        raise SystemExit(f"only {counts.records} records were read")


if __name__ == "__main__":
    main()
