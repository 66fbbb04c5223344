"""Runs all parts of a check, each within what is left of the time."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable

from waveunet_tf.checkup import children, probe
from waveunet_tf.checkup.endurance import Endurance
from waveunet_tf.checkup.findings import (
    LEFT_OUT,
    WRONG,
    Finding,
    Findings,
    fastest_of,
)
from waveunet_tf.checkup.noise_stems import write_noise_stems
from waveunet_tf.checkup.sizes import PRECISIONS, SIZES, require_precisions
from waveunet_tf.errors import InputError

DEFAULT_SECONDS = 240.0
# Less time than this is not worth a start of TensorFlow.
_LEAST_SECONDS = 12.0
# Parts get this of the time, however long those before them take: for a card XLA
# compiles for minutes.
_KEPT = {"rates": 0.2, "pipeline": 0.1, "memory": 0.1, "endurance": 0.3}


@dataclasses.dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        findings: What was found.
        on_gpu: Whether a GPU was checked.
        sizes: One of SIZES.
        seconds: How long it took.
    """

    findings: tuple[Finding, ...]
    on_gpu: bool
    sizes: str
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.status == WRONG for finding in self.findings)


def check_machine(
    *,
    device: str = "auto",
    gpus: str | None = None,
    precisions: tuple[str, ...] = PRECISIONS,
    sizes: str | None = None,
    seconds: float = DEFAULT_SECONDS,
    parts: tuple[str, ...] = (),
    profile_dir: str | None = None,
    on_part: Callable[[str], None] = lambda name: None,
) -> Checked:
    """Checks the training on this machine.

    Args:
        device: "gpu"; "cpu"; or "auto", a GPU if TensorFlow finds one.
        gpus: The numbers of the GPUs to see; by default those of the environment.
        precisions: The precisions to check.
        sizes: One of SIZES; by default "full" on a GPU and "tiny" on a CPU.
        seconds: The time for all of it.
        parts: Names of probe.PROBES, or "endurance", to run only these beside the
            first; by default all.
        profile_dir: Where a profile for TensorBoard goes, if anywhere.
        on_part: Called with the name of each part before it begins.

    Raises:
        InputError: A GPU was asked for, and there is none that can be used; or a
            precision is unknown.
    """
    precisions = require_precisions(precisions)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waveunet-check-") as name:
        settings = probe.ProbeSettings(
            sizes or "tiny", precisions, "CPU:0", name, wants_gpu=device == "gpu"
        )
        environment = children.environment_of(on_gpu=device != "cpu", gpus=gpus)
        on_part("equipment")
        found = probe.run_probe("equipment", settings, environment, seconds)
        on_gpu = any(finding.numbers.get("gpus") for finding in found)
        if device == "gpu" and not on_gpu:
            raise InputError(_why_no_gpu(found))
        settings = dataclasses.replace(
            settings,
            sizes=sizes or ("full" if on_gpu else "tiny"),
            device="GPU:0" if on_gpu else "CPU:0",
            profile_dir=profile_dir or "",
        )
        plan = _Plan(settings, environment, found, began + seconds, on_part)
        plan.run(parts or (*probe.PROBES, "endurance"))
        return Checked(
            tuple(plan.found), on_gpu, settings.sizes, time.monotonic() - began
        )


def _why_no_gpu(found: list[Finding]) -> str:
    """Says in one line why there is no GPU, from what the equipment told."""
    wrong = [finding for finding in found if finding.status == WRONG]
    named = [finding for finding in wrong if finding.name == "GPUs of TensorFlow"]
    for finding in named or wrong:
        mend = f"; {finding.mend}" if finding.mend else ""
        return f"`device` is gpu, but TensorFlow finds {finding.text}{mend}"
    return "`device` is gpu, but TensorFlow finds none"


class _Plan:
    """Runs part after part until the time is up."""

    def __init__(
        self,
        settings: probe.ProbeSettings,
        environment: dict[str, str],
        found: list[Finding],
        until: float,
        on_part: Callable[[str], None],
    ):
        self.found = found
        self._settings, self._environment = settings, environment
        self._until, self._on_part = until, on_part
        self._whole = until - time.monotonic()

    def run(self, parts: tuple[str, ...]) -> None:
        """Runs the parts after the equipment, in their order."""
        waiting = [name for name in (*probe.PROBES, "endurance") if name in parts]
        for name in probe.PROBES:
            if name == "equipment" or name not in parts:
                continue
            waiting = waiting[waiting.index(name) + 1 :]
            kept = self._whole * sum(_KEPT.get(later, 0.0) for later in waiting)
            left = self._until - time.monotonic() - kept
            if left < _LEAST_SECONDS:
                part, _ = probe.PROBES[name]
                self._leave_out(part, name)
                continue
            self._on_part(name)
            self.found += probe.run_probe(name, self._settings, self._environment, left)
            if name == "rates" and (fastest := fastest_of(self.found)):
                way = (fastest["way"].partition(",")[0], "XLA" in fastest["way"])
                self._settings = dataclasses.replace(self._settings, fastest=way)
        if "endurance" in parts:
            self._endure()

    def _leave_out(self, part: str, name: str) -> None:
        text = "the time was up (--seconds gives more)"
        self.found.append(Finding(part, name, LEFT_OUT, text))

    def _endure(self) -> None:
        left = self._until - time.monotonic()
        if left < _LEAST_SECONDS:
            self._leave_out("survives", "endurance")
            return
        self._on_part("endurance")
        folder = pathlib.Path(self._settings.folder) / "trainings"
        config = SIZES[self._settings.sizes].small
        write_noise_stems(folder / "stems", config, seconds=20)
        findings = Findings("survives")
        Endurance(
            findings,
            config,
            device=self._settings.device.partition(":")[0].lower(),
            data_dir=folder / "stems",
            folder=folder,
            environment=self._environment,
            seconds=left,
        ).check_all()
        self.found += findings.found
