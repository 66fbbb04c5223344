from waveunet_tf.checkup.findings import LEFT_OUT, Findings
from waveunet_tf.checkup.memory_use import check_memory, largest_batch
from waveunet_tf.checkup.sizes import Way


def test_the_largest_batch_lies_on_the_line_of_two_peaks():
    # 100 bytes for the weights, 10 an excerpt.
    assert largest_batch(4, 140, 16, 260, 1100.0) == 100
    assert largest_batch(4, 140, 16, 260, 145.0) == 4
    assert largest_batch(4, 140, 16, 140, 200.0) == 64  # as if one took a byte


def test_without_a_card_it_is_left_out(mini_sizes):
    findings = Findings("fast")
    check_memory(findings, mini_sizes.works[0], Way(), "CPU:0")
    (found,) = findings.found
    assert found.status == LEFT_OUT and "no card" in found.text
