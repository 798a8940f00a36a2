"""An instance of its own, beside the session's: what survives which death, and what is cleaned up by whom."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from servers import Servers

from headrace.local import Instance, LocalError
from headrace.local.process import is_alive

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    # A name that a shell, a properties file and a list of arguments could each get wrong.
    folder = Path(tempfile.mkdtemp(prefix="headrace-local-")) / "it's an $instance"
    made = Instance(folder, env=os.environ)
    said: list[str] = []
    assert made.up(said.append) is True
    assert any("Kafka answers" in line for line in said)
    yield made
    made.down(purge=True)
    shutil.rmtree(folder.parent)


class _Data:
    """One acknowledged record and one object on an instance, and the proof that they are still there."""

    def __init__(self, instance: Instance) -> None:
        self.name = f"kept-{uuid4().hex[:8]}"
        self.instance = instance
        env = instance.env()
        admin = AdminClient({"bootstrap.servers": env["HEADRACE_KAFKA"]})
        admin.create_topics([NewTopic(self.name, 1, 1)])[self.name].result(30)
        producer = Producer({"bootstrap.servers": env["HEADRACE_KAFKA"], "acks": "all"})
        producer.produce(self.name, b"record")
        assert producer.flush(20) == 0
        instance.s3.client().put_object(Bucket="headrace", Key=self.name, Body=b"object")

    def is_there(self) -> bool:
        env = self.instance.env()
        consumer = Consumer({"bootstrap.servers": env["HEADRACE_KAFKA"], "group.id": self.name})
        consumer.assign([TopicPartition(self.name, 0, 0)])
        message = consumer.poll(20)
        consumer.close()
        body = self.instance.s3.client().get_object(Bucket="headrace", Key=self.name)["Body"].read()
        return message is not None and message.value() == b"record" and body == b"object"


def test_up_on_a_running_instance_changes_nothing(instance: Instance) -> None:
    """It says False, and the processes are the same."""
    before = (instance.kafka_pid, instance.s3_pid)
    assert instance.up() is False
    assert (instance.kafka_pid, instance.s3_pid) == before
    assert None not in before


def test_two_instances_run_side_by_side(instance: Instance, servers: Servers) -> None:
    """Both answer, at different addresses; the credentials of one do not open the other."""
    mine, other = instance.env(), servers.env
    assert instance.status().running
    assert servers.instance.status().running
    assert mine["HEADRACE_KAFKA"] != other["HEADRACE_KAFKA"]
    assert mine["AWS_ENDPOINT_URL_S3"] != other["AWS_ENDPOINT_URL_S3"]
    assert mine["AWS_SECRET_ACCESS_KEY"] != other["AWS_SECRET_ACCESS_KEY"]


def test_everything_listens_on_the_loopback_address_only(instance: Instance) -> None:
    """On the machine's other addresses no port of the instance answers."""
    state = json.loads((instance.folder / "state.json").read_text())
    ports = [*state["kafka"].values(), *state["s3"].values()]
    elsewhere = "127.0.0.2" if sys.platform == "linux" else socket.gethostbyname(socket.gethostname())
    for port in ports:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex(("127.0.0.1", port)) == 0
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((elsewhere, port)) != 0


def test_status_tells_a_server_that_hangs_from_one_that_answers(instance: Instance) -> None:
    """Under SIGSTOP Kafka has a process and an open port, but does not answer; continued, it does again."""
    instance.signal_kafka(signal.SIGSTOP)
    try:
        status = instance.status(timeout_s=0.5)
        assert [(each.name, each.pid is not None, each.answers) for each in status.servers] == [
            ("kafka", True, False),
            ("s3", True, True),
        ]
        assert not status.running
    finally:
        instance.signal_kafka(signal.SIGCONT)
    assert instance.status(timeout_s=20).running


def test_a_killed_kafka_is_started_again_by_up_with_its_data_and_port(instance: Instance) -> None:
    """kill -9 of the broker: `up` starts it at its old address with its old data, and leaves S3 alone."""
    data = _Data(instance)
    before, s3_pid, kafka_pid = instance.env(), instance.s3_pid, instance.kafka_pid
    assert kafka_pid is not None
    os.kill(kafka_pid, signal.SIGKILL)
    _wait_dead(kafka_pid)
    assert [each.name for each in instance.dead()] == ["Kafka"]
    assert instance.up() is True
    assert instance.env() == before
    assert instance.s3_pid == s3_pid
    assert instance.kafka_pid != kafka_pid
    assert data.is_there()


def test_a_killed_s3_server_is_started_again_with_its_data_and_port(instance: Instance) -> None:
    """kill -9 of the S3 server: the object is there after `start_s3`, and Kafka was left alone."""
    data = _Data(instance)
    before, kafka_pid = instance.env(), instance.kafka_pid
    instance.kill_s3()
    assert instance.s3_pid is None
    instance.start_s3()
    assert instance.env() == before
    assert instance.kafka_pid == kafka_pid
    assert data.is_there()


def test_data_survives_down_and_up_on_other_ports(instance: Instance) -> None:
    """When other programs have taken the ports in the meantime, both servers come up elsewhere with all data."""
    data = _Data(instance)
    before = instance.env()
    assert instance.down() is True
    assert instance.stopped()
    assert instance.dead() == []
    assert instance.down() is False
    with socket.socket() as kafka_port, socket.socket() as s3_port, socket.socket() as master_port:
        state = json.loads((instance.folder / "state.json").read_text())
        kafka_port.bind(("127.0.0.1", state["kafka"]["broker"]))
        s3_port.bind(("127.0.0.1", state["s3"]["s3"]))
        master_port.bind(("127.0.0.1", state["s3"]["master"]))
        assert instance.up() is True
    after = instance.env()
    assert after["HEADRACE_KAFKA"] != before["HEADRACE_KAFKA"]
    assert after["AWS_ENDPOINT_URL_S3"] != before["AWS_ENDPOINT_URL_S3"]
    assert after["AWS_SECRET_ACCESS_KEY"] == before["AWS_SECRET_ACCESS_KEY"]
    assert data.is_there()


def test_a_failing_start_leaves_nothing_running(tmp_path: Path) -> None:
    """Kafka can't start: the error holds the end of its log, and the S3 server that was started first is ended."""
    java = tmp_path / "java"
    (java / "bin").mkdir(parents=True)
    program = java / "bin" / "java"
    program.write_text(
        '#!/bin/sh\necho \'version "21"\' >&2\ncase "$*" in *-version*) exit 0;; esac\necho boom; exit 3\n'
    )
    program.chmod(0o755)
    instance = Instance(tmp_path / "i", env=os.environ, java_home=java)
    with pytest.raises(LocalError, match=r"(?s)exit code 3.*boom"):
        instance.up()
    assert instance.s3_pid is None
    assert instance.kafka_pid is None
    assert instance.down(purge=True) is False
    assert not instance.folder.exists()


def test_a_folder_with_other_things_in_it_is_not_taken(tmp_path: Path) -> None:
    """`--dir ~` by mistake: nothing is started there and nothing is written there."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(LocalError, match=r"holds other things \(thesis\.tex\)"):
        Instance(tmp_path).up()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert Instance(tmp_path).down(purge=True) is False
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_needs_an_instance_says_how_to_start_one(tmp_path: Path) -> None:
    """Asking for addresses where nothing was started is an error with advice; status is an answer."""
    instance = Instance(tmp_path / "none")
    assert instance.status().servers == ()
    assert not instance.status().running
    with pytest.raises(LocalError, match="headrace local up"):
        instance.env()


def test_a_proxy_is_told_to_leave_this_machine_alone(servers: Servers) -> None:
    """With HTTP_PROXY set, the variables exempt 127.0.0.1 and keep what was exempt before."""
    folder = servers.instance.folder
    assert "NO_PROXY" not in Instance(folder, env={}).env()
    proxied = Instance(folder, env={"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "corp"}).env()
    assert proxied["NO_PROXY"] == "corp,127.0.0.1"


def test_readiness_is_not_fooled_by_the_users_aws_and_proxy_settings(servers: Servers) -> None:
    """A profile that does not exist and a dead proxy in the environment: status still sees both servers answer."""
    program = "import sys; from headrace.local import Instance; sys.exit(not Instance(sys.argv[1]).status().running)"
    env = {
        **os.environ,
        "AWS_PROFILE": "missing",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run([sys.executable, "-c", program, str(servers.instance.folder)], env=env, check=False)
    assert done.returncode == 0


def _wait_dead(pid: int) -> None:
    while is_alive(pid):  # SIGKILL can't be refused; the test's own timeout bounds this
        os.sched_yield()
