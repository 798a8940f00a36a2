"""The Dockerfile and its locks."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from house.tree import ROOT

from image.checkers import run
from image.dockerfile import DOCKER, stages

RUN_TIME = ("headrace", "app")
LOCKS = ("requirements.txt", "app.requirements.txt", "build.requirements.txt")


def pins(lock: Path) -> set[str]:
    """Return a lock's names and versions, `click==8.5.1`."""
    return set(re.findall(r"^[^\s#]+==[^\s;]+", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_image_installs_versions_that_were_tested(lock: str) -> None:
    """Each pin of an image's lock is a pin of the lock that the tests run on."""
    assert pins(DOCKER / lock)
    assert pins(DOCKER / lock) - pins(ROOT / "requirements" / "all.txt") == set()


def test_no_build_tool_is_in_the_image() -> None:
    """What builds the wheel is not among what is installed to run it."""
    build = {pin.split("==")[0] for pin in pins(DOCKER / "build.requirements.txt")}
    for lock in LOCKS[:2]:
        assert build & {pin.split("==")[0] for pin in pins(DOCKER / lock)} == set()


def test_dockerfile_copies_what_exists_and_what_its_context_holds() -> None:
    """Each source of a COPY line is in the tree, and the ignore file lets through these and nothing else."""
    copies = [text.split() for stage in stages().values() for text in stage.all("COPY")]
    sources = {word for words in copies if not words[0].startswith("--from") for word in words[:-1]}
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []
    assert sources == allowed


def test_the_wheel_stage_copies_what_the_wheel_is_made_of() -> None:
    """Each folder and file that pyproject.toml puts into the wheel is copied."""
    copied = " ".join(stages()["wheel"].all("COPY")).split()
    listed = re.search(r"only-include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert listed is not None
    wanted = re.findall(r'"([^"]+)"', listed[1])
    assert [each for each in wanted if each not in copied] == []


@pytest.mark.parametrize("name", RUN_TIME)
def test_image_runs_as_nobody_and_needs_no_shell(name: str) -> None:
    """It drops root, by number; entry point, command and health check are in exec form, and no RUN is left."""
    stage = stages()[name]
    (user,) = stage.all("USER")
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)
    assert [
        word for word in stage.words("ENTRYPOINT") + stage.words("CMD") + stage.health_check() if word == "sh"
    ] == []
    assert stage.all("RUN") == []


def test_the_last_stage_is_headrace_and_has_no_pip() -> None:
    """What `docker build` makes when no target is named starts the command; pip was removed where it is copied from."""
    *_, last = stages().values()
    assert (last.name, last.words("ENTRYPOINT")) == ("headrace", ["headrace"])
    for source in ("build", "app-build"):
        assert any("pip uninstall --yes setuptools pip" in step for step in stages()[source].all("RUN"))


def test_the_base_is_one_version_whose_digest_can_be_given() -> None:
    """Every stage is on the one base, pinned by an exact version, and by a digest when PYTHON_DIGEST is given."""
    bases = {stage.base for stage in stages().values()} - set(stages())
    assert len(bases) == 1
    assert fnmatch(bases.pop(), "python:3.11.[0-9]*-slim-bookworm${PYTHON_DIGEST}")


def test_hadolint_finds_nothing() -> None:
    """The linter for Dockerfiles (shellcheck within it for the RUN lines), without an exception."""
    done = run("hadolint", "--failure-threshold", "style", DOCKER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_sees_a_mistake(tmp_path: Path) -> None:
    """The linter is there and does look: a base without a version and an unquoted variable are found."""
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN rm $WHAT\n")
    done = run("hadolint", tmp_path / "Dockerfile")
    assert done.returncode != 0
    assert {"DL3006", "SC2086"} <= set(re.findall(r"[A-Z]{2}\d{4}", done.stdout))
