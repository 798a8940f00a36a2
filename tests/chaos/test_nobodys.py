"""What a stalled round tells of its group: which partitions a stable group has left to nobody."""

import time
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from servers import Servers

from chaos.rig import Rig


@pytest.mark.servers
def test_only_what_no_member_of_a_stable_group_has_is_nobodys(servers: Servers) -> None:
    """Nothing is nobody's where a member has it, or where there is no stable group; else it is."""
    mine, other = servers.new_topic(2), servers.new_topic(2)
    rig = cast("Rig", SimpleNamespace(_admin=AdminClient({"bootstrap.servers": servers.kafka})))
    group = f"g-{mine}"
    assert Rig.nobodys(rig, f"{group}-none", mine, 2) == [], "a group that is not there is not stable"
    consumer = Consumer({"bootstrap.servers": servers.kafka, "group.id": group})
    try:
        consumer.subscribe([mine])
        until = time.monotonic() + 120
        while not (consumer.assignment() and Rig.nobodys(rig, group, other, 2)):
            consumer.poll(0.1)
            assert time.monotonic() < until
        assert Rig.nobodys(rig, group, other, 2) == [0, 1]
        assert Rig.nobodys(rig, group, mine, 2) == []
        assert Rig.nobodys(rig, group, mine, 3) == [2]
    finally:
        consumer.close()
