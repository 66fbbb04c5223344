"""What a check found: one finding a line, as a table, as JSON and as a verdict."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence

PARTS = ("there", "right", "fast", "survives")
"""The parts of the check, in the order in which they are told."""
OK = "ok"
WRONG = "WRONG"
LEFT_OUT = "left out"
_WIDTH = 12


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        part: One of PARTS.
        name: What was checked.
        status: OK, WRONG or LEFT_OUT.
        text: What was found, or why it was left out.
        mend: The one line that mends it; empty where nothing is wrong.
        numbers: What was measured, for programs.
    """

    part: str
    name: str
    status: str
    text: str
    mend: str = ""
    numbers: dict = dataclasses.field(default_factory=dict)


class Findings:
    """Collects findings, and writes each into a file at once.

    So what a process found before it was killed is not lost.
    """

    def __init__(self, part: str, path: pathlib.Path | None = None):
        """Begins with nothing.

        Args:
            part: The part that all of them belong to.
            path: A file, to which each is appended as a line of JSON.
        """
        self._part, self._path = part, path
        self.found: list[Finding] = []

    def add(
        self, name: str, status: str, text: str, mend: str = "", **numbers
    ) -> Finding:
        """Adds a finding; its fields are those of Finding."""
        finding = Finding(self._part, name, status, text, mend, numbers)
        self.found.append(finding)
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(finding)) + "\n")
        return finding

    def judge(self, name: str, good: bool, text: str, mend: str = "", **numbers):
        """Adds a finding that is OK or WRONG; only a wrong one keeps `mend`."""
        return self.add(
            name, OK if good else WRONG, text, "" if good else mend, **numbers
        )


def read_findings(path: pathlib.Path) -> list[Finding]:
    """Reads the file of a Findings; a last line that is not whole is dropped."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(Finding(**json.loads(line)))
        except ValueError:
            break
    return found


def format_findings(findings: Sequence[Finding]) -> str:
    """Returns the table: a line a finding, and below a wrong one what mends it."""
    lines = []
    width = max((len(finding.name) for finding in findings), default=0)
    for part in PARTS:
        own = [finding for finding in findings if finding.part == part]
        lines += ["", part] if own else []
        for one in own:
            lines.append(f"  {one.status:<{_WIDTH}}{one.name:<{width}}  {one.text}")
            if one.mend:
                lines.append(f"  {'':<{_WIDTH}}→ {one.mend}")
    return "\n".join(lines).lstrip("\n")


def verdict_of(findings: Sequence[Finding], *, on_gpu: bool) -> str:
    """Says in plain sentences what the findings mean.

    Args:
        findings: All of them.
        on_gpu: Whether a GPU was checked.
    """
    wrong = [finding for finding in findings if finding.status == WRONG]
    left_out = [finding for finding in findings if finding.status == LEFT_OUT]
    where = "the GPU" if on_gpu else "the CPU; no GPU was tried"
    lines = [f"Everything that ran is right on {where}."]
    if wrong:
        names = "; ".join(f"{one.part}: {one.name}" for one in wrong)
        count = "1 thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        lines = [f"{count} WRONG on {where} ({names})."]
    if left_out:
        lines.append(
            f"{len(left_out)} of {len(findings)} checks were left out; the table says "
            "why."
        )
    if fastest := fastest_of(findings):
        lines.append(
            f"The fastest that is right here: `waveunet train {fastest['flags']}`, "
            f"{fastest['steps_per_second']:.3g} steps a second of "
            f"{fastest['network']}."
        )
    return "\n".join(lines)


def fastest_of(findings: Sequence[Finding]) -> dict | None:
    """Returns the numbers of the fastest way to train that was also found right.

    Args:
        findings: All of them.

    Returns:
        The numbers of its finding in `fast`; None where no way was measured.
    """
    wrong_ways = {
        finding.numbers.get("way")
        for finding in findings
        if finding.part == "right" and finding.status == WRONG
    }
    rates = [
        finding.numbers
        for finding in findings
        if "steps_per_second" in finding.numbers and finding.status == OK
    ]
    if not rates:
        return None
    network = rates[0]["network"]  # ways are compared on one network
    own = [
        numbers
        for numbers in rates
        if numbers["network"] == network and numbers["way"] not in wrong_ways
    ]
    return max(own, key=lambda numbers: numbers["steps_per_second"], default=None)


def to_report(findings: Sequence[Finding], **facts) -> dict:
    """Returns what the JSON file holds: the facts, the verdict's code and findings."""
    wrong = any(finding.status == WRONG for finding in findings)
    return {
        "format_version": 1,
        "right": not wrong,
        **facts,
        "fastest": fastest_of(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
