"""One app process under a steady load: it emits so many events a second, and tells each second how that went.

A line of JSON a second: microseconds of emit() (p50, p99, p99.9, max), memory, what waits. It ends when told to (a line
on stdin), after everything is delivered.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from headrace.producer import EventLog
from headrace.producer.spool.limits import measure
from headrace.schemas import Pin

TICK_S = 0.004


def main() -> None:
    """Emit until a line comes on stdin."""
    kafka, spool, rate, worker = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    log = EventLog(service="web", kafka=kafka, spool=spool)
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    clock, begun, number, taken = time.perf_counter_ns, time.monotonic(), 0, list[int]()
    second = 0
    while not stop.is_set():
        elapsed = time.monotonic() - begun
        # What a late tick has missed is emitted at once: the load does not get lighter when the machine is busy.
        for _ in range(min(int(elapsed * rate) - number, rate)):
            event = Pin(user_id=worker * 1000 + number % 100, pin_id=number, action="SAVE")
            before = clock()
            if not log.emit(event):
                raise RuntimeError(f"emit() refused an event: {log.counts()}")
            taken.append(clock() - before)
            number += 1
        if int(elapsed) > second and taken:
            second = int(elapsed)
            tell(second, taken, log, spool)
            taken = []
        time.sleep(TICK_S)
    if not log.flush(900):
        raise RuntimeError(f"not all was delivered: {log.counts()}")
    counts = log.counts()
    log.close(10)
    print(json.dumps({"emitted": number, "acked": counts.acked, "dropped": counts.dropped}), flush=True)


def tell(second: int, taken: list[int], log: EventLog, spool: Path) -> None:
    """Print the last second's figures."""
    taken.sort()
    counts, status = log.counts(), _status()
    line: dict[str, Any] = {f"p{share}": taken[int(len(taken) * share / 100)] / 1000 for share in (50, 99, 99.9)}
    line |= {
        "second": second, "wall": time.time(), "emits": len(taken), "max": taken[-1] / 1000,
        "private_kb": status["RssAnon"], "mapped_kb": status["RssFile"] + status["RssShmem"],
        "queued": counts.queued, "acked": counts.acked, "spool_bytes": measure(spool).spool_bytes,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


def _status() -> dict[str, int]:
    """Return this process's memory by kind, in KiB: private pages, and pages of mapped files."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "Rss" in name}


if __name__ == "__main__":
    main()
