"""The picture of a training's losses."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np

from waveunet_tf.system import files


def plot_losses(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Draws the losses of a history.jsonl over its steps.

    Args:
        history: The file, one JSON object an epoch.
        path: The picture to write.

    Raises:
        OSError: The picture cannot be written.
    """
    from matplotlib.figure import Figure

    lines = pathlib.Path(history).read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if "loss" in record]
    steps = [record["step"] for record in records]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "validation_loss"):
        values = np.array([record[name] for record in records], float)  # None: nan
        axes.plot(steps, values, marker=".", label=name.replace("_", " "))
    for before, after in zip(records, records[1:]):
        if before["stage"] != after["stage"]:
            axes.axvline(before["step"], color="gray", linestyle=":", label="stage 2")
    if all(record["loss"] > 0 for record in records):
        axes.set_yscale("log")  # but not of a loss in dB
    axes.set_xlabel("step")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    with files.atomic_file(path) as part:
        figure.savefig(part, dpi=100)
