"""Looks the pins of the locks up in a public list of vulnerabilities: `make audit`. Says so when it could not.

pip-audit ends with 0 and "No known vulnerabilities found" when its list does not know a package at all (seen behind a
mirror of the package index), and with 1 alike for a vulnerability and for a list that cannot be reached. Here 0 means
that each pin was looked up and nothing was found, 1 that something was, and 3 that it cannot be told.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements/all.txt", "docker/requirements.txt", "docker/app.requirements.txt")
FOUND, CANNOT_TELL = 1, 3
TIMEOUT_S = 900.0


def main(arguments: list[str]) -> int:
    """Audit each lock; `arguments` go to pip-audit as they are (`--vulnerability-service`, `--ignore-vuln`)."""
    codes = [audited(lock, arguments) for lock in LOCKS]
    return FOUND if FOUND in codes else max(codes)


def audited(lock: str, arguments: list[str]) -> int:
    """Audit one lock and say what came out; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(ROOT / lock)]
        command += ["--format", "json", "--output", str(report), "--progress-spinner", "off", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"{lock}: cannot tell: no answer in {TIMEOUT_S:.0f} s")
            return CANNOT_TELL
        if not report.exists() or not report.read_text().strip():
            last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            print(f"{lock}: cannot tell: the list of vulnerabilities could not be asked: {last}")
            return CANNOT_TELL
        return judged(lock, json.loads(report.read_text())["dependencies"])


def judged(lock: str, pins: list[dict[str, Any]]) -> int:
    """Say what pip-audit's report of one lock comes to; return the exit code."""
    skipped = [each for each in pins if "skip_reason" in each]
    found = [(each, one) for each in pins for one in each.get("vulns", [])]
    for pin, one in found:
        fixed = f"mended in {', '.join(one['fix_versions'])}" if one["fix_versions"] else "not mended yet"
        print(f"{lock}: {pin['name']} {pin['version']}: {one['id']}, {fixed}")
    if found:
        return FOUND
    if skipped or not pins:
        why = f", such as: {skipped[0]['skip_reason']}" if skipped else ""
        print(f"{lock}: cannot tell: {len(skipped)} of {len(pins)} pins were not looked up{why}")
        return CANNOT_TELL
    print(f"{lock}: {len(pins)} pins looked up, no known vulnerability")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
