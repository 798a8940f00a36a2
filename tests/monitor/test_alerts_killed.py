"""kill -9 of a process that tells alerts, again and again at any moment: all are told, none twice in the topic."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from alert_kit import receiving
from alert_teller import GROUPS, course
from confluent_kafka import Consumer, TopicPartition
from house.tree import ROOT
from servers import Servers

from headrace.monitor.alerts_event import Told, told_of
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder

KILLS = int(os.environ.get("HEADRACE_ALERT_KILLS", "2"))
ROUNDS = 1 + KILLS // 2  # 24 things to tell in each, so that enough is left for the last run
END_S = 120.0


def in_topic(kafka: str, topic: str) -> list[Told]:
    settings = {"bootstrap.servers": kafka, "group.id": "look", "enable.auto.commit": False}
    consumer = Consumer(settings)
    found: list[Told] = []
    try:
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)
        consumer.assign([TopicPartition(topic, 0, 0)])
        while len(found) < high:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            found.append(told_of(Decoder(builtin()).decode(message.value() or b"")))
    finally:
        consumer.close()
    return found


@pytest.mark.servers
def test_kills_at_any_moment_lose_and_repeat_nothing(servers: Servers, tmp_path: Path) -> None:
    """Every alert's course is in the topic once, in order; the webhook heard each thing, a few twice by the same id."""
    seed = random.SystemRandom().randrange(1 << 30)
    print("seed", seed)
    draw, topic, kills = random.Random(seed), servers.new_topic(), 0
    with receiving() as webhook:
        command = [sys.executable, "-m", "alert_teller", servers.kafka, topic, f"{webhook.url}/hook"]
        command += [str(tmp_path), str(ROUNDS)]
        env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
        for run in range(KILLS + 1):
            enough = len(webhook.got) + draw.randrange(1, 7)
            process = subprocess.Popen(command, env=env)
            if run < KILLS:
                # Killed while it tells: some alerts after its first, and some moment later.
                webhook.until(enough)
                time.sleep(draw.random() * 0.02)
                process.kill()
                kills += process.wait(END_S) == -9
            else:
                assert process.wait(END_S) == 0
        times = Counter(each.json["alert_id"] for each in webhook.got)
    told = in_topic(servers.kafka, topic)
    expected = [each for each in course(ROUNDS) if each.state != "still_firing"]
    by_group = [
        [each.transition.state for each in told if each.transition.labels == {"service": f"s{n}"}]
        for n in range(GROUPS)
    ]
    assert by_group == [["firing", "resolved"] * ROUNDS] * GROUPS
    assert len({each.alert_id for each in told}) == len(told) == len(expected)
    assert set(times) == {each.alert_id.hex() for each in told}
    assert kills
    assert sum(times.values()) - len(times) <= kills, "at most the one that was on its way when it was killed"
