"""`python bench/plot_replay_memory.py FIGURES.json OUT.png`: draws what bench/run.py --json wrote. Needs matplotlib."""

import json
import sys
from pathlib import Path

from matplotlib import pyplot as plt


def main() -> None:
    """Draw the peak memory of replays over the rows that they read."""
    found = json.loads(Path(sys.argv[1]).read_text())["memory"]
    figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
    rows = [row[1] / 1e6 for row in found]
    axis.plot(rows, [row[2] for row in found], "o-", label="to Arrow")
    axis.plot(rows, [row[3] for row in found], "s-", label="into Kafka, and read back")
    axis.set_xlabel("million records replayed")
    axis.set_ylabel("peak memory of the process, MB")
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.legend(loc="lower right")
    figure.savefig(sys.argv[2], dpi=70)


if __name__ == "__main__":
    main()
