"""One lane of a chaos run: rounds, one after the other, each with a topic and an archiver that is broken and judged."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random

from chaos.archiver_process import ArchiverProcess, send, state_of
from chaos.journal_producer import JournalProducer
from chaos.oracle import Archive, ArchiveLog, InjectedGap, Verdict, judge
from chaos.plan import SESSION_TIMEOUT_S, WORKERS, Round, Step
from chaos.rig import Rig
from chaos.s3_proxy import S3Proxy
from chaos.tally import Tally

FLUSH_INTERVAL_S = "1.5"
# Bounds of waits for what must happen. They only have to be beyond what a busy machine takes.
SOON_S = 300.0
DRAINED_S = 900.0
# Bounds of waits for what may not happen: a failpoint that this worker does not come by.
HIT_S = 60.0
MORE_HITS_S = 75.0
WAITS_FOR_BROKER = 0.8
EXIT_SERVER = 3

NO_MEMFD = "import os\n\nif hasattr(os, 'memfd_create'):\n    del os.memfd_create\n"


class RoundFailed(Exception):
    """A round did not end as it must. The message says what and where the logs are."""


class Lane:
    """Runs rounds against the rig. `on_tmp_disk`: its archivers write temporary files, on the rig's small disk."""

    def __init__(
        self, rig: Rig, number: int, tally: Tally, abort: threading.Event, *, events_per_s: int, on_tmp_disk: bool
    ) -> None:
        self._rig = rig
        self._number = number
        self._tally = tally
        self.abort = abort
        self._events_per_s = events_per_s
        self._on_tmp_disk = on_tmp_disk
        self.proxy = S3Proxy(rig.instance.s3.listen.s3, lambda fault: tally.add("S3 faults", fault.name))
        self.doing = "nothing yet"

    def environment(self) -> dict[str, str]:
        """The environment of this lane's archivers: their S3 is the proxy."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "AWS_"))}
        env = {**plain, **self._rig.env, "AWS_ENDPOINT_URL_S3": self.proxy.endpoint}
        if self._on_tmp_disk and self._rig.tmp_disk is not None:
            # As on systems without memfd: then the decoder has a file in TMPDIR for each batch.
            site = self._rig.folder / "no-memfd"
            site.mkdir(exist_ok=True)
            (site / "sitecustomize.py").write_text(NO_MEMFD)
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), env.get("PYTHONPATH"))))
            env["TMPDIR"] = str(self._rig.tmp_disk.folder)
        return env

    def run(self, plan: Round, stop: threading.Event) -> Verdict:
        """Do a whole round and judge it. Raises RoundFailed."""
        name = f"chaos-{self._number}-{plan.number}"
        log = self._rig.folder / f"{name}.log"
        archive = Archive(self._rig.s3, self._rig.bucket, name)
        try:
            with ExitStack() as stack:
                topic_id = self._rig.create(name, plan.partitions)
                arguments = ["--topic", name, "--group", name, "--instance", name, "--workers", str(WORKERS)]
                arguments += ["--archive", f"s3://{self._rig.bucket}/{name}", "--flush-interval", FLUSH_INTERVAL_S]
                archiver = ArchiverProcess(arguments, self.environment(), log)
                stack.callback(archiver.close)
                producer = JournalProducer(
                    self._rig.kafka, name, topic_id, partitions=plan.partitions, events_per_s=self._events_per_s
                )
                stack.enter_context(producer)
                broken = BrokenRound(
                    self,
                    self._rig,
                    self._tally,
                    plan=plan,
                    topic=name,
                    topic_id=topic_id,
                    archiver=archiver,
                    producer=producer,
                    archive=archive,
                )
                verdict = broken.run(stop)
        except AssertionError as error:
            raise RoundFailed(f"lane {self._number}, round {plan.number}, {self.doing}: {error}") from error
        if not verdict.good or verdict.gaps_recorded != verdict.gaps_injected:
            raise RoundFailed(f"lane {self._number}, round {plan.number}: {verdict}; see {log}")
        return verdict


class BrokenRound:
    """One round while it runs. A step `kind` is done by the method of that name."""

    def __init__(
        self,
        lane: Lane,
        rig: Rig,
        tally: Tally,
        *,
        plan: Round,
        topic: str,
        topic_id: str,
        archiver: ArchiverProcess,
        producer: JournalProducer,
        archive: Archive,
    ) -> None:
        self._lane = lane
        self._rig = rig
        self._tally = tally
        self._plan = plan
        self._topic = topic
        self._topic_id = topic_id
        self._archiver = archiver
        self._producer = producer
        self._archive = archive
        self._rng = Random(topic)
        self._injected: list[InjectedGap] = []
        self._failpoints: list[str] = []  # at which the workers of the running supervisor die, again and again
        self._steps: dict[str, Callable[[Step], None]] = {
            "kill-at": self.kill_at,
            "kill": self.kill,
            "crash": self.crash,
            "kill-supervisor": self.kill_supervisor,
            "pause": self.pause,
            "pause-at": self.pause_at,
            "recreate": self.recreate,
            "overtake": self.overtake,
            "tmp-full": self.tmp_full,
        }

    def run(self, stop: threading.Event) -> Verdict:
        """Do the steps (those that are left when `stop` is set are left out), heal, wait for all, judge."""
        self._lane.proxy.begin(self._plan.s3)
        for at, step in enumerate(self._plan.steps):
            if stop.is_set():
                break
            self._lane.doing = f"step {at} {step}"
            self._steps[step.kind](step)
        self._lane.doing = "healing"
        self._lane.proxy.heal()
        self._producer.stop()
        self._up()
        self._wait(self._drained, "all acknowledged events to be archived", DRAINED_S)
        self._leave()
        self._clean_up()
        return judge(
            self._archive,
            self._topic,
            self._producer.journal,
            gave_up=self._producer.failed,
            injected=self._injected,
            kafka=self._rig.read(self._topic),
            topic_id=self._topic_id,
        )

    # -- steps -------------------------------------------------------------------------------------------------------

    def kill_at(self, step: Step) -> None:
        """Each worker dies at a named point of its own; they are started again, and die there again."""
        self._down(how=self._rng.randrange(3))
        self._up(failpoint=",".join(f"{point}:{hit}:{n}" for n, (point, hit) in enumerate(step.points)))
        self._failpoints = [point for point, _ in step.points]
        if self._may_come(lambda: self._archiver.killed_workers().total() >= 1, HIT_S):
            self._may_come(lambda: self._archiver.killed_workers().total() >= step.deaths, MORE_HITS_S)
        else:
            self._tally.note("failpoints not reached in time")

    def kill(self, step: Step) -> None:
        """Each worker dies: a while after it was started (`stopped`), or only when it has begun to read."""
        self._up()
        for pid in self._archiver.workers().values():
            if not step.stopped:
                self._may_come(lambda pid=pid: f"[{pid}] INFO {self._topic}" in self._archiver.said(), HIT_S)  # type: ignore[misc]
            self._sleep(step.seconds)
            if send(pid, signal.SIGKILL):
                self._wait(lambda pid=pid: state_of(pid) in ("", "Z", "X"), "a killed worker to be dead", SOON_S)  # type: ignore[misc]
                self._tally.add("kills", "worker at random")

    def crash(self, step: Step) -> None:
        """The machine dies: supervisor and workers at once."""
        self._up()
        self._sleep(step.seconds)
        self._tally.add("kills", "supervisor and workers at once", self._archiver.kill_all())

    def kill_supervisor(self, step: Step) -> None:
        """The supervisor dies, and another one starts while the first one's workers are still leaving."""
        self._up()
        self._sleep(step.seconds)
        if self._archiver.running:
            self._archiver.kill_supervisor()
            self._tally.add("kills", "supervisor alone")
        self._up()

    def pause(self, step: Step) -> None:
        """The workers are stopped past their session timeout, at a random moment, and wake."""
        self._up()
        pids = list(self._archiver.workers().values())
        self._hold([pid for pid in pids if send(pid, signal.SIGSTOP)], step.seconds, "at random")

    def pause_at(self, step: Step) -> None:
        """A worker is stopped past its session timeout between two named steps, such as upload and commit."""
        self._down(how=1)
        point, hit = step.points[step.worker]
        # A worker that is stopped goes on later, and so does its supervisor: the point comes only once in its life.
        self._up(failpoint=f"{point}:{hit}:{step.worker}:SIGSTOP")

        def stopped() -> bool:
            pid = self._archiver.workers().get(step.worker)
            return pid is not None and state_of(pid) == "T"

        if self._may_come(stopped, HIT_S):
            self._hold([self._archiver.workers()[step.worker]], step.seconds, f"at {point}")

    def _hold(self, pids: list[int], seconds: float, kind: str) -> None:
        try:
            self._sleep(seconds)
            past_their_session = [pid for pid in pids if seconds > SESSION_TIMEOUT_S and state_of(pid) == "T"]
        finally:
            gone_on = [pid for pid in pids if send(pid, signal.SIGCONT)]
        self._tally.add("pauses", kind, len(set(gone_on) & set(past_their_session)))

    def recreate(self, step: Step) -> None:
        """The topic is deleted and made again, with events in it that are in no archive yet."""
        self._settle()
        if step.stopped:
            self._leave()
        self._producer.rest()
        self._producer.burst(self._rng.randint(5, 60))
        low, high = self._positions(), self._producer.ends(self._topic_id)
        self._rig.delete(self._topic)
        new = self._rig.create(self._topic, self._plan.partitions)
        for p, at in low.items():
            end = at if step.stopped else max(at, high.get(p, 0))
            self._injected.append(InjectedGap(self._topic_id, p, at, end, None, "topic-recreated"))
        self._topic_id = new
        self._producer.go_on(new)
        self._tally.add("re-creations", "while it was stopped" if step.stopped else "while it ran")
        self._up()

    def overtake(self, step: Step) -> None:
        """Kafka deletes events that are in no archive yet."""
        self._settle()
        if step.stopped:
            self._leave()
            self._producer.rest()
            low = high = self._positions()
            paused: list[int] = []
        else:
            self._wait(self._no_orphans, "workers without a supervisor to leave", SOON_S)
            paused = self._archiver.stop_all()
            self._producer.rest()
            low = self._positions()
            # A request that was sent before may still be answered with these; no later one is sent.
            self._producer.burst(5)
            self._sleep(step.seconds)
            high = self._producer.ends(self._topic_id)
        try:
            self._producer.burst(self._rng.randint(20, 100))
            ends = self._producer.ends(self._topic_id)
            cut = {p: self._rng.randint(max(at, low[p]) + 1, ends[p]) for p, at in high.items()}
            self._rig.delete_records(self._topic, cut)
        finally:
            self._archiver.go_on(paused)
        for p, end in cut.items():
            self._injected.append(InjectedGap(self._topic_id, p, low[p], high[p], end, "retention"))
        self._producer.go_on()
        self._tally.add("retention overtakes", "while it was stopped" if step.stopped else "while it ran")
        self._up()

    def tmp_full(self, step: Step) -> None:
        """The disk for temporary files is full."""
        disk = self._rig.tmp_disk
        assert disk is not None
        self._up()
        before = self._archiver.said().count("No space left on device")
        with disk.full():
            hit = self._may_come(lambda: self._archiver.said().count("No space left on device") > before, 2 * HIT_S)
            self._sleep(step.seconds)
        if hit:
            self._tally.add("ENOSPC", "archiver's temporary files")

    # -- the archiver's life -----------------------------------------------------------------------------------------

    def _up(self, failpoint: str | None = None) -> None:
        """Have a supervisor with all its workers; a supervisor that could not reach its servers is started again."""
        self._archiver.wake()
        if self._failpoints:
            self._down(how=self._rng.randrange(3))

        def all_there() -> bool:
            if self._archiver.running and failpoint:
                return self._archiver.has_started() >= WORKERS  # one may be dead again already
            if self._archiver.running:
                return len(self._archiver.workers()) == WORKERS
            self._count_end()
            if self._rng.random() < WAITS_FOR_BROKER:
                self._rig.wait_for_broker()  # each start that finds none costs seconds of CPU and shows little
            self._archiver.start(failpoint)
            return False

        self._wait(all_there, "a supervisor with its workers", SOON_S)

    def _count_end(self) -> None:
        code = self._archiver.exit_code
        assert code in (None, 0, EXIT_SERVER, -signal.SIGKILL), f"headrace archive ended with {code}"
        if code == EXIT_SERVER:
            self._tally.note("archiver started again by hand, its servers being away")

    def _down(self, how: int) -> None:
        """End the running supervisor: by SIGTERM, by SIGKILL to it alone, or to all at once."""
        if self._archiver.running and how % 3 == 0:
            self._leave()
        elif self._archiver.running and how % 3 == 1:
            self._archiver.kill_supervisor()
            self._tally.add("kills", "supervisor alone")
        else:
            self._tally.add("kills", "supervisor and workers at once", self._archiver.kill_all())
        for worker, killed in self._archiver.killed_workers().items() if self._failpoints else ():
            self._tally.add("kills", f"at {self._failpoints[worker]}", killed)
        self._failpoints = []

    def _leave(self) -> None:
        """End the archiver in an orderly way, with all workers that its predecessors left."""
        self._archiver.wake()
        if self._archiver.running:
            code = self._archiver.leave(SOON_S)
            assert code in (0, EXIT_SERVER), f"headrace archive left with {code}"
        self._wait(self._no_orphans, "workers without a supervisor to leave", SOON_S)
        self._lane.proxy.settle()

    def _clean_up(self) -> None:
        """What died between upload and commit leaves files; a later assignment removes them."""
        if self._archive.unnamed(self._topic, self._log()):
            self._up()
            self._wait(lambda: not self._archive.unnamed(self._topic, self._log()), "no file left over", SOON_S)
            self._leave()

    # -- conditions --------------------------------------------------------------------------------------------------

    def _no_orphans(self) -> bool:
        self._archiver.wake()
        return not self._archiver.orphans()

    def _log(self) -> ArchiveLog:
        return self._archive.log(self._topic)

    def _positions(self) -> dict[int, int]:
        found = self._log().positions(self._topic_id, self._plan.partitions)
        assert found is not None
        return found

    def _settled(self) -> bool:
        """Whether the log has begun all partitions of the topic as it is now, and has all gaps so far."""
        log = self._log()
        recorded = all(any(gap.is_recorded_by(each) for each in log.gaps) for gap in self._injected)
        return recorded and log.positions(self._topic_id, self._plan.partitions) is not None

    def _settle(self) -> None:
        self._up()
        self._wait(self._settled, "the log to have all partitions and all gaps", SOON_S)

    def _drained(self) -> bool:
        if not self._archiver.running:
            self._up()
        at = self._log().positions(self._topic_id, self._plan.partitions)
        ends = self._producer.ends(self._topic_id)
        return at is not None and all(at[p] >= end for p, end in ends.items()) and self._settled()

    def _sleep(self, seconds: float) -> None:
        if self._lane.abort.wait(seconds):
            raise AssertionError("another lane failed")

    def _may_come(self, condition: Callable[[], bool], within_s: float) -> bool:
        until = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > until or not self._archiver.running:
                return condition()
            self._sleep(0.05)
        return True

    def _wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                log = self._log()
                orphans = [(pid, state_of(pid)) for pid in self._archiver.orphans()]
                ends = self._producer.ends(self._topic_id)
                nobodys = self._rig.nobodys(self._topic, self._topic, self._plan.partitions)
                state = f"partitions of the stable group that no member has: {nobodys}\n" if nobodys else ""
                state += f"orphans {orphans}\nlog {log.next}, {log.gaps}\nends {ends}\ngaps made {self._injected}"
                raise AssertionError(f"not within {timeout_s} s: {what}\n{state[:3000]}\n{self._archiver.tail()}")
            self._sleep(0.25)
