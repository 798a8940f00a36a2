"""`python bench/lag.py`: what `headrace lag` and the page cost with 1,000 partitions of which 50 are behind.

Everything is real: one Kafka, one S3, an archiver that has archived all of it once. Time and memory are of whole
processes, memory with all that Python loads.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.local import Instance

HEADRACE = [sys.executable, "-c", "from headrace.cli.main import main; main()"]


def main() -> None:
    """Set up, measure, print."""
    parser = argparse.ArgumentParser(prog="bench/lag.py", description=__doc__)
    parser.add_argument("--topics", type=int, default=10)
    parser.add_argument("--partitions", type=int, default=100, help="of each topic (%(default)s)")
    parser.add_argument("--behind", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        instance = Instance(Path(folder) / "servers", env=os.environ)
        try:
            instance.up()
            env = {**os.environ, **instance.env()}
            topics = [f"t{number}" for number in range(given.topics)]
            _prepare(instance.kafka.bootstrap, topics, given.partitions, given.behind, env)
            _lag(env, given.rounds)
            _page(env, given.rounds)
        finally:
            instance.down(purge=True)


def _prepare(kafka: str, topics: list[str], partitions: int, behind: int, env: dict[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics]).values():
        future.result(60)
    places = [(topic, number) for topic in topics for number in range(partitions)]
    _write(kafka, places, 20)
    raw = [word for topic in topics for word in ("--raw", topic)]
    subprocess.run([*HEADRACE, "archive", *raw, "--until-idle"], env=env, check=True, capture_output=True)
    _write(kafka, places[:: max(1, len(places) // behind)][:behind], 20)
    print(f"{len(places):,} partitions of {len(topics)} topics, {behind} behind")


def _write(kafka: str, places: list[tuple[str, int]], count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka, "queue.buffering.max.messages": 1_000_000})
    for topic, number in places:
        for _ in range(count):
            producer.produce(topic, b"value", partition=number)
    producer.flush(120)


def _lag(env: dict[str, str], rounds: int) -> None:
    for arguments in (["lag"], ["lag", "--json"], ["lag", "--check"]):
        seconds, peak = [], 0
        for _ in range(rounds):
            begun = time.perf_counter()
            process = subprocess.Popen([*HEADRACE, *arguments], env=env, stdout=subprocess.DEVNULL)
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = 0
            seconds.append(time.perf_counter() - begun)
            peak = max(peak, used.ru_maxrss)
        print(f"headrace {' '.join(arguments)}: {statistics.median(seconds):.2f} s in the middle of {rounds}, "
              f"{max(seconds):.2f} s at most, {peak / 1024:.0f} MiB")  # fmt: skip


def _page(env: dict[str, str], rounds: int) -> None:
    command = [*HEADRACE, "dashboard", "--listen", "127.0.0.1:0", "--every", "2"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        url = "http://" + (process.stderr.readline().split("http://")[1].strip() if process.stderr else "")
        _fetch(f"{url}/status.json")  # the first look
        seconds, size = [], 0
        for _ in range(rounds):
            begun = time.perf_counter()
            size = sum(len(_fetch(url + path)) for path in ("/", "/page.css", "/chart.js", "/page.js", "/status.json"))
            seconds.append(time.perf_counter() - begun)
        print(f"page: {statistics.median(seconds) * 1000:.0f} ms to fetch all of it, {size / 1000:.0f} kB", flush=True)
        drawn = _drawn(url, rounds)
        if drawn:
            print(f"page: {statistics.median(drawn):.0f} ms in a browser from asking until it is drawn")
    finally:
        process.terminate()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        print(f"headrace dashboard: {used.ru_maxrss / 1024:.0f} MiB")


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own address
        body: bytes = answer.read()
    return body


def _drawn(url: str, rounds: int) -> list[float]:
    """Return milliseconds until a browser has drawn the page; nothing where there is no browser."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    try:
        from browser import browsing  # noqa: PLC0415 - the tests' browser, where test tools are installed
    except ImportError:
        return []
    found = []
    with browsing() as browser:
        browser.look(1180, 900)
        for _ in range(rounds):
            browser.open("about:blank")
            browser.open(url)
            browser.until("document.body && document.body.dataset.drawn")
            browser.until("performance.getEntriesByName('drawn').length")
            found.append(float(browser.ask("performance.getEntriesByName('drawn')[0].startTime")))
    return found


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    main()
