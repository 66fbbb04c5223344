r"""Checks that training runs here: what is there, right, fast, and survives.

    waveunet check-gpu
    waveunet check-gpu --device gpu --gpus 0 --json check.json

Prints a table and a verdict, and writes the same as JSON. Without a GPU it checks what
a CPU can, at a tiny size, and says what it left out. It takes at most --seconds, and
needs no data. Exit code 1 says that something is wrong; the line below it says what
mends it.
"""

import json
import sys

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_DEVICE = flags.DEFINE_enum(
    "device",
    "auto",
    ["auto", "cpu", "gpu"],
    "auto: a GPU if there is one. cpu: use no GPU. gpu: end with an error if there is "
    "none.",
)
_GPUS = flags.DEFINE_string(
    "gpus", None, "The numbers of the GPUs to check, such as 0 or 0,1. Default: all."
)
_PRECISIONS = flags.DEFINE_list(
    "precisions",
    ["float32", "mixed_float16", "mixed_bfloat16"],
    "The precisions to check, comma separated.",
)
_SIZES = flags.DEFINE_enum(
    "sizes",
    None,
    ["tiny", "full"],
    "full: the paper's sizes. tiny: small ones. Default: full on a GPU, else tiny.",
)
_SECONDS = flags.DEFINE_float(
    "seconds", 240.0, "The most time that all of it takes, in seconds.", lower_bound=20
)
_PARTS = flags.DEFINE_list(
    "parts",
    [],
    "Only these parts: steps, agreement, replicas, rates, pipeline, memory, endurance. "
    "Default: all.",
)
_JSON = flags.DEFINE_string(
    "json", "check-gpu.json", "The JSON file to write; an existing one is replaced."
)
_PROFILE = flags.DEFINE_string(
    "profile", None, "A folder for a trace of ten steps, for TensorBoard's profiler."
)


def main(_):
    """Checks as the flags say; returns 1 where something is wrong."""
    from waveunet_tf.checkup import findings, plan, probe, sizes

    try:
        precisions = sizes.require_precisions(_PRECISIONS.value)
    except InputError as error:
        raise app.UsageError(str(error)) from error
    known = (*list(probe.PROBES)[1:], "endurance")
    if unknown := [name for name in _PARTS.value if name not in known]:
        raise app.UsageError(
            f"--parts must be of {', '.join(known)}. Received: {', '.join(unknown)}"
        )
    checked = plan.check_machine(
        device=_DEVICE.value,
        gpus=_GPUS.value,
        precisions=precisions,
        sizes=_SIZES.value,
        seconds=_SECONDS.value,
        parts=tuple(_PARTS.value),
        profile_dir=_PROFILE.value,
        on_part=lambda name: print(f"checking: {name}", file=sys.stderr, flush=True),
    )
    verdict = findings.verdict_of(checked.findings, on_gpu=checked.on_gpu)
    report = findings.to_report(
        checked.findings,
        verdict=verdict,
        on_gpu=checked.on_gpu,
        sizes=checked.sizes,
        seconds=round(checked.seconds, 1),
    )
    # First, for it took minutes, and the file may fail.
    print(findings.format_findings(checked.findings))
    print(f"\n{verdict}", flush=True)
    with files.atomic_file(_JSON.value) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{_JSON.value}: the same for programs")
    return 0 if checked.is_right else 1


if __name__ == "__main__":
    app.run(main)
