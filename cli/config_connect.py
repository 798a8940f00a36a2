"""Asks Kafka and the store whether the settings lead to them and let us in. Reads only."""

from collections.abc import Iterator
from typing import NamedTuple

from headrace.producer.settings_file import SettingsFile

from .config_values import value_of
from .configuration import tell_aws
from .kafka_settings import reading_settings
from .setting_table import SETTINGS


class Verdict(NamedTuple):
    """What one server answered."""

    server: str
    where: str
    ok: bool
    said: str


def verdicts(found: SettingsFile) -> Iterator[Verdict]:
    """Yield one of each server that is set."""
    servers = value_of(SETTINGS["kafka.servers"], found, []).value
    topics = value_of(SETTINGS["archive.topics"], found, []).value or ()
    raw = value_of(SETTINGS["archive.raw_topics"], found, []).value or ()
    url = value_of(SETTINGS["store.url"], found, []).value
    if servers is None:
        yield Verdict("Kafka", "-", True, "not set ([kafka] servers), and not asked")
    else:
        yield _kafka(servers, (*topics, *raw))
    if url is None:
        yield Verdict("store", "-", True, "not set ([store] url), and not asked")
    else:
        yield _store(url)


def _kafka(servers: str, topics: tuple[str, ...]) -> Verdict:
    from headrace.archiver.kafka_metadata import KafkaMetadata  # noqa: PLC0415 - only for who asks
    from headrace.archiver.source import SourceError  # noqa: PLC0415

    try:
        there = KafkaMetadata(reading_settings(servers)).topics()
    except SourceError as error:
        return Verdict("Kafka", servers, False, str(error))
    missing = [topic for topic in topics if topic not in there]
    if missing:
        said = f"answers, and has no topic {', '.join(missing)}, or this user may not see it"
        return Verdict("Kafka", servers, False, f"{said}; `headrace kafka acls` prints the rights that are needed")
    if not there:
        said = "answers, and this user may see no topic; `headrace kafka acls` prints the rights that a role needs"
        return Verdict("Kafka", servers, True, said)
    return Verdict("Kafka", servers, True, f"answers; {len(there)} topics may be seen")


def _store(url: str) -> Verdict:
    try:
        from headrace.archiver.object_store import StoreError  # noqa: PLC0415 - boto3, which the light install lacks

        from .servers import open_to_look  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return Verdict("store", url, False, f"cannot be asked without {error.name}: pip install 'headrace[archiver]'")
    tell_aws()
    store = open_to_look(url)
    try:
        first = next(iter(store.list("log/")), None)
    except StoreError as error:
        return Verdict("store", f"{store.url} at {store.endpoint}", False, str(error))
    holds = "an archive is there" if first is not None else "there is no archive yet"
    return Verdict("store", f"{store.url} at {store.endpoint}", True, f"may be listed; {holds}")
