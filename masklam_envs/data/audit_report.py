"""An audit in words and pictures: a table for the terminal, one HTML file or one PNG."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from masklam_envs.data.audit import Audit
from masklam_envs.pictures import outlined
from masklam_envs.whole import whole_file

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ audit.name }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
 table { border-collapse: collapse } td { padding: .15em 1em .15em 0; vertical-align: top }
 td:first-child { color: #666; white-space: nowrap }
 img { max-width: 100% } .flags li { color: #a30 } .good { color: #174 }
</style></head><body>
<h1>{{ audit.name }}</h1>
{% if audit.flags %}<ul class="flags">{% for flag in audit.flags %}<li>{{ flag }}</li>{% endfor %}</ul>
{% else %}<p class="good">Nothing found that would make a result meaningless.</p>{% endif %}
{% if audit.damaged %}<ul>{% for line in audit.damaged %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
<table>{% for name, value in rows %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table>
{% if picture %}<p><img alt="distributions and sample frames" src="data:image/png;base64,{{ picture }}"></p>{% endif %}
</body></html>
"""


def rows_of(audit: Audit) -> list[tuple[str, str]]:
    """What was measured, as names and values."""
    if audit.damaged:
        return [("damaged", f"{len(audit.damaged)} pieces")]
    meta, actions = audit.meta, audit.actions
    source = meta.get("source") or {}
    rows = [
        ("from", str(meta.get("task") or meta.get("base") or f"{source.get('format')} {source.get('name')}")),
        ("policy", f"{meta.get('policy', 'unknown')}, noise {meta.get('noise', 'unknown')}"),
        ("episodes", f"{len(audit.lengths)}, {int(audit.lengths.sum())} steps"),
        ("lengths", _spread(audit.lengths, "{:.0f}")),
        (
            "returns",
            _spread(audit.returns, "{:.4g}") + f", mean {np.mean(audit.returns) if len(audit.returns) else 0:.4g}",
        ),
    ]
    if actions.shape[1]:
        rows += [
            ("action variance", " ".join(f"{v:.4f}" for v in audit.variance)),
            ("NMSE denominator", f"{audit.variance.mean():.4f} (mean of the variances of clipped actions)"),
            ("at a bound", " ".join(f"{share:.0%}" for share in audit.saturation)),
        ]
    if audit.correlation is not None:
        found = audit.correlation
        rows.append(
            (
                f"background ({audit.motion})",
                f"correlation with the actions {found.multiple_correlation:.3f}, R2 held out {found.r2:.3f}, canonical "
                + " ".join(f"{value:.3f}" for value in found.canonical),
            )
        )
    elif actions.shape[1]:
        rows.append(("background", "does not move, or there is too little to measure"))
    if audit.pixels is not None:
        pixels = audit.pixels
        rows += [
            ("agent, pixels", _spread(pixels.agent * _area(pixels.pictures), "{:.0f}")),
            ("agent, share", _spread(100 * pixels.agent, "{:.2f}") + f" % ({pixels.frames} frames looked at)"),
            (
                "masks",
                f"from {meta.get('masks', 'simulator')}; empty in {(pixels.agent == 0).mean():.0%} of the frames, "
                f"at the border in {pixels.touching:.0%}",
            ),
            ("mask from frame to frame", f"IoU {_spread(pixels.steady, '{:.2f}')}; {pixels.blinks:.0%} blink"),
            ("frozen", f"{pixels.frozen:.1%} of the steps, at most {pixels.longest_freeze} in a row"),
            ("copies", f"{pixels.copies:.1%} of the frames are equal to an earlier one"),
        ]
    rows += [(f"masks {name!r}", words) for name, words in audit.columns.items()]
    rows += [("repeated episodes", str(len(audit.repeated))), ("replay", audit.replay)]
    return rows


def text_of(audit: Audit) -> str:
    """The audit for a terminal."""
    rows = rows_of(audit)
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    lines += [f"DAMAGED: {line}" for line in audit.damaged]
    lines += [f"FLAG: {flag}" for flag in audit.flags] or ["nothing found that would make a result meaningless"]
    return "\n".join(lines)


def write_report(audit: Audit, path: Path) -> None:
    """Draw the audit into one file.

    :param path: ends in ``.html`` or ``.png``
    :raises ValueError: for another ending
    """
    suffix = path.suffix.lower()
    if suffix not in (".html", ".png"):
        raise ValueError(f"a report is one .html or one .png file, got {path.name!r}")
    picture = b"" if audit.damaged else _drawn(audit)
    data = picture
    if suffix == ".html":
        import jinja2

        page = jinja2.Environment(autoescape=True).from_string(PAGE)
        encoded = base64.b64encode(picture).decode()
        data = page.render(audit=audit, rows=rows_of(audit), picture=encoded).encode()
    elif not picture:
        raise ValueError("a damaged dataset has no pictures; write an .html file, or read what is printed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(data)


def _area(pictures: Any) -> int:
    """Pixels of a frame, of pictures (k, H, W, 4)."""
    return int(pictures.shape[1] * pictures.shape[2])


def _spread(values: Any, form: str) -> str:
    if not len(values):
        return "none"
    return " / ".join(form.format(value) for value in np.quantile(values, (0, 0.5, 1))) + " (least, median, most)"


def _drawn(audit: Audit) -> bytes:
    """Distributions above, sample frames with the mask's outline below, as PNG."""
    from matplotlib.figure import Figure

    pixels = audit.pixels
    figure = Figure(figsize=(11, 6.5 if pixels is not None else 3), layout="constrained")
    top: Any = figure
    if pixels is not None:
        top, bottom = np.ravel(np.asarray(figure.subfigures(2, 1)))
        axes = np.atleast_1d(bottom.subplots(1, len(pixels.pictures)))
        for axis, picture in zip(axes, pixels.pictures, strict=True):
            axis.imshow(outlined(picture[..., :3], picture[..., 3:]), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
    axes = top.subplots(1, 5)
    axes[0].hist(audit.lengths, bins=20)
    axes[0].set(title="length, steps", ylabel="episodes")
    axes[1].hist(audit.returns, bins=20)
    axes[1].set(title="return")
    for dimension, values in enumerate(audit.actions.T):
        axes[2].hist(values, bins=41, histtype="step", label=str(dimension))
    axes[2].set(title="actions")
    axes[3].bar(range(len(audit.variance)), audit.variance)
    axes[3].set(title="action variance", xlabel="dimension")
    if pixels is not None:
        axes[4].hist(pixels.agent * _area(pixels.pictures), bins=20)
    axes[4].set(title="agent, pixels")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    return file.getvalue()
