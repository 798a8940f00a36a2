"""Kafka's jars: fetched from Maven Central by jgo, each held to a SHA-256 that was pinned when the list was made.

The pinned list (`kafka.lock`) takes jgo's dependency resolution out of everybody's start-up: the files are the same
everywhere, and a damaged or half-written one in the cache is noticed and fetched again. `relock.py` makes the list.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from . import lock
from .errors import LocalError

if TYPE_CHECKING:
    from jgo.maven import Artifact

Progress = Callable[[str], None]

KAFKA_VERSION = "4.1.1"
_PARALLEL = 8
_ATTEMPTS = 3
_TIMEOUT_S = 10


@dataclass(frozen=True)
class Jar:
    """One pinned file: `group:artifact:version`, its size in bytes and its SHA-256 in hex."""

    coordinate: str
    size: int
    sha256: str


def pinned() -> list[Jar]:
    """Return the jars that make up the pinned Kafka, in class path order."""
    return read_lock(files("headrace.local").joinpath("kafka.lock").read_text())


def read_lock(text: str) -> list[Jar]:
    """Return the jars that the text of a list names, one a line."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in rows]


def from_kafka_home(kafka_home: Path) -> list[Path]:
    """Return the jars of a Kafka that the user unpacked; raise LocalError when it isn't a Kafka 4 distribution."""
    found = sorted((kafka_home / "libs").glob("*.jar"))
    if not any(jar.name.startswith("kafka_2.13-4.") for jar in found):
        raise LocalError(
            f"{kafka_home} holds no Kafka 4 (no libs/kafka_2.13-4.*.jar). Name the folder of an unpacked Kafka 4, or "
            f"leave KAFKA_HOME and --kafka-home out: Kafka {KAFKA_VERSION} is then fetched and cached."
        )
    return found


def fetch(
    cache: Path,
    progress: Progress,
    repository: str | None = None,
    *,
    jars: Sequence[Jar] | None = None,
    what: str = f"Kafka {KAFKA_VERSION}",
) -> list[Path]:
    """Return the paths of all pinned jars under `cache`, fetching those that are missing or damaged.

    `repository` is the address of another Maven repository (a company's mirror); `jars` are other files than Kafka's,
    and `what` is what people call them. Without missing files no network is touched. Raises LocalError when a file
    can't be fetched or is not the pinned one.
    """
    jars = pinned() if jars is None else jars
    paths = {jar: _cached(cache, jar) for jar in jars}
    if all(_intact(jar, paths[jar]) for jar in jars):
        return list(paths.values())

    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - slow to import, and needed this once
    from jgo.maven import MavenContext  # noqa: PLC0415 - as above

    url = repository or MAVEN_CENTRAL_URL
    context = MavenContext(repo_cache=cache, remote_repos={"central": url}, local_repos=[], timeout=_TIMEOUT_S)
    artifacts = {jar: context.create_dependency(jar.coordinate).artifact for jar in jars}
    with lock.held(cache / ".lock", progress):  # another instance may be filling the same cache
        missing = [jar for jar in jars if not _intact(jar, paths[jar], drop=True)]
        total = sum(jar.size for jar in missing)
        if missing:
            progress(f"fetching {what}: {len(missing)} files, {total / 1e6:.0f} MB, once, into {cache}")
        done = 0
        with ThreadPoolExecutor(_PARALLEL) as pool:
            waiting = {pool.submit(_resolve, artifacts[jar], paths[jar]): jar for jar in missing}
            try:
                for count, future in enumerate(as_completed(waiting), 1):
                    jar = waiting[future]
                    _finish(jar, paths[jar], future.exception(), url, cache)
                    tenths, done = done * 10 // total, done + jar.size
                    if done * 10 // total > tenths:
                        progress(f"fetched {count} of {len(missing)} files, {done / 1e6:.0f} of {total / 1e6:.0f} MB")
            finally:
                pool.shutdown(cancel_futures=True)
    return list(paths.values())


def _cached(cache: Path, jar: Jar) -> Path:
    # Maven's layout, which jgo keeps to in its cache.
    group, artifact, version = jar.coordinate.split(":")
    return cache.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _resolve(artifact: "Artifact", path: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            artifact.resolve()
        except (OSError, RuntimeError):  # what requests and jgo raise
            path.unlink(missing_ok=True)  # it may be there in part
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def _finish(jar: Jar, path: Path, error: BaseException | None, url: str, cache: Path) -> None:
    advice = (
        "Check the network (HTTPS_PROXY is honoured), name a mirror with --maven-url, or unpack a Kafka 4 yourself and "
        f"set KAFKA_HOME. What was fetched stays in {cache}: the next try fetches only the rest."
    )
    if error is not None:
        reason = " ".join(str(error).split())
        raise LocalError(f"could not fetch {jar.coordinate} from {url} into {cache}: {reason}. {advice}") from error
    if not _intact(jar, path, drop=True):
        raise LocalError(
            f"{jar.coordinate} from {url} is not the file that was pinned (its SHA-256 differs), so it was thrown "
            f"away. Something between here and there changes files. {advice}"
        )


def _intact(jar: Jar, path: Path, *, drop: bool = False) -> bool:
    if not path.is_file():
        return False
    if path.stat().st_size == jar.size and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256:
        return True
    if drop:
        path.unlink()
    return False
