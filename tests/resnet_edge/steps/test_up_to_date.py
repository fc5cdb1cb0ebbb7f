from __future__ import annotations

from pathlib import Path

from resnet_edge.ondevice.files import digest
from resnet_edge.ondevice.versions import version_of
from resnet_edge.steps.up_to_date import is_current, write_stamp

INPUTS = {"model": "a", "size": "32"}


def finish(out: Path) -> Path:
    made = out / "results" / "made.json"
    made.parent.mkdir(parents=True)
    made.write_text("result")
    write_stamp(out, "step", INPUTS, (made,))
    return made


def test_nothing_changed(tmp_path):
    assert not is_current(tmp_path, "step", INPUTS)
    finish(tmp_path)
    assert is_current(tmp_path, "step", INPUTS)
    assert not is_current(tmp_path, "other", INPUTS)


def test_other_inputs(tmp_path):
    finish(tmp_path)
    assert not is_current(tmp_path, "step", {**INPUTS, "size": "64"})
    assert not is_current(tmp_path, "step", {**INPUTS, "more": "x"})
    assert not is_current(tmp_path, "step", {"model": "a"})


def test_other_outputs(tmp_path):
    made = finish(tmp_path)
    made.write_text("changed by hand")
    assert not is_current(tmp_path, "step", INPUTS)
    made.unlink()
    assert not is_current(tmp_path, "step", INPUTS)


def test_a_build_that_was_moved_is_still_current(tmp_path):
    finish(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert is_current(tmp_path / "b", "step", INPUTS)


def test_a_damaged_stamp_runs_the_step_again(tmp_path):
    finish(tmp_path)
    stamp = tmp_path / "cache" / "step.stamp.json"
    stamp.write_text(stamp.read_text()[:20])
    assert not is_current(tmp_path, "step", INPUTS)


def test_a_file_where_the_build_should_be(tmp_path):
    (tmp_path / "out").write_text("x")
    assert not is_current(tmp_path / "out", "step", INPUTS)


def test_digest_keeps_its_parts_apart():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(1) != digest("1")
    assert digest(("a", 1)) == digest(("a", 1))


def test_a_package_that_is_missing_has_no_version():
    assert version_of("there-is-no-such-package") == "not installed"
    assert version_of("numpy")[0].isdigit()
