"""One part of a check, in a process of its own: `python -m waveunet_tf.checkup.probe`.

A part sets TensorFlow's devices, which a process can do once. It may also crash, hang
or be killed for want of memory; what it found before that lies in its file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys

from waveunet_tf.checkup import children
from waveunet_tf.checkup.findings import (
    LEFT_OUT,
    WRONG,
    Finding,
    Findings,
    read_findings,
)
from waveunet_tf.checkup.sizes import SIZES, Sizes, Way
from waveunet_tf.system import quiet_import


@dataclasses.dataclass(frozen=True)
class ProbeSettings:
    """What a part needs to know.

    Attributes:
        sizes: One of SIZES.
        precisions: The precisions to check.
        device: The device, such as "GPU:0".
        folder: A folder for its files.
        wants_gpu: Whether a missing GPU is wrong.
        profile_dir: Where a profile goes; empty for none.
        fastest: The precision, and whether XLA compiles, of steps on excerpts.
    """

    sizes: str
    precisions: tuple[str, ...]
    device: str
    folder: str
    wants_gpu: bool = False
    profile_dir: str = ""
    fastest: tuple[str, bool] = ("float32", False)

    @property
    def size(self) -> Sizes:
        """How much is computed."""
        return SIZES[self.sizes]

    @property
    def way(self) -> Way:
        """The way of steps on excerpts."""
        return Way(*self.fastest, tf32=self.device.startswith("GPU"))


def _equipment(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup.equipment import check_equipment

    check_equipment(findings, wants_gpu=settings.wants_gpu)


def _steps(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup.correctness import check_steps

    check_steps(findings, settings.size, settings.precisions, settings.device)


def _agreement(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup import agreement

    folder = pathlib.Path(settings.folder)
    agreement.save_small_checkpoint(folder / "checkpoint", settings.size)
    words = ["waveunet_tf", "export", f"--checkpoint={folder / 'checkpoint'}"]
    words += [f"--output={folder / 'exported'}", "--formats=saved_model"]
    # It goes with this part where the part's time is up.
    ended = children.run_child(words, dict(os.environ), 120, own_group=False)
    saved_model = None
    if ended.code == 0:
        saved_model = next(folder.glob("exported/**/saved_model.pb")).parent
    else:
        findings.add("the SavedModel", WRONG, ended.last_line, "see the line above")
    agreement.check_agreement(
        findings,
        settings.size,
        settings.device,
        folder / "checkpoint",
        saved_model,
    )


def _replicas(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup.replicas import check_replicas

    check_replicas(findings, settings.size, settings.device)


def _rates(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup.speed import check_rates

    profile = pathlib.Path(settings.profile_dir) if settings.profile_dir else None
    check_rates(findings, settings.size, settings.precisions, settings.device, profile)


def _pipeline(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup.noise_stems import write_noise_stems
    from waveunet_tf.checkup.speed import check_pipeline

    config = settings.size.works[0].config
    data_dir = pathlib.Path(settings.folder) / "stems of noise"
    write_noise_stems(data_dir, config, seconds=30)
    check_pipeline(findings, settings.size, data_dir, settings.way, settings.device)


def _memory(findings: Findings, settings: ProbeSettings) -> None:
    from waveunet_tf.checkup.memory_use import check_memory

    check_memory(findings, settings.size.works[0], settings.way, settings.device)


# A probe's name → the part of its findings, and what it does.
PROBES = {
    "equipment": ("there", _equipment),
    "steps": ("right", _steps),
    "agreement": ("right", _agreement),
    "replicas": ("right", _replicas),
    "rates": ("fast", _rates),
    "pipeline": ("fast", _pipeline),
    "memory": ("fast", _memory),
}
"""The parts of a check, in their order."""


def run_probe(
    name: str,
    settings: ProbeSettings,
    environment: dict[str, str],
    seconds: float,
) -> list[Finding]:
    """Runs a part in a process of its own.

    Args:
        name: One of PROBES.
        settings: What it needs to know.
        environment: Its environment.
        seconds: The time that it has.

    Returns:
        What it found; where it died or its time was up, the last finding says so.
    """
    path = pathlib.Path(settings.folder) / f"{name}.jsonl"
    text = json.dumps(dataclasses.asdict(settings))
    words = ["waveunet_tf.checkup.probe", name, text, str(path)]
    ended = children.run_child(words, environment, seconds)
    found = read_findings(path)
    part, _ = PROBES[name]
    if ended.code is None:
        text = f"its {seconds:.0f} s were up before its end (--seconds gives more)"
        found.append(Finding(part, f"the rest of {name}", LEFT_OUT, text))
    elif ended.code:
        text = f"ended with exit code {ended.code}: {ended.last_line[:200]}"
        mend = f"python -m {' '.join(words[:2])} … shows all of the error"
        found.append(Finding(part, name, WRONG, text, mend))
    return found


def main(arguments: list[str]) -> None:
    """Runs a part, and writes what it finds.

    Args:
        arguments: The name of the part, its ProbeSettings as JSON, and the file.
    """
    quiet_import.import_quietly()
    name, text, path = arguments
    values = json.loads(text)
    for field in ("precisions", "fastest"):
        values[field] = tuple(values[field])
    part, work = PROBES[name]
    work(Findings(part, pathlib.Path(path)), ProbeSettings(**values))


if __name__ == "__main__":
    main(sys.argv[1:])
