"""`python bench/growth.py OUT.json`: what archiving costs as rows, partitions and dates grow. `--plot` draws OUT.json.

Each point is a whole `headrace archive --until-idle`, its workers included: everything in S3 when the clock stops, rows
and digests checked after it. A slope of 1 in the plot is linear growth; the last line says the steepest step of each.
"""

import argparse
import json
import math
import os
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from archive_topics import fill
from archive_whole import archive, checked
from bench_servers import running

FIGURES = {"CPU s": "CPU, s", "seconds": "by the clock, s", "peak MB": "a worker's peak, MB"}
GROWING = ("rows", "partitions", "dates")


@dataclass(frozen=True)
class Point:
    """A topic. `topic` is shared by those that only differ in rows: it is filled on from one to the next."""

    growing: str
    rows: int
    partitions: int = 4
    dates: int = 1

    @property
    def topic(self) -> str:
        """The topic's name."""
        return "growth-rows" if self.growing == "rows" else f"growth-{self.growing}-{getattr(self, self.growing)}"


def points(scale: float) -> list[Point]:
    """Return the points; `scale` 1 is half a million to eight million rows."""
    million = int(1_000_000 * scale)
    return [
        *(Point("rows", int(million * times)) for times in (0.5, 1, 2, 4, 8)),
        *(Point("partitions", million, partitions=count) for count in (1, 4, 16, 64, 250, 1_000)),
        *(Point("dates", million, dates=count) for count in (1, 5, 25, 100, 400)),
    ]


def measured(kafka: str, url: str, scale: float) -> list[dict[str, Any]]:
    """Archive each point; return its figures."""
    found, before = [], 0
    for number, point in enumerate(points(scale)):
        first = before if point.growing == "rows" else 0
        fill(kafka, point.topic, point.rows, partitions=point.partitions, dates=point.dates, first=first)
        before = point.rows
        place = f"{url}/{number}"
        run = archive(place, point.topic)
        archived = checked(place, point.topic, point.rows)
        figures = {
            "growing": point.growing,
            "rows": point.rows,
            "partitions": point.partitions,
            "dates": point.dates,
            "CPU s": round(run.cpu_s, 2),
            "seconds": round(run.wall_s, 2),
            "peak MB": run.peak_mb,
            "files": archived.files,
            "commits": archived.commits,
        }
        print(figures, file=sys.stderr, flush=True)
        found.append(figures)
    return found


def steepest(found: list[dict[str, Any]], growing: str, figure: str) -> float:
    """Return the largest slope between two neighbours, both axes logarithmic: 1 is linear."""
    line = [each for each in found if each["growing"] == growing]
    return max(
        math.log(after[figure] / before[figure]) / math.log(after[growing] / before[growing])
        for before, after in pairwise(line)
    )


def draw(found: list[dict[str, Any]], out: Path) -> None:
    """Draw each figure over what grows. Needs matplotlib."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - measuring needs none

    figure, axes = plt.subplots(
        len(FIGURES), len(GROWING), figsize=(9, 7), layout="constrained", sharex="col", sharey="row"
    )
    for column, growing in enumerate(GROWING):
        line = [each for each in found if each["growing"] == growing]
        for row, (name, label) in enumerate(FIGURES.items()):
            axis = axes[row][column]
            at = [each[growing] for each in line]
            axis.loglog(at, [each[name] for each in line], "o-", color="C0")
            axis.loglog(at, [line[0][name] * x / at[0] for x in at], "--", color="0.7", lw=0.8)
            axis.set_ylim(min(each[name] for each in found) / 1.5, max(each[name] for each in found) * 1.5)
            axis.set_xticks(at, [f"{x / 1e6:g} M" if x >= 500_000 else str(x) for x in at], fontsize=8)
            axis.set_xticks([], minor=True)
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
            axis.tick_params(axis="y", which="both", labelsize=8)
            if not column:
                axis.set_ylabel(label)
        axes[-1][column].set_xlabel(f"{growing} (dashed: linear)")
    figure.savefig(out, dpi=70)


def main() -> int:
    """Measure, or draw what was measured."""
    parser = argparse.ArgumentParser(prog="bench/growth.py", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("--scale", type=float, default=1.0, help="of the rows (%(default)s: up to eight million)")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw what OUT.json has, and measure nothing")
    arguments = parser.parse_args()
    if not arguments.plot:
        with running() as instance:
            found = measured(instance.kafka.bootstrap, os.environ["HEADRACE_ARCHIVE"] + "/growth", arguments.scale)
        arguments.out.write_text("".join(json.dumps(each) + "\n" for each in found))
    found = [json.loads(line) for line in arguments.out.read_text().splitlines()]
    if arguments.plot:
        draw(found, arguments.plot)
    for growing in GROWING:
        slopes = ", ".join(f"{name} {steepest(found, growing, name):.2f}" for name in FIGURES)
        print(f"steepest step as {growing} grow: {slopes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
