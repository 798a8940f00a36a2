"""The whole round, on real servers: events of a web app -> Kafka -> Parquet on S3 -> replay, and the proof of it.

`make demo` runs this; `make demo ARGS="--events 20000 --keep"` passes options. Exit codes: 0 every topic is exact,
1 something differs or failed, 130 interrupted.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from roundtrip import archiving, load, proof, show, stage
from roundtrip.screen import Screen

from headrace.local import Instance, LocalError

WORKERS = 2
SEED = 2026


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--events", type=int, default=120_000, metavar="N", help="how many pins to log (120000)")
    parser.add_argument("--keep", action="store_true", help="leave servers, app and archiver running at the end")
    arguments = parser.parse_args()
    if arguments.events < 1000:
        parser.error("--events must be at least 1000: with fewer the archiver has nothing to be killed over")
    return arguments


class Demo:
    """One run: its folder, its screen, and what has to be ended when it is over."""

    def __init__(self, screen: Screen, folder: Path, stack: ExitStack, pins: int) -> None:
        self.screen = screen
        self.folder = folder
        self.stack = stack
        self.pins = pins
        self.env: dict[str, str] = {}
        self.programs: list[stage.Program] = []
        self.app_url = ""

    def run(self) -> bool:
        """Go through all acts; return whether every topic came back exact."""
        screen = self.screen
        with screen.step("Start a real Kafka and a real S3 on this machine"):
            self.start_servers()
        with screen.step(f"Start a web app ({stage.APP_WORKERS} forked workers) and {WORKERS} archiver workers"):
            app, port = stage.start_app(self.env, self.folder)
            self.keep(app)
            self.app_url = f"http://127.0.0.1:{port}"
            archiver = stage.start_archiver(self.env, self.folder, load.TOPICS, WORKERS)
            self.keep(archiver)
            forked, archiving_ones = archiving.workers(app, stage.APP_WORKERS), archiving.workers(archiver, WORKERS)
            screen.say(f"app at {self.app_url}: gunicorn {app.pid}, workers {forked}")
            screen.say(f"headrace archive {archiver.pid}, workers {archiving_ones}")
            archiving.wait_until_reading(archiver, WORKERS)
        with screen.step("Drive HTTP load at the app, and kill -9 an archiver worker in the middle"):
            driven = self.drive(port, app, archiver)
        with screen.step("Wait until all of it is durable in S3: headrace lag"):
            archiving.wait_for_no_lag(screen, self.env, load.TOPICS, dict(driven.emitted))
        with screen.step("Look at the archive: object names, and plain SQL with DuckDB"):
            archived = self.look()
        with screen.step(
            "Replay every topic from S3 into a new topic: headrace replay TOPIC --into kafka:TOPIC_replayed"
        ):
            for topic in load.TOPICS:
                archiving.replay(screen, self.env, topic)
        with screen.step("Compare originals and replays, record by record, with an independent consumer"):
            verdicts = [self.judge(topic, driven, archived) for topic in load.TOPICS]
            screen.say("compared per partition and in order: key, value, headers, timestamp")
        screen.plain()
        for verdict in verdicts:
            screen.plain(verdict.line(), "bold green" if verdict.exact else "bold red")
        return all(verdict.exact for verdict in verdicts)

    def keep(self, program: stage.Program) -> None:
        """Remember to end a program."""
        self.programs.append(program)
        self.stack.callback(program.stop)

    def start_servers(self) -> None:
        """Bring up Kafka and S3, and create the topics."""
        instance = Instance(self.folder / "servers", env=os.environ)
        self.stack.callback(instance.down, purge=True)
        instance.up(progress=self.screen.say)
        self.env = {**os.environ, **instance.env()}
        os.environ.update(instance.env())  # s3fs reads it
        stage.make_topics(self.env["HEADRACE_KAFKA"], [*load.TOPICS, *(archiving.replayed(t) for t in load.TOPICS)])
        self.screen.say(f"topics {', '.join(load.TOPICS)}, with {stage.PARTITIONS} partitions each")

    def drive(self, port: int, app: stage.Program, archiver: stage.Program) -> load.Load:
        """Send the load; when half of it is through, kill a worker of the archiver."""
        driven = load.Load(port, load.plan(self.pins, SEED))
        self.stack.callback(driven.stop)
        driven.start()
        victim = archiving.Victim(archiver, WORKERS)
        with self.screen.moving() as moving:
            while not driven.done():
                app.check()
                victim.tend(driven.sent / driven.total)
                moving.update(archiving.load_lines(driven, victim))
                time.sleep(stage.POLL_S)
            moving.update(archiving.load_lines(driven, victim))
        victim.settle(self.screen)
        return driven

    def look(self) -> Mapping[str, proof.Archived]:
        """Show the tree and a query; count with SQL what was archived."""
        archive = self.env["HEADRACE_ARCHIVE"]
        for line in show.tree(archive):
            self.screen.say(line)
        connection = show.connect()
        today = datetime.now(UTC).date().isoformat()
        for columns, where in (
            ("topic, dt, count(*) as events, max(occurred_at) as newest", "topic=*/dt=*"),
            ("failure, count(*) as logins", f"topic=login/dt={today}"),
        ):
            query = f"select {columns}\nfrom {show.query_of(archive, where)}\ngroup by all order by all"
            self.screen.say("")
            for line in (*query.splitlines(), *str(connection.sql(query)).splitlines()):
                self.screen.say(line, "cyan" if line.startswith(("select", "from", "group")) else "")
        return proof.count_archived(connection, show.query_of(archive))

    def judge(self, topic: str, driven: load.Load, archived: Mapping[str, proof.Archived]) -> proof.Verdict:
        """Bring together the three counts of one topic."""
        kafka = self.env["HEADRACE_KAFKA"]
        original = proof.read_topic(kafka, topic)
        compared = proof.compare(original, proof.read_topic(kafka, archiving.replayed(topic)))
        counted = archived.get(topic, proof.Archived())
        return proof.Verdict(topic, driven.emitted[topic], counted, compared, driven.refused)


def farewell(screen: Screen, demo: Demo, kept: bool) -> None:
    """Say what to try next."""
    screen.plain(f"\nThat took {screen.elapsed_s():.0f} s. What to try next:", "bold")
    if not kept:
        screen.plain("  make demo ARGS=--keep          the same, and leave all of it running to look around")
        screen.plain("  headrace local up --detach     servers of your own (first: . .venv/bin/activate)")
        screen.plain("  README.md                      the first five minutes as app developer, data engineer, on-call")
        return
    servers = demo.folder / "servers"
    stop = demo.folder / "stop"
    pids = " ".join(str(program.pid) for program in demo.programs)
    headrace = stage.BIN / "headrace"
    stop.write_text(
        f"#!/bin/sh\nkill {pids}\nsleep 3\n'{headrace}' local down --purge --dir '{servers}'\nrm -r '{demo.folder}'\n"
    )
    screen.plain(f'  . {stage.BIN}/activate && eval "$(headrace local env --dir {servers})"')
    body = """'{"pins": [1, 2], "action": "SAVE"}'"""
    screen.plain(f"  curl -i -H 'Content-Type: application/json' -d {body} {demo.app_url}/users/7/pins")
    screen.plain("  headrace lag                                    how far the archive is behind")
    screen.plain("  headrace log pin                                the commits of a topic")
    screen.plain("  headrace replay login --into stdout | head -3   events as JSON lines")
    screen.plain("  headrace verify pin                             check every object and digest")
    screen.plain(f"All is still running; logs are in {demo.folder}. To stop and remove it:\n  sh {stop}", "bold")


def interrupted(_number: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, so that all is ended in order."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo and return its exit code."""
    arguments = parse()
    signal.signal(signal.SIGTERM, interrupted)
    screen = Screen(Console(), time.monotonic)
    folder = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    try:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            demo = Demo(screen, folder, stack, arguments.events)
            exact = demo.run()
            farewell(screen, demo, kept=arguments.keep)
            if arguments.keep:
                stack.pop_all()
    except KeyboardInterrupt:
        screen.plain("\ninterrupted; everything that the demo started was ended", "bold")
        return 130
    except (stage.Failed, LocalError, RuntimeError) as error:
        screen.plain(f"\nthe demo failed: {error}", "bold red")
        return 1
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
