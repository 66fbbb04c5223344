import os

import pytest

from waveunet_tf.system import gpus
from waveunet_tf.system.gpus import Card, CardUser

CARDS = (
    "0, GPU-aa, NVIDIA H100, 550.54.15, 81559, 81000\n"
    "1, GPU-bb, T4, 550.54.15, 15360, 300"
)
USERS = "GPU-bb, 4711, python3, 14900\nGPU-aa, 12, ffmpeg, [N/A]"


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Puts a program in PATH that answers as nvidia-smi does."""

    def install(cards=CARDS, users=USERS):
        path = tmp_path / "nvidia-smi"
        driver = cards.split(", ")[3] if cards else ""
        path.write_text(
            "#!/bin/sh\ncase $1 in\n"
            f"--query-gpu=driver_version) echo '{driver}' ;;\n"
            f"--query-gpu=*) echo '{cards}' ;;\n"
            f"--query-compute-apps=*) echo '{users}' ;;\nesac\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


def test_cards_and_their_users_are_those_of_nvidia_smi(nvidia_smi):
    nvidia_smi()
    cards = gpus.list_cards()
    assert cards == [
        Card(0, "GPU-aa", "NVIDIA H100", "550.54.15", 81559, 81000),
        Card(1, "GPU-bb", "T4", "550.54.15", 15360, 300),
    ]
    assert gpus.list_users(cards[1:]) == [CardUser("GPU-bb", 4711, "python3", 14900)]
    assert gpus.list_users(cards)[1] == CardUser("GPU-aa", 12, "ffmpeg", None)
    assert gpus.driver_version() == "550.54.15"


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [("0,1", [0, 1]), ("1", [1]), ("GPU-b", [1]), ("", []), ("-1", []), ("7", [])],
)
def test_hidden_cards_are_left_out(nvidia_smi, monkeypatch, visible, numbers):
    nvidia_smi()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.number for card in gpus.list_cards()] == numbers


def test_a_machine_without_a_card_has_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "_DRIVER_FILE", tmp_path / "none")
    assert gpus.list_cards() == gpus.list_users([]) == []
    assert gpus.driver_version() is None


def test_the_driver_tells_its_version_without_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed\n")
    monkeypatch.setattr(gpus, "_DRIVER_FILE", file)
    assert gpus.driver_version() == "470.82.01"


@pytest.mark.parametrize(
    ("driver", "cuda", "words"),
    [
        ("525.60.13", "12.3", None),
        ("580.1", "12.3", None),
        ("470.82.01", "12.3", "470.82.01 is too old for CUDA 12.3: install 525.60.13"),
        ("550.54", "13.0", "install 580.65.06"),
        ("470.82", None, None),
        (None, "12.3", "no NVIDIA driver"),
    ],
)
def test_an_old_driver_is_told_with_the_one_to_install(driver, cuda, words):
    problem = gpus.driver_problem(driver, cuda)
    assert problem is None if words is None else words in problem


def test_a_full_card_is_told_with_who_fills_it():
    card = Card(1, "GPU-bb", "T4", "550", 15360, 300)
    users = [
        CardUser("GPU-bb", 4711, "python3", 14900),
        CardUser("x", 1, "elsewhere", 1),
    ]
    problem = gpus.memory_problem(card, users)
    assert "GPU 1 (T4) has 300 of 15360 MiB free" in problem
    assert "process 4711 (python3, 14900 MiB)" in problem
    assert "elsewhere" not in problem and "\n" not in problem
    free = Card(0, "GPU-aa", "T4", "550", 15360, 9000)
    assert gpus.memory_problem(free, users) is None
    shared = Card(0, "GPU-aa", "GB10", "580", 0, 0)  # tells no memory of its own
    assert gpus.memory_problem(shared, users) is None
