"""Freezes the part of a version that reads and writes commit logs: `python tests/golden/make_reader.py COMMIT NUMBER`.

Makes tests/golden/readers/reader_NUMBER.zip, a package `reader_NUMBER` that can be imported from the zip file as it is,
given the interface to the store that it is to use. A frozen reader is never made anew: it is what is out there
(tests/archiver/test_older_readers.py).
"""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = (
    *("commit_log", "fetching", "file_columns", "file_table", "fold_file", "folds", "log_entries", "log_reading"),
    *("log_rules", "log_state"),
)


def main(commit: str, number: str) -> None:
    """Write the zip file, the same bytes for the same commit."""
    target = ROOT / f"tests/golden/readers/reader_{number}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for name in ("__init__", *MODULES):
            text = b"" if name == "__init__" else _text(commit, f"archiver/{name}.py")
            info = zipfile.ZipInfo(f"reader_{number}/{name}.py", (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(info, text)


def _text(commit: str, path: str) -> bytes:
    return subprocess.run(["git", "show", f"{commit}:{path}"], cwd=ROOT, check=True, capture_output=True).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
