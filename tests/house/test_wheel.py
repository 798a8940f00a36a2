"""The wheel that people install, built as a package index would: from the sdist, in a folder of its own."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from house.tree import PARTS, ROOT, files, name

# Run in a fresh interpreter: imports every module of the package that lies in the folder given.
IMPORT_ALL = """
import importlib, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import headrace
assert pathlib.Path(headrace.__file__).parent == folder / "headrace", headrace.__file__
modules = sorted(".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.glob("headrace/**/*.py"))
modules = [module.removesuffix(".__init__") for module in modules if not module.endswith(".__main__")]
engine = []
for module in modules:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "quixstreams":  # the extra `monitor`, which has an environment of its own
            raise
        engine.append(module)
bare = [part for part in sys.argv[2:] if part in sys.modules]
print(json.dumps({"imported": modules, "bare": bare, "engine": engine}))
"""


def build(target: str, source: Path, into: Path, **variables: str) -> Path:
    """Build an sdist or a wheel of the project in `source`; return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    env = {**os.environ, **variables}
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder / "packed")) as packed:
        packed.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the sdist alone."""
    return zipfile.ZipFile(build("wheel", source, tmp_path_factory.mktemp("wheel") / "dist"))


def test_wheel_is_the_same_byte_for_byte_wherever_it_is_built(
    wheel: zipfile.ZipFile, source: Path, tmp_path: Path
) -> None:
    """Files written at another time, with other rights, built in another time zone: the wheel has the same SHA-256."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700 if path.is_dir() else 0o600)
    again = build("wheel", copy, tmp_path / "dist", TZ="Pacific/Auckland", PYTHONHASHSEED="7")
    assert wheel.filename is not None
    assert sha256(again.read_bytes()).hexdigest() == sha256(Path(wheel.filename).read_bytes()).hexdigest()


def test_wheel_brings_its_licence(wheel: zipfile.ZipFile) -> None:
    """The licence's text and its SPDX name are in the wheel."""
    (text,) = [each for each in wheel.namelist() if each.endswith(".dist-info/licenses/LICENSE")]
    assert wheel.read(text) == (ROOT / "LICENSE").read_bytes()
    (metadata,) = [each for each in wheel.namelist() if each.endswith(".dist-info/METADATA")]
    assert "\nLicense-Expression: Apache-2.0\n" in wheel.read(metadata).decode()


def test_wheel_through_sdist_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    """Every module and data file of the root folders is in the wheel, under headrace/, and nothing else is."""
    ours = {f"headrace/{name(path)}" for path in files(*PARTS) if not name(path).endswith(".md")}
    expected = ours | {"headrace/__init__.py", "headrace/py.typed"}
    held = {each for each in wheel.namelist() if ".dist-info/" not in each and not each.endswith(".md")}
    assert held == expected


def test_wheel_imports_without_the_tree(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Each module can be imported from the wheel's own files, and none of them by its bare folder name."""
    wheel.extractall(tmp_path)
    command = [sys.executable, "-c", IMPORT_ALL, str(tmp_path), *PARTS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"headrace", *(f"headrace.{part}" for part in PARTS)} <= set(told["imported"])
    assert told["bare"] == []
    assert [module for module in told["engine"] if not module.startswith("headrace.monitor.")] == []


def test_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    """Installing the wheel gives the command `headrace`."""
    (points,) = [each for each in wheel.namelist() if each.endswith("entry_points.txt")]
    assert "headrace = headrace.cli.main:main" in wheel.read(points).decode()
