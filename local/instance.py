"""One local set-up in one folder: a Kafka and an S3 server that are started, found again, stopped and removed together.

Everything about an instance lies in its folder, so several run side by side, and any later process can take over from
one that was killed: `up` keeps what answers, ends what is half-started, and starts what is missing. The folder:

    state.json   ports and credentials        run/     pid files        lock     held while up or down work
    kafka/ s3/   settings and data            logs/    what the servers say
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from . import jars, java, localstack, lock, seaweed
from .errors import LocalError
from .kafka import STOP_GRACE_S, KafkaServer
from .places import default_cache
from .seaweed import S3Server
from .state import FILE as STATE_FILE
from .state import State
from .status import ServerStatus, Status

Progress = Callable[[str], None]

_START_TIMEOUT_S = 180.0  # it takes 5 s; a machine full of other work needs more
_CHECK_TIMEOUT_S = 3.0
# Before a server that has a process is taken for broken and ended.
_PATIENT_S = 15.0
_POLL_S = 0.05
_PORT_TRIES = 3
_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_OURS = frozenset({STATE_FILE, "state.new", "lock", "kafka", "s3", "run", "logs"})


class Instance:
    """The Kafka and the S3 server in `folder`.

    `env` is the caller's environment or the part of it to use: KAFKA_HOME, JAVA_HOME, XDG_CACHE_HOME. `kafka_home` and
    `java_home` name programs to use instead of the fetched ones; `maven_url` another Maven repository to fetch from;
    `cache` the folder for fetched files; `java_options` are for the broker's Java; `s3_kind` one of localstack.KINDS,
    None: what the instance has. Every method raises LocalError with advice when it can't do its work.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        env: Mapping[str, str] | None = None,
        kafka_home: Path | None = None,
        java_home: Path | None = None,
        maven_url: str | None = None,
        cache: Path | None = None,
        rng: random.Random | None = None,
        java_options: Sequence[str] = (),
        s3_kind: str | None = None,
    ) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self._env = dict(env or {})
        self._kafka_home = kafka_home or (Path(self._env["KAFKA_HOME"]) if self._env.get("KAFKA_HOME") else None)
        self._java_home = java_home
        self._maven_url = maven_url
        self._cache = cache or default_cache(self._env)
        self._rng = rng or random.SystemRandom()
        self._java_options = tuple(java_options)
        self._s3_kind = s3_kind

    # What there is.

    def _state(self) -> State:
        state = State.load(self.folder)
        if state is None:
            raise LocalError(f"no local servers in {self.folder}. Start them with: headrace local up --detach")
        return state

    @property
    def kafka(self) -> KafkaServer:
        """The broker as the folder describes it now; raises LocalError when there is no instance."""
        state = self._state()
        return KafkaServer(self.folder, state.kafka, state.cluster_id, java_options=self._java_options)

    @property
    def s3(self) -> S3Server:
        """The S3 server as the folder describes it now; raises LocalError when there is no instance."""
        state = self._state()
        return localstack.s3_server(state.s3_kind, self.folder, state.s3, state.credentials, self._env)

    @property
    def kafka_pid(self) -> int | None:
        """The broker's pid; None when it does not run."""
        return self.kafka.process.pid

    @property
    def s3_pid(self) -> int | None:
        """The S3 server's pid; None when it does not run."""
        return self.s3.process.pid

    def status(self, timeout_s: float = _CHECK_TIMEOUT_S) -> Status:
        """Ask both servers, for at most `timeout_s` seconds each."""
        if State.load(self.folder) is None:
            return Status(str(self.folder), ())
        kafka, s3 = self.kafka, self.s3
        kafka_pid, s3_pid = kafka.process.pid, s3.process.pid
        return Status(
            str(self.folder),
            (
                ServerStatus("kafka", kafka_pid, kafka_pid is not None and kafka.ready(timeout_s), kafka.bootstrap),
                ServerStatus("s3", s3_pid, s3_pid is not None and s3.ready(timeout_s), s3.endpoint),
            ),
        )

    def env(self) -> dict[str, str]:
        """Return the variables that point headrace, boto3 and other S3 programs at this instance."""
        kafka, s3 = self.kafka, self.s3
        variables = {
            "HEADRACE_KAFKA": kafka.bootstrap,
            "HEADRACE_ARCHIVE": f"s3://{seaweed.BUCKET}/archive",
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
            "AWS_ACCESS_KEY_ID": s3.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.credentials.secret_key,
            "AWS_REGION": seaweed.REGION,
        }
        if any(self._env.get(name) for name in _PROXIES):  # no proxy can reach this machine's own address
            there = self._env.get("NO_PROXY") or self._env.get("no_proxy")
            variables["NO_PROXY"] = f"{there},127.0.0.1" if there else "127.0.0.1"
        return variables

    # Both servers together.

    def up(self, progress: Progress = lambda _: None) -> bool:
        """Bring both servers up and return True once they answer; False when they did so already.

        What a killed predecessor left half-started is ended first. When this fails or is interrupted, the servers that
        it started are ended again. `progress` is called with a line for people at each step.
        """
        self._claim()
        with self._locked(progress):
            self._refuse_other_kind()
            status = self.status(_PATIENT_S)
            if status.running:
                return False
            program = java.find(self._java_home, self._env)
            files = self._jars(progress)
            state = State.load(self.folder) or State.fresh(self._rng, self._s3_kind)
            if state.s3_kind == "localstack":
                localstack.install(localstack.venv_of(self._env), progress)
            state.save(self.folder)
            keep = {each.name for each in status.servers if each.answers}
            self._end_leftovers(keep, progress)
            started = [name for name in ("s3", "kafka") if name not in keep]
            try:
                self._start_on_free_ports(started, program, files, progress)
            except BaseException:
                self._end(started)
                raise
        return True

    def down(self, *, purge: bool = False, progress: Progress = lambda _: None) -> bool:
        """Stop both servers; with `purge` remove the data as well. Returns whether anything was running.

        Only the files that an instance makes are removed from the folder, and the folder if it is then empty.
        """
        names = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        if STATE_FILE not in names and (not names or names - {"lock", "state.new"}):
            return False  # nothing of ours: not even an `up` that could not fetch Kafka
        with self._locked(progress):
            running = False
            if State.load(self.folder) is not None:
                running = self.kafka_pid is not None or self.s3_pid is not None
                self._end(["kafka", "s3"], kill=purge)
                if purge:
                    self._remove_data()
            if purge and State.load(self.folder) is None:
                _remove(self.folder / "lock")  # last: whoever waits for it must not begin before
                with suppress(OSError):  # others keep something here too, or come in at this moment
                    self.folder.rmdir()
        return running

    def dead(self) -> list[KafkaServer | S3Server]:
        """Return the servers that ended by themselves: a pid file says that they run, and they don't."""
        if not self._dead():
            return []
        with self._locked(lambda _: None):  # perhaps `down` is just ending them
            return self._dead()

    def _dead(self) -> list[KafkaServer | S3Server]:
        if State.load(self.folder) is None:
            return []
        both: list[KafkaServer | S3Server] = [self.kafka, self.s3]
        return [each for each in both if each.process.pid_file.exists() and each.process.pid is None]

    def stopped(self) -> bool:
        """Say whether both servers were stopped in the proper way, by `down`."""
        if State.load(self.folder) is None:
            return True
        return not any(each.process.pid_file.exists() for each in (self.kafka, self.s3))

    # One server at a time, for tests of failure. Ports and data stay.

    def start_kafka(self, progress: Progress = lambda _: None) -> None:
        """Start the broker alone and wait until it answers; does nothing when it already does."""
        self._start_one("kafka", progress)

    def start_s3(self, progress: Progress = lambda _: None) -> None:
        """Start the S3 server alone and wait until it answers; does nothing when it already does."""
        self._start_one("s3", progress)

    def kill_kafka(self) -> None:
        """End the broker with SIGKILL."""
        self.kafka.process.stop(0)

    def kill_s3(self) -> None:
        """End the S3 server with SIGKILL."""
        self.s3.stop(0)

    def restart_kafka(self) -> None:
        """Stop the broker in the proper way and start it again."""
        self.kafka.process.stop(STOP_GRACE_S)
        self.start_kafka()

    def restart_s3(self) -> None:
        """Stop the S3 server in the proper way and start it again."""
        self.s3.stop()
        self.start_s3()

    def signal_kafka(self, number: signal.Signals) -> None:
        """Send the broker a signal, such as SIGSTOP and SIGCONT."""
        self.kafka.process.send(number)

    def signal_s3(self, number: signal.Signals) -> None:
        """Send the S3 server a signal, such as SIGSTOP and SIGCONT."""
        self.s3.process.send(number)

    # How.

    def _jars(self, progress: Progress) -> list[Path]:
        if self._kafka_home is not None:
            progress(f"using the Kafka in {self._kafka_home}")
            return jars.from_kafka_home(self._kafka_home)
        return jars.fetch(self._cache, progress, self._maven_url)

    def _claim(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            strangers = sorted(path.name for path in self.folder.iterdir() if path.name not in _OURS)
        except OSError as error:
            raise LocalError(f"can't keep an instance in {self.folder}: {error}. Name another with --dir.") from error
        if strangers and not (self.folder / STATE_FILE).exists():
            raise LocalError(
                f"{self.folder} holds other things ({', '.join(strangers[:3])}), so it is not taken for an instance. "
                "Name an empty or a new folder with --dir."
            )

    def _refuse_other_kind(self) -> None:
        state = State.load(self.folder)
        if state is not None and self._s3_kind not in (None, state.s3_kind):
            raise LocalError(
                f"the instance in {self.folder} has {state.s3_kind}; for {self._s3_kind} name another folder with --dir"
            )

    def _locked(self, progress: Progress) -> AbstractContextManager[None]:
        return lock.held(self.folder / "lock", progress)

    def _remove_data(self) -> None:
        # The state last: while it is there, a second `down --purge` can finish the work of a killed first.
        for name in (*sorted(_OURS - {STATE_FILE, "lock"}), STATE_FILE):
            _remove(self.folder / name)

    def _server(self, name: str) -> KafkaServer | S3Server:
        return self.kafka if name == "kafka" else self.s3

    def _end_leftovers(self, keep: set[str], progress: Progress) -> None:
        for name in ("kafka", "s3"):
            process = self._server(name).process
            if name not in keep and process.pid_file.exists():
                if process.pid is not None:
                    progress(f"ending a half-started {process.name} (pid {process.pid})")
                self._end([name], kill=True)

    def _end(self, names: list[str], *, kill: bool = False) -> None:
        for name in names:
            if name == "kafka":
                self.kafka.process.stop(0 if kill else STOP_GRACE_S)
            else:
                self.s3.stop(*((0,) if kill else ()))

    def _start_on_free_ports(self, names: list[str], program: Path, files: list[Path], progress: Progress) -> None:
        for attempt in range(1, _PORT_TRIES + 1):
            state = self._state().with_free_ports(self._rng, kafka="kafka" in names, s3="s3" in names)
            state.save(self.folder)
            try:
                self._start(names, program, files, progress)
            except _Died as died:
                # A port may have been taken between looking and listening; then others are chosen.
                if attempt == _PORT_TRIES or "ddress already in use" not in died.log:
                    raise
                progress(f"{died.name} lost a port to another program; trying others")
                self._end(names, kill=True)
            else:
                return

    def _start(self, names: list[str], program: Path, files: list[Path], progress: Progress) -> None:
        if "s3" in names:
            progress(f"starting {self.s3.name}")
            self.s3.start()
        if "kafka" in names:
            progress(f"starting Kafka with {program}")
            self.kafka.start(program, files)
            self._wait(self.kafka, lambda: self.kafka.ready(_CHECK_TIMEOUT_S) and self.kafka.gives_producer_ids())
            progress(f"Kafka answers at {self.kafka.bootstrap}")
        if "s3" in names:
            self._wait(self.s3, self.s3.prepare)
            progress(f"S3 answers at {self.s3.endpoint}; its conditional writes hold")

    def _start_one(self, name: str, progress: Progress) -> None:
        with self._locked(progress):
            if self._server(name).process.pid is not None and self._server(name).ready(_PATIENT_S):
                return
            self._end([name], kill=True)
            program = java.find(self._java_home, self._env) if name == "kafka" else Path()
            self._start([name], program, self._jars(progress) if name == "kafka" else [], progress)

    def _wait(self, server: KafkaServer | S3Server, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not ready():
            if server.process.pid is None:
                raise _Died(server.name, server.why_dead())
            if time.monotonic() > deadline:
                log = server.why_dead()
                raise LocalError(f"{server.name} runs but gave no answer within {_START_TIMEOUT_S:.0f} s:\n{log}")
            time.sleep(_POLL_S)


class _Died(LocalError):
    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} ended while it started; the end of its log:\n{log}")
        self.name = name
        self.log = log


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
