"""Carries out the Dockerfile's building steps without a container engine: `python -m image.steps FOLDER`.

Each building stage's RUN lines run as they stand there, by /bin/sh as in an engine, in a mount namespace of its own: on
this machine's file system, of which nothing is changed, with the stage's own /opt, /source, /wheel and /tmp. What they
made lies in FOLDER/<stage>/. What it does not show is the base image: this machine's Python and libraries stand in for
it. HEADRACE_IMAGE_BUILD names the folder to the tests.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from confined import Image
from house.tree import ROOT

from image.dockerfile import Stage, stages

BUILDING = ("wheel", "build", "app-build")
OWN = ("opt", "source", "wheel", "tmp")
TIMEOUT_S = 1800.0
_ENTER = """
set -eu
root=$1 folder=$2 where=$3 step=$4; shift 4
mount -t tmpfs tmpfs "$root"
mkdir "$root/new" "$root/work" "$root/all"
mount -t overlay -o "lowerdir=/,upperdir=$root/new,workdir=$root/work" overlay "$root/all"
for each; do mkdir -p "$root/all/$each"; mount --bind "$folder/$each" "$root/all/$each"; done
for each in proc dev sys; do mount --rbind "/$each" "$root/all/$each"; done
exec chroot "$root/all" /bin/sh -c "cd $where && $step"
"""


def main(folder: Path) -> int:
    """Carry out all building stages; return the exit code of the first step that fails."""
    found = stages()
    inherited = dict(pair.split("=", 1) for pair in " ".join(found["python"].all("ENV")).split())
    for name in BUILDING:
        if code := _carry_out(found[name], folder, inherited):
            return code
    return 0


def _carry_out(stage: Stage, folder: Path, env: Mapping[str, str]) -> int:
    own = folder / stage.name
    for each in OWN:
        (own / each).mkdir(parents=True, exist_ok=True)
    where = "/"
    for instruction, text in stage.instructions:
        if instruction == "WORKDIR":
            where = text
        elif instruction == "COPY":
            _copy(text.split(), folder, own, where)
        elif instruction == "RUN":
            print(f"{stage.name}: RUN {text}", flush=True)
            if code := _run(text, own, where, env):
                print(f"{stage.name}: this step ended with {code}: {text}", file=sys.stderr)
                return code
        else:
            raise ValueError(f"a building stage has {instruction}, which is not carried out here")
    return 0


def _copy(words: list[str], folder: Path, own: Path, where: str) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if word not in options]
    start = {option.removeprefix("--from="): folder for option in options if option.startswith("--from=")}
    base = folder / next(iter(start)) if start else ROOT
    place = own / os.path.normpath(Path(where) / target).lstrip("/")
    for source in sources:
        found = base / source.lstrip("/")
        if found.is_dir():  # its content goes there, as in an engine
            skipped = shutil.ignore_patterns("__pycache__")  # Dockerfile.dockerignore
            shutil.copytree(found, place, dirs_exist_ok=True, ignore=skipped)
        else:
            to = place / found.name if target.endswith("/") else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, to)


def _run(step: str, own: Path, where: str, env: Mapping[str, str]) -> int:
    kept = {name: os.environ[name] for name in os.environ if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    kept["PATH"] = f"{Path(sys.base_prefix) / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    root = own / "root"
    root.mkdir(exist_ok=True)
    enter = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _ENTER, "enter"]
    done = subprocess.run(
        [*enter, str(root), str(own), where, step, *OWN], env={**kept, **env}, timeout=TIMEOUT_S, check=False
    )
    return done.returncode


def installed(stage: str, writable: tuple[str, ...] = (), more: Mapping[str, Path] | None = None) -> Image | None:
    """Return the image of a stage as its steps made it, or None when they were not carried out."""
    folder = os.environ.get("HEADRACE_IMAGE_BUILD")
    if not folder:
        return None
    packages = Path(folder) / {"headrace": "build", "app": "app-build"}[stage] / "opt" / "headrace"
    return Image(packages, None, writable, more or {})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
