"""The sample app under load, then an attack, an outage and a new exception: how soon is each told, and when resolved?

    python bench/monitor_incidents.py

The app of examples/ is driven in this process (its events go through the real producer to a real Kafka), a worker of
`headrace monitor run` with the ready rules and its defaults watches. What is compressed: the rules' memory of what was
before (30 s for five minutes; 20 s of learning for a day; a new error holds 20 s for five minutes), and the rhythm of
the day (in four minutes). Exits with 1 when something is told too early, too late or not at all.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_servers import running
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from engine_python import monitor_python

from headrace.monitor.rules_file import READY

ROOT = Path(__file__).parents[1]
CALM_S, INCIDENT_S, AFTER_S = 120.0, 30.0, 120.0
TOLD_S_MAX = 15.0
RULES = ("failed_logins", "feed_loads", "new_error")


class Worker:
    """`headrace monitor run --print`, and when each line of it came."""

    def __init__(self, kafka: str, rules: Path, folder: Path) -> None:
        line = [monitor_python(), "-W", "ignore", "-c", "from headrace.cli.main import main; main()", "monitor", "run"]
        env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
        env.pop("HEADRACE_ARCHIVE", None)
        line += [str(rules), "--kafka", kafka, "--print", "--state", str(folder / "state")]
        self.process = subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.told: list[tuple[float, dict[str, Any]]] = []
        self.reading = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            found = json.loads(line)
            self.reading |= found["kind"] == "point"
            if found["kind"] == "alert" and found["state"] != "still_firing":
                self.told.append((time.time(), found))


class Load:
    """Requests at the app at a steady pace, each kind on a thread of its own; a rate may change while it runs."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._ended = threading.Event()
        self.first: dict[str, float] = {}

    def drive(self, name: str, rate: Callable[[], float], request: Callable[[Any, int], object]) -> None:
        """Make `rate()` requests a second until the end."""

        def run() -> None:
            client = self._app.test_client()
            number, due = 0, time.monotonic()
            while not self._ended.is_set():
                each = rate()
                if each <= 0:
                    self.first.setdefault(name, time.time())
                    due = time.monotonic()
                    self._ended.wait(0.02)
                    continue
                due = max(due + 1 / each, time.monotonic() - 0.5)
                self._ended.wait(max(0.0, due - time.monotonic()))
                request(client, number)
                number += 1

        threading.Thread(target=run, daemon=True).start()

    def end(self) -> None:
        """Make no more requests."""
        self._ended.set()


def main() -> None:
    """Run it, print when each was told, and judge."""
    with running() as instance, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka = instance.kafka.bootstrap
        admin = AdminClient({"bootstrap.servers": kafka})
        topics = ("pin", "follow", "login", "feed_load", "error")
        for made in admin.create_topics([NewTopic(topic, 2, 1) for topic in topics]).values():
            made.result(60)
        text = READY.read_text(encoding="utf-8").replace('before = "5m"', 'before = "30s"')
        text = text.replace('hold = "5m" }', 'hold = "20s" }\nlearn = "20s"')
        (folder / "rules.toml").write_text(text)
        os.environ["HEADRACE_KAFKA"] = kafka
        sys.path.insert(0, str(ROOT / "examples"))
        from app import app, log  # noqa: PLC0415 - it opens its event log, at the address above

        worker, load = Worker(kafka, folder / "rules.toml", folder), Load(app)
        try:
            wrong = _scene(worker, load)
        finally:
            load.end()
            worker.process.terminate()
            worker.process.wait(60)
            log.close()
    raise SystemExit(1 if wrong else 0)


def _scene(worker: Worker, load: Load) -> bool:
    began = time.monotonic()
    bad = threading.Event()

    def rhythm() -> float:
        return 1.0 - 0.4 * math.cos(2 * math.pi * (time.monotonic() - began) / 240)

    def login(client: Any, number: int) -> None:
        user = 1 + number % 1_000
        client.post("/login", json={"user": user, "password": f"open-{user}" if number % 10 else "no"})

    def attack(client: Any, number: int) -> None:
        load.first.setdefault("failed_logins", time.time())
        client.post("/login", json={"user": 1 + number % 1_000, "password": "guess"})

    def divide(client: Any, _number: int) -> None:
        load.first.setdefault("new_error", time.time())
        client.get("/users/99/feed")

    load.drive("login", lambda: 10 * rhythm(), login)
    load.drive("pins", lambda: 3 * rhythm(), lambda c, n: c.post("/users/7/pins", json={"pins": [n], "action": "SAVE"}))
    load.drive(
        "known", lambda: 0.5 * rhythm(), lambda c, _n: c.post("/users/7/pins", json={"pins": [0], "action": "SAVE"})
    )
    load.drive(
        "feed_loads", lambda: 0 if bad.is_set() else 15 * rhythm(), lambda c, n: c.get(f"/users/{1 + n % 90}/feed")
    )
    _wait(lambda: worker.reading, 120)
    time.sleep(CALM_S)
    early = list(worker.told)
    print(f"calm for {CALM_S:.0f} s: {len(early)} alerts", flush=True)
    load.first.clear()
    bad.set()
    # Rates are asked before each request: these threads wait, so that nothing of them comes before or after.
    load.drive("", lambda: 50 if bad.is_set() else 0, attack)
    load.drive("", lambda: 2 if bad.is_set() else 0, divide)
    time.sleep(INCIDENT_S)
    bad.clear()
    over = time.time()
    _wait(
        lambda: len({e["rule"] for _, e in worker.told if e["state"] == "resolved"} & set(RULES)) == len(RULES), AFTER_S
    )
    wrong = bool(early)
    for rule in RULES:
        fired = [at for at, each in worker.told if each["rule"] == rule and each["state"] == "firing"]
        resolved = [at for at, each in worker.told if each["rule"] == rule and each["state"] == "resolved"]
        after = fired[0] - load.first[rule] if fired else math.inf
        ended = resolved[-1] - over if resolved else math.inf
        wrong |= len(fired) != 1 or not 0 < after <= TOLD_S_MAX or not resolved
        print(
            f"{rule:<14} told {after:5.1f} s after its first event, resolved {ended:5.1f} s after its end", flush=True
        )
    return wrong


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
