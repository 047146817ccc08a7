"""Draw docs/pictures/mask_quality.png and a table of docs/masks.md from the rows of experiments/mask_quality.py.

    python docs/pictures/make_mask_quality.py

A row of panels for each task of the file and a column for each distractor; a condition may have any number of seeds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import spearmanr

DOCS = Path(__file__).parent.parent
ROWS = DOCS / "results" / "mask_quality.jsonl"
BEGIN, END = "<!-- table of mask quality: begin -->\n", "<!-- table of mask quality: end -->\n"
SIMULATOR, NO_MASK = "simulator", "no mask (LAPO)"
# The first word of a condition, its colour and marker; what has no entry is drawn like the first.
LOOKS = {
    "simulator": ("black", "*"),
    "student": ("tab:blue", "o"),
    "motion": ("tab:cyan", "o"),
    "erosion": ("tab:red", "v"),
    "dilation": ("tab:orange", "^"),
    "occlusion": ("tab:brown", "s"),
    "dropout": ("tab:purple", "D"),
    "flicker": ("tab:pink", "D"),
    "latency": ("tab:green", ">"),
    "false positives": ("tab:olive", "P"),
    "ghost": ("tab:gray", "X"),
}

Group = dict[str, list[dict[str, Any]]]


def read() -> dict[tuple[str, str], Group]:
    """The rows of each task and distractor, by condition.

    :raises ValueError: when the file mixes runs of several lengths, or has a seed twice
    """
    groups: dict[tuple[str, str], Group] = defaultdict(lambda: defaultdict(list))
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    if len(lengths := sorted({row["samples"] for row in rows})) > 1:
        raise ValueError(f"{ROWS} mixes runs of {lengths} samples; draw those of one length")
    for row in rows:
        group = groups[row["task"], row["distractor"]][row["condition"]]
        if row["seed"] in {other["seed"] for other in group}:
            raise ValueError(f"{ROWS} has seed {row['seed']} of {row['condition']!r}, {row['task']}, twice")
        group.append(row)
    return groups


def family(condition: str) -> str:
    """What kind of masks a condition has."""
    return next((name for name in LOOKS if condition.startswith(name)), SIMULATOR)


def numbers(rows: list[dict[str, Any]], key: str) -> np.ndarray:
    """One number of every seed."""
    return np.array([row[key] for row in rows])


def seeds(group: Group) -> str:
    """How many seeds the conditions of a panel have."""
    counts = sorted({len(rows) for rows in group.values()})
    several = f"{counts[0]} - {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return f"{several} seed{'s' if counts[-1] > 1 else ''}"


def draw(groups: dict[tuple[str, str], Group]) -> None:
    """A panel for each task and distractor; a bar reaches from the best seed to the worst, one seed alone is hollow."""
    tasks, distractors = (list(dict.fromkeys(key[i] for key in groups)) for i in (0, 1))
    figure = Figure(figsize=(5.2 * len(distractors), 3.8 * len(tasks) + 0.6), layout="constrained")
    axes = figure.subplots(len(tasks), len(distractors), sharex=True, sharey="row", squeeze=False)
    for i, task in enumerate(tasks):
        for j, distractor in enumerate(distractors):
            panel, group = axes[i][j], groups.get((task, distractor))
            if group is None:
                panel.set_visible(False)
                continue
            panel.set_title(f"{task}, {distractor} ({seeds(group)})", fontsize=10)
            draw_panel(panel, group)
            panel.tick_params(labelbottom=True, labelleft=True)
            panel.set_xlabel("IoU of the masks with the simulator's")
            panel.set_ylabel("NMSE of the probe (lower is better)")
    handles = [Line2D([], [], color=c, marker=m, linestyle="", label=name) for name, (c, m) in LOOKS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(DOCS / "pictures" / "mask_quality.png", dpi=110)


def draw_panel(panel: Any, group: Group) -> None:
    """NMSE over IoU."""
    for name, style in ((NO_MASK, "--"), (SIMULATOR, ":")):
        if name in group:
            level = numbers(group[name], "nmse").mean()
            panel.axhline(level, color="black", linestyle=style, linewidth=1)
            panel.text(1.0, level, name, ha="right", va="bottom", fontsize=7)
    for condition, rows in group.items():
        if condition == NO_MASK:
            continue
        colour, marker = LOOKS[family(condition)]
        iou, nmse = numbers(rows, "iou_mean").mean(), numbers(rows, "nmse")
        panel.plot([iou, iou], [nmse.min(), nmse.max()], color=colour, linewidth=1, alpha=0.6)
        filled = colour if len(rows) > 1 else "none"
        panel.plot(iou, nmse.mean(), marker, color=colour, markerfacecolor=filled, markersize=6)
        words = condition.removeprefix(family(condition)).strip(" ,")
        panel.annotate(words, (iou, nmse.mean()), (4, 3), textcoords="offset points", fontsize=6, color=colour)


def cell(rows: list[dict[str, Any]]) -> str:
    """Mean NMSE, of several seeds the lowest and the highest, and how many there are."""
    nmse = numbers(rows, "nmse")
    spread = f"{nmse.min():.2f} - {nmse.max():.2f}; " if len(nmse) > 1 else ""
    return f"{nmse.mean():.2f} ({spread}{len(nmse)})"


def table(groups: dict[tuple[str, str], Group]) -> str:
    """Conditions down, sorted by their mean NMSE relative to the simulator's; tasks and distractors across."""
    known = list(dict.fromkeys(condition for group in groups.values() for condition in group))

    def cost(condition: str) -> float:
        ratios = [
            numbers(group[condition], "nmse").mean() / numbers(group[SIMULATOR], "nmse").mean()
            for group in groups.values()
            if condition in group and SIMULATOR in group
        ]
        return float(np.mean(ratios)) if ratios else float("inf")

    names = [f"{task.removeprefix('Mask').removesuffix('-v0')}, `{distractor}`" for task, distractor in groups]
    lines = ["| masks | IoU | precision | recall | " + " | ".join(names) + " |", "| --- " * (4 + len(names)) + "|"]
    for condition in sorted(known, key=cost):
        spread = []
        for key in ("iou_mean", "precision", "recall"):
            by_group = [numbers(group[condition], key).mean() for group in groups.values() if condition in group]
            low, high = f"{min(by_group):.2f}", f"{max(by_group):.2f}"
            spread.append("-" if condition == NO_MASK else low if low == high else f"{low} - {high}")
        cells = [cell(group[condition]) if condition in group else "" for group in groups.values()]
        lines.append(f"| {condition} | {' | '.join(spread)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def correlations(groups: dict[tuple[str, str], Group]) -> str:
    """How well one number of the masks orders their conditions by NMSE, in each panel."""
    lines = []
    for (task, distractor), group in groups.items():
        conditions = [c for c in group if c != NO_MASK]
        if len(conditions) < 3:
            continue
        nmse = [numbers(group[c], "nmse").mean() for c in conditions]
        found = {
            key: spearmanr([numbers(group[c], key).mean() for c in conditions], nmse).statistic
            for key in ("iou_mean", "boundary_f", "precision", "recall", "flicker", "empty")
        }
        lines.append(f"{task} {distractor}: " + ", ".join(f"{key} {value:+.2f}" for key, value in found.items()))
    return "\n".join(lines)


def main() -> None:
    """Draw, write and print."""
    groups = read()
    draw(groups)
    page = DOCS / "masks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + table(groups) + END + after)
    print("Spearman's rank correlation with the NMSE over conditions\n" + correlations(groups))


if __name__ == "__main__":
    main()
