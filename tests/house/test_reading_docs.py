"""The queries of docs/reading-the-archive.md work as they are printed there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from archiving import plain_environment, run_headrace
from servers import Servers

from house.tree import ROOT

PAGE = ROOT / "docs" / "reading-the-archive.md"
EVENTS = 300
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "-- end of block --"


@pytest.mark.servers
def test_every_python_block_of_the_page_reads_the_archive(servers: Servers, tmp_path: Path) -> None:
    """Pasted one after the other, the blocks run without a warning, and each that prints counts all events."""
    topic = servers.new_topic(3)
    env = {**plain_environment(), **servers.env, "HEADRACE_ARCHIVE": servers.store_url}
    lines = "".join(f'{{"user_id": {n}, "pin_id": {n}, "action": "SAVE"}}\n' for n in range(EVENTS))
    assert run_headrace(["produce", "pin", "--topic", topic], env, stdin=lines).code == 0
    archived = run_headrace(["archive", "--topic", topic, "--until-idle"], env)
    assert archived.code == 0, archived.output

    blocks = BLOCK.findall(PAGE.read_text())
    program = f"print({MARK!r})\n".join(blocks).replace("topic=pin", f"topic={topic}").replace('"pin"]', f'"{topic}"]')
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(MARK)
    assert len(printed) == len(blocks) == 5
    counts = [len(re.findall(rf"\b{EVENTS}\b", output)) for output in printed]
    assert counts == [0, 1, 2, 1, 3]
