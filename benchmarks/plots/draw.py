"""Draws the plots, with matplotlib.

python -m benchmarks.plots.draw SIZES.json     # what `python -m benchmarks.sizes --json` printed
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_COLOURS = ("#1b6ca8", "#c8553d", "#3d8361", "#8e5ea2", "#b8860b", "#555555")


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _panels(count: int, title: str) -> tuple[Any, list[Any]]:
    figure, axes = _pyplot().subplots(1, count, figsize=(6.2 * count, 4.6), sharey=True, squeeze=False)
    figure.suptitle(title, fontsize=12)
    for axis in axes[0]:
        axis.grid(True, which="major", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def sizes(report: dict[str, Any], path: Path) -> None:
    """The cost of each row against the number of nodes, one panel a database."""
    databases = list(dict.fromkeys(finding["database"] for finding in report["findings"]))
    figure, panels = _panels(len(databases), "Cost against the size of a channel (medians; bars from p10 to p90)")
    for axis, database in zip(panels, databases, strict=True):
        rows = [one for one in report["findings"] if one["database"] == database and not one["row"].startswith("load")]
        for colour, row in zip(_COLOURS, rows, strict=False):
            _row(axis, row, colour)
        axis.set(xscale="log", yscale="log", title=database, xlabel="nodes in the channel")
    panels[0].set_ylabel("seconds")
    panels[-1].legend(fontsize=8, frameon=False, loc="upper left")
    _save(figure, path)


def _row(axis: Any, row: dict[str, Any], colour: str) -> None:
    points = sorted((int(name.split()[0].replace(",", "")), times) for name, times in row["seconds"].items())
    middle = [times["p50"] for _, times in points]
    spread = [
        [max(times["p50"] - times["p10"], 0) for _, times in points],
        [max(times["p90"] - times["p50"], 0) for _, times in points],
    ]
    style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4, "linewidth": 1.5, "capsize": 2}
    axis.errorbar([size for size, _ in points], middle, yerr=spread, label=row["row"], **style)


def staleness(runs: list[tuple[str, list[tuple[float, float]]]], path: Path) -> None:
    """How long each revision took to be shown, over the run; and the share of revisions shown within a time."""
    figure, axes = _pyplot().subplots(1, 2, figsize=(12.4, 4.6))
    figure.suptitle("From a commit to the first answer of another process that shows it", fontsize=12)
    for colour, (label, points) in zip(_COLOURS, runs, strict=False):
        axes[0].plot([at for at, _ in points], [took * 1e3 for _, took in points], ".", ms=1.5, color=colour)
        ordered = sorted(took * 1e3 for _, took in points)
        axes[1].plot(ordered, [(n + 1) / len(ordered) for n in range(len(ordered))], color=colour, label=label)
    axes[0].set(xlabel="seconds of the run", ylabel="milliseconds", yscale="log")
    axes[1].set(xlabel="milliseconds", ylabel="share of revisions", xscale="log")
    axes[1].legend(fontsize=8, frameon=False, loc="upper left")
    for axis in axes:
        axis.grid(True, alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def main() -> None:
    sizes(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), FOLDER / "sizes.png")


if __name__ == "__main__":
    main()
