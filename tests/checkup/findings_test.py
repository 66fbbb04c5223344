import json

from waveunet_tf.checkup.findings import (
    LEFT_OUT,
    OK,
    WRONG,
    Finding,
    Findings,
    fastest_of,
    format_findings,
    read_findings,
    to_report,
    verdict_of,
)


def rate(way, steps, network="M5", status=OK):
    numbers = {"network": network, "way": way, "steps_per_second": steps}
    numbers["flags"] = f"--precision {way}"
    return Finding("fast", f"{network}, {way}", status, "", numbers=numbers)


def test_findings_lie_in_their_file_at_once_and_survive_a_torn_line(tmp_path):
    path = tmp_path / "found.jsonl"
    findings = Findings("right", path)
    findings.add("one", OK, "text", number=3)
    findings.judge("two", False, "text", "mend it")
    with path.open("a") as file:
        file.write('{"part": "right", "na')  # killed while it wrote
    assert read_findings(path) == findings.found
    assert read_findings(tmp_path / "none") == []
    assert [one.status for one in findings.found] == [OK, WRONG]


def test_only_what_is_wrong_says_what_mends_it():
    findings = Findings("right")
    assert findings.judge("a", True, "fine", "mend").mend == ""
    assert findings.judge("a", False, "bad", "mend").mend == "mend"


def test_the_table_has_a_line_a_finding_and_what_mends_it_below():
    table = format_findings(
        [
            Finding("fast", "later", OK, "3 steps/s"),
            Finding("there", "driver", WRONG, "too old", "install another"),
        ]
    )
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert lines == [
        *("there", "WRONG driver too old", "→ install another", ""),
        *("fast", "ok later 3 steps/s"),
    ]


def test_the_verdict_names_what_is_wrong_and_counts_what_was_left_out():
    wrong = Finding("right", "float32", WRONG, "")
    left_out = Finding("there", "driver", LEFT_OUT, "")
    text = verdict_of([wrong, left_out], on_gpu=True)
    assert "1 thing is WRONG on the GPU (right: float32)" in text
    assert "1 of 2 checks were left out" in text
    assert "no GPU was tried" in verdict_of([left_out], on_gpu=False)
    assert to_report([wrong])["right"] is False
    assert to_report([left_out], on_gpu=False)["right"] is True


def test_the_fastest_way_is_one_that_is_right_on_the_first_network():
    wrong = Finding("right", "a", WRONG, "", numbers={"way": "bfloat16"})
    findings = [
        *(wrong, rate("bfloat16", 9.0), rate("float16", 5.0), rate("float32", 4.0)),
        rate("float32", 100.0, "a small one"),
    ]
    assert fastest_of(findings)["way"] == "float16"
    assert "train --precision float16" in verdict_of(findings, on_gpu=True)
    assert fastest_of([wrong]) is None
    assert json.dumps(to_report(findings, seconds=3))
