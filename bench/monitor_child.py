"""One worker in the environment of the stream engine, for bench/monitor.py: bare, or with rules. Prints JSON.

`bare` reads and decodes each record through the same engine with the same settings, and does nothing with it.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headrace.monitor.decoding import EventDecoder
from headrace.monitor.live_run import LiveRun, LiveSettings, begin, partitions_of
from headrace.monitor.quix_app import EngineApplication
from headrace.monitor.rules_file import read_rules
from headrace.monitor.transition import Transition, WindowPoint
from headrace.schemas.catalog import builtin

STALLED_S = 120.0


class Watch:
    """Counts records; notes time, CPU and memory from the first to the last, and when all is done ends the process."""

    def __init__(self, records: int) -> None:
        self._expected = records
        self.records = 0
        self.began = self.began_cpu = 0.0
        self.done: dict[str, Any] = {}

    def record(self, *_record: object) -> None:
        """Take a record."""
        self.count("", 1)

    def count(self, _topic: str, count: int) -> None:
        """Take that records were read."""
        if self.records == 0:
            self.began, self.began_cpu = time.monotonic(), time.process_time()
        self.records += count
        if self.records >= self._expected and not self.done:
            self.done = {
                "records": self.records,
                "seconds": time.monotonic() - self.began,
                "cpu_s": time.process_time() - self.began_cpu,
            }


class Said:
    """Keeps what the rules say."""

    def __init__(self) -> None:
        self.transitions: list[dict[str, Any]] = []
        self.points: list[dict[str, Any]] = []
        self.last: dict[str, int] = {}

    def send(self, transitions: Sequence[Transition]) -> None:
        """See Sink."""
        self.transitions += [asdict(each) for each in transitions]

    def on_points(self, points: Sequence[WindowPoint]) -> None:
        """See OnPoints."""
        self.points += [asdict(each) for each in points]
        for each in points:
            self.last[each.rule] = max(self.last.get(each.rule, 0), each.end_us)

    def close(self) -> None:
        """See Sink."""


def main() -> None:
    """Run the mode that the arguments name."""
    mode, kafka, prefix, rules_path, folder, count, until_us = sys.argv[1:]
    rules = read_rules(Path(rules_path), topic_prefix=prefix)
    connection = {"bootstrap.servers": kafka}
    watch, said = Watch(int(count)), Said()
    group = f"{prefix}{mode}"
    stop: Any
    run: Any
    if mode == "bare":
        topics = sorted({rule.topic for rule in rules})
        begin(connection, group, partitions_of(connection, topics)[0], from_start=True)
        app = EngineApplication(
            connection,
            group,
            Path(folder),
            commit_interval_s=0.5,
            at_checkpoint=lambda: None,
            moved=lambda _places: None,
        )
        decoder = EventDecoder(builtin())

        def take(_topic: str, _partition: int, value: bytes | None, _timestamp: int) -> None:
            decoder.decode(value or b"")
            watch.record()

        for topic in topics:
            app.records(topic, take)
        run, stop = lambda: app.run(collect=False), app.stop
    else:
        settings = LiveSettings(connection, group, Path(folder), f"{group}.cells", from_start=True)
        live = LiveRun(
            rules,
            builtin(),
            settings,
            sink=said,
            on_points=said.on_points,
            on_records=watch.count,
            now_us=lambda: time.time_ns() // 1000,
        )
        run, stop = live.run, live.stop

    def finished() -> bool:
        return bool(watch.done) and (
            mode == "bare" or (len(said.last) == len(rules) and min(said.last.values()) >= int(until_us))
        )

    def end() -> None:
        deadline = time.monotonic() + STALLED_S
        last = -1
        while not finished() and time.monotonic() < deadline:
            if watch.records != last:
                last, deadline = watch.records, time.monotonic() + STALLED_S
            time.sleep(0.05)
        stop()

    threading.Thread(target=end, daemon=True).start()
    run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = watch.done | {"peak_mib": peak / 1024, "finished": finished(), "pid": os.getpid()}
    print(json.dumps(found | {"transitions": said.transitions, "points": said.points}))


if __name__ == "__main__":
    main()
