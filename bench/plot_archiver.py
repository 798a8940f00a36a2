"""`python bench/plot_archiver.py OUT.png`: draws the newest run in bench/results/archiver.jsonl. Needs matplotlib."""

import json
import sys
from pathlib import Path

from archive_bare import STEPS
from archiver_cases import RESULTS
from matplotlib import pyplot as plt


def main() -> None:
    """Draw, for each case, the bare steps beside one worker's stages, in microseconds of CPU a record."""
    cases = json.loads(RESULTS.read_text().splitlines()[-1])["cases"]
    names = list(dict.fromkeys([*STEPS, *(name for case in cases for name in case["stages"])]))
    colors = dict(zip(names, plt.get_cmap("tab20").colors, strict=False))  # type: ignore[attr-defined]
    figure, axis = plt.subplots(figsize=(9, 0.75 * len(cases) + 1.2), layout="constrained")
    labels: list[str] = []
    for number, case in enumerate(cases):
        scale = case["whole"]  # cases cost 2 to 30 us: each is drawn as shares of its whole
        for offset, parts in ((0.18, case["bare"]), (-0.18, case["stages"])):
            left = 0.0
            for name, cost in parts.items():
                label = name if name not in labels else None
                labels += [name] if label else []
                axis.barh(-number + offset, cost / scale, 0.32, left=left, color=colors[name], label=label)
                left += cost / scale
    axis.axvline(1.0, color="0.4", lw=0.8)
    axis.set_yticks([-n for n in range(len(cases))], [f"{case['case']}\n{case['whole']:.2f} us" for case in cases])
    axis.set_xlabel("of the whole command's CPU a record; above: the bare steps, below: one worker by stage")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    figure.savefig(Path(sys.argv[1]), dpi=70)


if __name__ == "__main__":
    main()
