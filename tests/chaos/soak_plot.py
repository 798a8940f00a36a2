"""Draws a soak: memory, open files and threads of each process, over time, with the moments of the faults."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from chaos.soak import Sample


def draw(samples: Mapping[int, Sequence[Sample]], faults_s: Sequence[float], path: Path) -> None:
    """Write a PNG of under 100 kB."""
    panels = [("memory, MiB", "memory_mib"), ("open files", "files"), ("threads", "threads")]
    figure, axes = plt.subplots(len(panels), 1, figsize=(9, 6), sharex=True, layout="constrained")
    for axis, (title, name) in zip(axes, panels, strict=True):
        for number, each in enumerate(samples.values()):
            axis.plot([s.at_s / 60 for s in each], [getattr(s, name) for s in each], lw=1, color=f"C{number % 10}")
        axis.set_ylabel(title)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    for at_s in faults_s:
        axes[0].axvline(at_s / 60, ymax=0.04, color="0.4", lw=0.6)
    axes[-1].set_xlabel("minutes; one line a worker process; a mark at the foot of the first panel is a fault")
    figure.savefig(path, dpi=80)
    plt.close(figure)
