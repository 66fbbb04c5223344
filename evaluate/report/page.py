"""The page of a report: tables, figures and the player, as one HTML file."""

from __future__ import annotations

import html
import json
import pathlib
import shutil
import string
from collections.abc import Sequence
from typing import NamedTuple

from waveunet_tf.evaluate import figures
from waveunet_tf.evaluate.player import player_files

WHAT = "report"
"""What the list in a report's folder says that it is."""
_ROOM = pathlib.Path(__file__).parent
_OWN_SCRIPTS = ("chart.js", "report.js")
# The page loads them in this order.
_SCRIPTS = ("uPlot.iife.min.js", *player_files.SCRIPTS, *_OWN_SCRIPTS)
_STYLES = ("uPlot.min.css", *player_files.STYLES, "report.css")
_DOWNLOADS = (
    '<p class="note">The same numbers: <a href="summary.csv">summary.csv</a>, '
    '<a href="summary.json">summary.json</a>.</p>'
)


class Picture(NamedTuple):
    """A figure of the page: figures/<stem>.png and .svg, and its caption."""

    stem: str
    caption: str


def write_assets(folder: pathlib.Path) -> None:
    """Copies scripts and styles, the page's own and the bundled, and the licences."""
    assets = folder / "assets"
    vendor = _ROOM / "vendor"
    # `copytree` would put all of a full disk's errors into one.
    for path in sorted(path for path in vendor.rglob("*") if path.is_file()):
        target = assets / path.relative_to(vendor)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    player_files.copy_player(assets)
    for name in (*_OWN_SCRIPTS, "report.css"):
        shutil.copyfile(_ROOM / "web" / name, assets / name)


def write_index(
    folder: pathlib.Path,
    *,
    systems: Sequence[str],
    tracks_scored: int,
    tables: str,
    pictures: Sequence[Picture],
    tracks: Sequence[str],
) -> None:
    """Writes index.html, for the files that the folder holds already.

    Args:
        folder: The report's folder.
        systems: The systems' names.
        tracks_scored: The number of tracks with scores of all systems.
        tables: The tables as HTML.
        pictures: The figures to show.
        tracks: The names of the tracks tracks/1.js, tracks/2.js, …
    """
    plural = "" if tracks_scored == 1 else "s"
    sections = {"scores": ("Scores", f"{tables}\n{_DOWNLOADS}")}
    if tracks:
        sections["listen"] = ("Listen", _player(systems, tracks))
    if pictures:
        sections["figures"] = ("Figures", _figures(pictures))
    scripts = [f'<script src="assets/{name}"></script>' for name in _SCRIPTS]
    styles = [f'<link rel="stylesheet" href="assets/{name}">' for name in _STYLES]
    text = _fill(
        "page.html",
        title=html.escape("Separation: " + ", ".join(systems)),
        subtitle=f"{tracks_scored} track{plural} with scores of all systems",
        styles="\n".join(styles),
        navigation="\n".join(
            f'<a href="#{key}">{heading}</a>' for key, (heading, _) in sections.items()
        ),
        sections="\n".join(
            f'<section id="{key}" aria-labelledby="{key}-heading">\n'
            f'<h2 id="{key}-heading">{heading}</h2>\n{content}\n</section>'
            for key, (heading, content) in sections.items()
        ),
        scripts="\n".join(scripts) if tracks else "",
    )
    (folder / "index.html").write_text(
        text, encoding="utf-8", errors="backslashreplace"
    )


def _fill(name: str, **values: str) -> str:
    template = string.Template((_ROOM / "web" / name).read_text(encoding="utf-8"))
    return template.substitute(values).rstrip("\n")


def _player(systems: Sequence[str], tracks: Sequence[str]) -> str:
    known = [
        {"name": name, "colour": figures.color_of(place)}
        for place, name in enumerate(systems)
    ]
    options = [
        f'<option value="{number}">{html.escape(name)}</option>'
        for number, name in enumerate(tracks, 1)
    ]
    # A script has no entities, but </script> ends it, and <!-- may hide its end.
    return _fill(
        "listen.html",
        options="".join(options),
        systems=json.dumps(known).replace("<", "\\u003c"),
    )


def _figures(pictures: Sequence[Picture]) -> str:
    shown = []
    for stem, caption in pictures:
        caption = html.escape(caption)
        shown.append(
            f'<figure><a href="figures/{stem}.svg"><img src="figures/{stem}.png" '
            f'alt="{caption}" loading="lazy"></a><figcaption>{caption}</figcaption>'
            "</figure>"
        )
    return f'<div class="figures">\n{chr(10).join(shown)}\n</div>'
