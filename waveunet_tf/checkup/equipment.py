"""What is there: cards, driver, libraries, packages, and what mends what is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

import tensorflow as tf

from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Findings
from waveunet_tf.system import cpus, cuda_libraries, gpus


def check_equipment(findings: Findings, *, wants_gpu: bool) -> None:
    """Looks at what this machine has, and at what TensorFlow finds of it.

    Args:
        findings: Takes what is found.
        wants_gpu: Whether a GPU was asked for, so that a missing one is wrong.
    """
    build = cuda_libraries.with_versions(tf.sysconfig.get_build_info())
    findings.add("CPU", OK, f"{cpus.processor()}, {cpus.cores()} cores")
    _check_packages(findings)
    cards = gpus.list_cards()
    found = tf.config.list_physical_devices("GPU")
    _check_driver(findings, build, has_cards=bool(cards))
    _check_cards(findings, cards)
    _check_gpus(findings, build, cards, found, wants_gpu=wants_gpu)
    _check_libraries(findings, build, cards, found)


def _check_packages(findings: Findings) -> None:
    for name in ("tensorflow", "keras"):
        findings.add(name, OK, importlib.metadata.version(name))
    try:
        tfio = importlib.import_module("tensorflow_io")
        tfio.IOTensor.graph(tf.int16)  # loads what the reader needs
        findings.add("tensorflow-io", OK, importlib.metadata.version("tensorflow-io"))
    except (ImportError, NotImplementedError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if sys.version_info >= (3, 13):
            text = "has no wheel for this Python; soundfile reads the excerpts"
            findings.add("tensorflow-io", LEFT_OUT, text)
            return
        findings.add(
            "tensorflow-io",
            WRONG,
            f"{reason}; soundfile reads the excerpts, a quarter as fast",
            "pip install tensorflow-io==0.37.1 tensorflow==2.16.2",
        )


def _check_driver(findings: Findings, build: dict, *, has_cards: bool) -> None:
    driver, cuda = gpus.driver_version(), build.get("cuda_version")
    if driver is None:
        findings.add("driver", LEFT_OUT, gpus.driver_problem(None, cuda))
        return
    problem = gpus.driver_problem(driver, cuda)
    text, _, mend = (problem or f"NVIDIA {driver}").partition(": ")
    findings.judge("driver", problem is None, text, mend)
    if not has_cards:
        findings.add(
            "nvidia-smi",
            LEFT_OUT,
            "is not here or lists no card; memory and other processes are not known",
        )


def _check_cards(findings: Findings, cards: list[gpus.Card]) -> None:
    users = gpus.list_users(cards)
    for card in cards:
        problem = gpus.memory_problem(card, users)
        text, _, mend = (problem or "").partition("; ")
        own = [gpus.describe_user(user) for user in users if user.uuid == card.uuid]
        others = f"; also used by {', '.join(own)}" if own else ""
        whole = f"{card.name}, {card.free_mib} of {card.memory_mib} MiB free{others}"
        findings.judge(
            f"GPU {card.number}",
            problem is None,
            text or whole,
            mend,
            memory_mib=card.memory_mib,
            free_mib=card.free_mib,
        )


def _check_gpus(
    findings: Findings, build: dict, cards: list, found: list, *, wants_gpu: bool
) -> None:
    known = build.get("cuda_version", "of a version that it does not tell")
    cuda = f"CUDA {known}" if build.get("is_cuda_build") else "no CUDA"
    built = f"TensorFlow is built for {cuda}, cuDNN {build.get('cudnn_version', '—')}"
    if found:
        names = []
        for device in found:
            details = tf.config.experimental.get_device_details(device)
            capability = ".".join(map(str, details.get("compute_capability", ())))
            names.append(f"{details.get('device_name', device.name)} ({capability})")
        findings.add(
            "GPUs of TensorFlow", OK, f"{', '.join(names)}; {built}", gpus=len(found)
        )
        return
    reason, _, mend = cuda_libraries.explain_missing_gpu(build).rpartition(": ")
    if not reason:
        reason, mend = mend, ""
    wrong = wants_gpu or bool(cards)
    findings.add(
        "GPUs of TensorFlow",
        WRONG if wrong else LEFT_OUT,
        f"none: {reason}; {built}",
        mend if wrong else "",
        gpus=0,
    )


def _check_libraries(findings: Findings, build: dict, cards: list, found: list) -> None:
    """Tells each library that is missing; where TensorFlow has a GPU, none is."""
    if not found and not cards:
        findings.add("CUDA's libraries", LEFT_OUT, "no card to use them")
        findings.add("ptxas", LEFT_OUT, "no card to use it")
        return
    cuda, cudnn = build.get("cuda_version", ""), build.get("cudnn_version", "")
    problems = []
    if not found:
        libraries = cuda_libraries.needed(cuda, cudnn)
        problems = [cuda_libraries.problem_of(library) for library in libraries]
    for problem in filter(None, problems):
        text, _, mend = problem.partition(": ")
        findings.add("library", WRONG, text, mend)
    if not any(problems):
        findings.add("CUDA's libraries", OK, "TensorFlow can open them")
    path = cuda_libraries.ptxas_path()
    findings.judge(
        "ptxas",
        path is not None,
        path or "XLA finds none, and cannot compile for the card",
        cuda_libraries.ptxas_mend(),
    )
