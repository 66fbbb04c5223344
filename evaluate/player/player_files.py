"""The player of stems: scripts and a style sheet, which pages load.

A report loads them, and so does the site that separates in the browser. They are
classic scripts, for a page from the file system may load no modules.
"""

from __future__ import annotations

import pathlib
import shutil

_WEB = pathlib.Path(__file__).parent / "web"
# A page loads them in this order.
SCRIPTS = ("elements.js", "mixer.js", "waveform.js", "lane.js", "player.js")
STYLES = ("player.css",)


def copy_player(folder: pathlib.Path) -> None:
    """Copies the player's scripts and styles.

    Args:
        folder: An existing folder.
    """
    for name in (*SCRIPTS, *STYLES):
        shutil.copyfile(_WEB / name, folder / name)
