"""The picture of `headrace lag --watch` in the README: what it prints of the page's made-up night, as an SVG.

`PYTHONPATH=src:tests python -m watch_picture` draws it.
"""

import io
import re
from collections import deque
from pathlib import Path

from dashboard_scene import night
from house.tree import ROOT
from rich.console import Console
from rich.text import Text

from headrace.cli.lag_watch import SAMPLES, screen

PICTURE = ROOT / "docs" / "lag-watch.svg"


def main(path: Path = PICTURE) -> None:
    """Draw it."""
    scene = night()
    history = {
        topic: deque((each.records_behind for each in samples[:: len(samples) // SAMPLES]), maxlen=SAMPLES)
        for topic, samples in scene.history().items()
    }
    console = Console(record=True, width=142, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(screen(scene.status, history)))
    picture = console.export_svg(title="headrace lag --watch")
    # Fonts come from the reader's machine: nothing is loaded from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    path.write_text(picture.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono"))


if __name__ == "__main__":
    main()
