"""`python bench/plot_outage.py FIGURES.json OUT.png`: draws what bench/outage.py --json wrote. Needs matplotlib."""

import json
import sys
from pathlib import Path

from matplotlib import pyplot as plt


def main() -> None:
    """Draw latency, what waits, and memory over time."""
    figures = json.loads(Path(sys.argv[1]).read_text())
    begin, at = figures["moments"]["healthy"], figures["moments"]
    figure, axes = plt.subplots(3, 1, figsize=(8, 6.5), sharex=True, layout="constrained")
    for number, seconds in enumerate(figures["apps"]):
        lines = seconds[:: max(1, len(seconds) // 300)]
        times = [line["wall"] - begin for line in lines]
        for name, color in (("p50", "tab:green"), ("p99", "tab:orange"), ("p99.9", "tab:red")):
            axes[0].plot(times, [line[name] for line in lines], color=color, lw=0.8, label=None if number else name)
        axes[1].plot(times, [line["queued"] for line in lines], lw=1)
        axes[2].plot(times, [line["private_kb"] / 1024 for line in lines], lw=1)
    for axis, text in zip(axes, ("emit(), us", "events waiting", "private memory, MB"), strict=True):
        axis.axvspan(at["outage"] - begin, at["back"] - begin, color="0.88")
        axis.set_ylabel(text)
    axes[0].set_yscale("log")
    axes[0].legend(loc="upper right", ncols=3)
    axes[2].set_ylim(bottom=0)
    axes[2].set_xlabel("seconds; grey: the broker is dead")
    figure.savefig(sys.argv[2], dpi=70)


if __name__ == "__main__":
    main()
