"""Runs a program as the image would: nobody's user, a read-only root, no shell, no capability, no home folder.

A mount namespace of its own holds a small root file system: the Python that runs the tests, the machine's libraries,
headrace, and nothing of /bin or /usr/bin. It goes when the program ends. Needs root and Linux's unshare; the tests that
ask for it are skipped elsewhere.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from house.tree import PARTS, ROOT

NOBODY = 65532
IMAGE_PATH = "/opt/headrace/bin:/usr/local/bin:/usr/bin:/bin"
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ssl", "/etc/hosts", "/proc")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
SHELLS = ("/bin/sh", "/usr/bin/sh", "/bin/bash", "/usr/bin/env")

# Runs as root within the namespace, before anything of the program does. Words: the root, then `KIND SOURCE TARGET`...,
# then `--` and the program.
_ENTER = """
set -eu
chroot=$1 root=$2; shift 2
mount -t tmpfs -o mode=755 tmpfs "$root"
while [ "$1" != -- ]; do
  kind=$1 source=$2 target=$root$3; shift 3
  case $kind in
    link) mkdir -p "${target%/*}"; ln -s "$source" "$target" ;;
    tmpfs) mkdir -p "$target"; mount -t tmpfs -o "$source" tmpfs "$target" ;;
    *) if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "${target%/*}"; : > "$target"; fi
       mount --rbind "$source" "$target"
       case $kind in read) mount -o remount,bind,ro "$target" ;; esac ;;
  esac
done
shift
mount -o remount,ro "$root"
exec setpriv --no-new-privs --bounding-set -all,+sys_chroot,+setuid,+setgid \\
  "$chroot" --userspec=65532:65532 --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """What lies in the small root. `packages`: the folder that is /opt/headrace; `sources`: the tree, if not there."""

    packages: Path
    sources: Path | None = None
    writable: tuple[str, ...] = ()  # folders that are volumes
    more: Mapping[str, Path] = field(default_factory=dict)  # what lies where else, read only

    @property
    def headrace(self) -> tuple[str, ...]:
        """The words that the image's ENTRYPOINT `headrace` comes to."""
        if self.sources is None:
            return ("headrace",)
        return ("python", "-c", "from headrace.cli.main import main; main()")

    def script(self, words: Sequence[str]) -> list[str]:
        """Return words whose first is a script of the packages: with the tree, its first line names another folder."""
        if self.sources is None:
            return list(words)
        return ["python", f"/opt/headrace/bin/{words[0]}", *words[1:]]

    def command(self, words: Sequence[str], root: Path) -> list[str]:
        """Return the command that runs these words within; `root` is an empty folder."""
        mounts = [*self._mounts(), *(("tmpfs", "mode=1777", path) for path in ("/tmp", "/dev/shm"))]
        mounts += [("tmpfs", f"mode=700,uid={NOBODY},gid={NOBODY}", path) for path in self.writable]
        placed = [word for mount in mounts for word in mount]
        enter = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _ENTER, "enter"]
        enter += [shutil.which("chroot") or "chroot", str(root)]
        # No shell and no env(1) within, so that PATH is looked through here.
        return [*enter, *placed, "--", f"/opt/headrace/bin/{words[0]}", *words[1:]]

    def _mounts(self) -> list[tuple[str, str, str]]:
        mounts = []
        for path in map(Path, LIBRARIES):
            if path.is_symlink():
                mounts.append(("link", str(path.readlink()), str(path)))
            elif path.exists():
                mounts.append(("write" if path == Path("/proc") else "read", str(path), str(path)))
        mounts += [("write", device, device) for device in DEVICES]
        kept = [*_names_of(self.packages / "bin" / "python"), Path(sysconfig.get_path("stdlib"))]
        kept += (Path(sys.base_prefix) / "lib").glob("libpython*")
        mounts += [("read", str(path), str(path)) for path in kept if not path.is_relative_to("/usr/lib")]
        mounts.append(("read", str(self.packages), "/opt/headrace"))
        if self.sources is not None:
            mounts += [("read", str(self.sources / part), f"/opt/tree/{part}") for part in ("src", *PARTS)]
        return mounts + [("read", str(source), target) for target, source in self.more.items()]

    def env(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the environment: what the Dockerfile sets, what is given, and no HOME."""
        tree = {} if self.sources is None else {"PYTHONPATH": "/opt/tree/src"}
        fixed = {"PATH": IMAGE_PATH, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**fixed, **tree, **given}


def _names_of(program: Path) -> Iterator[Path]:
    """Yield what a virtual environment's python leads to, link by link, as far as it lies outside."""
    folder = program.parent
    while program.is_symlink():
        program = Path(os.path.normpath(program.parent / program.readlink()))
        if program.parent != folder:
            yield program


@cache
def why_not() -> str | None:
    """Say why this machine cannot confine a program; None when it can."""
    if os.geteuid() != 0:
        return "only root can make a root file system of its own"
    missing = [each for each in ("unshare", "setpriv", "chroot", "mount") if not shutil.which(each)]
    if missing:
        return f"this machine has no {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or "unshare is refused" if tried.returncode else None


def tree_image(**more: object) -> Image:
    """The packages that the tests run on, with the tree as it is; skip the test where it cannot be confined."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    return Image(Path(sys.prefix), ROOT, **more)  # type: ignore[arg-type]


def empty_root() -> Path:
    """Return a folder for a root: empty before and after, since what is mounted there is seen by the program alone."""
    return Path(tempfile.mkdtemp(prefix="headrace-root-"))
