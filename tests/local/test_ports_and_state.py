"""Ports are free when chosen and kept afterwards; the state file is whole, private, and checked when read."""

import json
import random
import socket
import stat
from pathlib import Path

import pytest

from headrace.local import Instance, ports
from headrace.local.errors import LocalError
from headrace.local.state import FILE, State


def test_chosen_ports_are_free_distinct_and_outside_the_range_of_outgoing_connections() -> None:
    """Servers can listen on each, and no outgoing connection is ever given one of them."""
    chosen = ports.choose(20, random.Random())
    assert len(set(chosen)) == 20
    assert all(ports.is_free(port) for port in chosen)
    assert max(chosen) < 32_768


def test_a_port_in_use_is_neither_free_nor_chosen() -> None:
    """The same draw skips a port once somebody listens on it."""
    first = ports.choose(1, random.Random(7))[0]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first))
        listener.listen()
        assert not ports.is_free(first)
        assert ports.answers(first)
        assert first not in ports.choose(5, random.Random(7))
    assert not ports.answers(first)


def test_the_state_survives_saving_and_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """What is loaded equals what was saved; the file, which holds a secret, has mode 600."""
    state = State.fresh(random.Random())
    state.save(tmp_path)
    assert State.load(tmp_path) == state
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_two_instances_share_nothing() -> None:
    """Credentials, cluster ids and ports differ between two fresh states."""
    one, two = State.fresh(random.Random()), State.fresh(random.Random())
    assert one.credentials != two.credentials
    assert one.cluster_id != two.cluster_id
    assert one.kafka != two.kafka


def test_a_folder_without_state_is_no_error(tmp_path: Path) -> None:
    """There is simply no instance."""
    assert State.load(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_state_that_cannot_be_understood_says_what_to_do(tmp_path: Path, content: str) -> None:
    """A damaged or future file is an error that names the file and the way out."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(LocalError, match=r"can't read .*state\.json.*then remove"):
        State.load(tmp_path)


def test_only_the_server_that_lost_a_port_gets_others() -> None:
    """Addresses stay where they can stay."""
    state = State.fresh(random.Random())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", state.kafka.broker))
        moved = state.with_free_ports(random.Random(), kafka=True, s3=True)
        assert moved.kafka != state.kafka
        assert moved.s3 == state.s3
        assert state.with_free_ports(random.Random(), kafka=False, s3=True) == state
    assert state.with_free_ports(random.Random(), kafka=True, s3=True) == state


def test_an_instance_keeps_its_kind_of_s3(tmp_path: Path) -> None:
    """The kind is kept, an instance from before there were kinds has SeaweedFS, and `up` refuses another at once."""
    state = State.fresh(random.Random(), "localstack")
    state.save(tmp_path)
    assert State.load(tmp_path) == state
    with pytest.raises(LocalError, match="has localstack; for seaweedfs name another folder"):
        Instance(tmp_path, s3_kind="seaweedfs").up()
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({name: each for name, each in kept.items() if name != "s3_kind"}))
    before = State.load(tmp_path)
    assert before is not None
    assert before.s3_kind == "seaweedfs"
    (tmp_path / FILE).write_text(json.dumps({**kept, "s3_kind": "minio"}))
    with pytest.raises(LocalError, match="'minio', this headrace knows seaweedfs, localstack"):
        State.load(tmp_path)
