import types

import pytest

from waveunet_tf.audio.packet_damage import PacketDamage, id3_bytes


class Packet(bytes):
    """What PacketDamage asks of a packet of PyAV."""

    pos, is_corrupt = 0, False


def counted(events):
    """The damage after events: None is a good packet, bytes a refused one."""
    damage = PacketDamage()
    for number, content in enumerate(events):
        if content is None:
            damage.good += 1
            if damage.pending:
                damage.settle()
        else:
            error = types.SimpleNamespace(strerror="broken")
            damage.refused(Packet(content), error, number / 10)
    return damage


def test_what_is_refused_between_good_packets_is_damaged():
    damage = counted([None, None, b"?" * 400, b"?" * 400, None, b"?" * 400, None])
    assert damage.notes() == ["from 0.20 s on, 3 of 7 packets are damaged and left out"]
    assert not damage.is_hopeless


def test_what_is_refused_at_the_end_is_foreign():
    damage = counted([None] * 3 + [b"<html>" * 100] * 2)
    assert damage.places == 0
    assert damage.notes() == [
        "1200 bytes behind its audio cannot be decoded and are left out"
    ]
    assert not damage.ends_in_packet


def test_what_is_refused_at_the_start_is_foreign():
    damage = counted([b"<html>" * 100] + [None] * 3)
    assert damage.notes() == [
        "600 bytes before its audio cannot be decoded and are left out"
    ]


def test_the_first_part_of_a_frame_at_the_end_is_a_cut():
    assert counted([None] * 3 + [b"\xff\xf1" + b"?" * 200]).ends_in_packet


@pytest.mark.parametrize(
    "content",
    [
        bytes(5000),
        b"TAG" + b"x" * 125,
        b"APETAGEX" + b"x" * 99,
        b"\xff\xfb\x90\x64" + bytes(32) + b"Xing" + b"x" * 300,
        b"ID3\x04\x00\x00\x00\x00\x00\x10"
        + b"x" * 16
        + bytes(36)
        + b"Info"
        + b"x" * 99,
        b"ID3\x04\x00\x00\x00\x00\x00\x10" + b"x" * 16,
    ],
    ids=["zeros", "ID3v1", "APE", "Xing", "ID3v2 and Info", "ID3v2"],
)
def test_tags_zeros_and_lengths_of_joined_files_are_no_damage(content):
    assert counted([None, content, None]).notes() == []
    assert counted([None, content]).notes() == []


def test_more_damaged_packets_than_good_ones_are_hopeless():
    assert counted([b"?" * 99] * 3 + [None] * 2).is_hopeless
    assert not counted([None]).is_hopeless


@pytest.mark.parametrize(
    ("head", "expected"),
    [(b"ID3\x04\x00\x00\x00\x00\x02\x01", 267), (b"ID3", 0), (b"RIFF123456", 0)],
)
def test_the_size_of_a_tag_is_in_bytes_of_seven_bits(head, expected):
    assert id3_bytes(head) == expected
