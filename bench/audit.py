"""`headrace verify --audit` over many archived events: what it costs, and that memory does not grow with them.

    python bench/audit.py --events 1000000

Real Kafka and S3, the real archiver, sessions as an app of many processes has them, some numbers left out. The figures
are CPU seconds and peak memory of the command as a process of its own; a run over few events tells what starting costs.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

from bench_servers import running
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.producer.auditing import Account, audit_event
from headrace.producer.ledger import Lost
from headrace.schemas import Pin
from headrace.schemas.catalog import AUDIT_TOPIC
from headrace.schemas.event import Envelope

SESSIONS, PARTITIONS, FEW, LOST_EVERY = 50, 4, 1000, 10_000
MEASURED = """
import json, resource, sys
from headrace.cli.main import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}), file=sys.stderr)
"""


def main() -> int:
    """Fill, archive, audit; print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="pin events to archive (%(default)s)")
    events = parser.parse_args().events
    with running() as instance:
        fill(instance.kafka.bootstrap, {"bench-few": FEW, "bench-pin": events})
        for topic in ("bench-few", "bench-pin", AUDIT_TOPIC):
            run("archive", "--topic", topic, "--until-idle", "--group", f"bench-{topic}")
        few, many = audited("bench-few", FEW), audited("bench-pin", events)
    cpu = many["cpu"] - few["cpu"]
    print(json.dumps({"events": events, "starting": few, "audit": many, "cpu_us_an_event": cpu * 1e6 / events}))
    return 0


def audited(topic: str, events: int) -> dict[str, float]:
    """Run the audit, check what it says, and return seconds, CPU seconds and peak memory in MB."""
    begun = time.perf_counter()
    done = run("verify", topic, "--audit", "--json")
    seconds = time.perf_counter() - begun
    report = json.loads(done.stdout)
    totals = report["totals"]
    if totals["archived"] + sum(totals["dropped"].values()) != events or not report["ok"]:
        raise RuntimeError(f"the audit does not add up, so that its figures mean nothing: {totals}")
    return {"seconds": seconds, **json.loads(done.stderr.splitlines()[-1])}


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run headrace as a process of its own."""
    return subprocess.run([sys.executable, "-c", MEASURED, *arguments], check=True, capture_output=True, text=True)


def fill(kafka: str, topics: dict[str, int]) -> None:
    """Make topics of events by many sessions, and the sessions' accounts. Each LOST_EVERY-th number never arrives."""
    admin = AdminClient({"bootstrap.servers": kafka})
    names = [*topics, AUDIT_TOPIC]
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "compression.type": "lz4"})
    for topic, events in topics.items():
        envelopes = [Envelope(service="web", host="web-1", session_id=os.urandom(16)) for _ in range(SESSIONS)]
        for number in range(events):
            seq, envelope = number // SESSIONS + 1, envelopes[number % SESSIONS]
            if seq % LOST_EVERY:
                event = Pin(user_id=number % 99_991, pin_id=number, action="SAVE")
                value = event.kafka_value(envelope, os.urandom(16), seq, time.time_ns() // 1000, None)
                send(producer, topic, b"%d" % (number % 99_991), value)
        for index, envelope in enumerate(envelopes):
            account_of(producer, envelope, topic, len(range(index, events, SESSIONS)))
    producer.flush(120)


def account_of(producer: Producer, envelope: Envelope, topic: str, last: int) -> None:
    """Send a session's last account."""
    lost = tuple(Lost(seq, seq, "full") for seq in range(LOST_EVERY, last + 1, LOST_EVERY))
    dropped = {"full": len(lost)} if lost else {}
    account = Account(last, last - len(lost), last - len(lost), 0, dropped, lost)
    event = audit_event(
        envelope.session_id,
        topic,
        account,
        reporter="OWN",
        closed=True,
        durability="DISK",
        since_us=int(datetime.now(UTC).timestamp() * 1e6),
        first_seq=1,
        elsewhere={},
        seconds=float("inf"),
    )
    value = event.kafka_value(envelope, os.urandom(16), 1, time.time_ns() // 1000, None)
    send(producer, AUDIT_TOPIC, envelope.session_id, value)


def send(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    """Produce, waiting for room."""
    while True:
        try:
            producer.produce(topic, value=value, key=key)
            return
        except BufferError:
            producer.poll(0.1)


if __name__ == "__main__":
    sys.exit(main())
