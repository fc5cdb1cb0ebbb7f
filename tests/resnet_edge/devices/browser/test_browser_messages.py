"""Messages: what a page may send, and what is refused."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from hand_browser import hand_facts, hand_row, raw
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from resnet_edge.devices.browser.messages import (
    Begin,
    Facts,
    Gpu,
    Look,
    RawAnswers,
    Row,
    read_message,
)
from resnet_edge.errors import RemoteError
from resnet_edge.ondevice.json_records import to_json


def sent(record: object, **changes: object) -> bytes:
    return json.dumps({**to_json(record), **changes}).encode()


@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=5))
    | arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=5))
)
def test_answers_come_back_bit_by_bit(answers):
    again = raw(answers).array()
    assert again.tobytes() == answers.tobytes()
    assert (again.shape, again.dtype) == (answers.shape, answers.dtype)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (RawAnswers("float64", 1, 1, ""), "answers of type 'float64'; expected one of float32"),
        (RawAnswers("uint8", 1, 2, "AA=="), "1 bytes of answers; expected 1 x 2 of uint8"),
        (RawAnswers("uint8", -1, -1, "AA=="), "1 bytes of answers; expected -1 x -1 of uint8"),
        (RawAnswers("uint8", 1, 1, "Ä!"), "answers are no base64"),
        (RawAnswers("uint8", 1, 1, "A"), "answers are no base64"),
    ],
)
def test_other_answers_are_refused(answers, words):
    with pytest.raises(RemoteError) as refused:
        answers.array()
    assert words in str(refused.value)


def test_a_row_is_read_as_it_was_sent():
    row = hand_row("fp32.tflite/litert-wasm/2", np.ones((2, 2), np.float32))
    assert read_message(Row, sent(row), "row") == row


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples_s": [0.02, 0]}, "row: a sample is not above 0; expected seconds"),
        ({"samples_s": [0.02, "nan"]}, "row: a sample is not above 0; expected seconds"),
        ({"samples_s": [0.02, "inf"]}, "row: a sample is not above 0; expected seconds"),
        ({"samples_s": []}, "row: expected either samples or the reason why there are none"),
        ({"latency_note": "no"}, "row: expected either samples or the reason"),
        ({"threads": 0}, "row: threads is 0; expected 1 to 1024"),
        ({"queries_per_sample": 0}, "row: queries_per_sample is 0; expected 1 to 65536"),
        ({"load_s": -1}, "row: load_s is -1.0; expected 0 to 1e+06"),
        ({"first_s": "nan"}, "row: first_s is nan; expected 0 to 1e+06"),
        ({"provider": "x" * 501}, "row: provider has 501 characters; expected at most 500"),
        ({"threads": "2"}, "row: threads: got '2'; expected int"),
        ({"more": 1}, "row: unknown key 'more'"),
    ],
)
def test_a_row_out_of_range_is_refused(changes, words):
    with pytest.raises(RemoteError) as refused:
        read_message(Row, sent(hand_row("a/b/1"), **changes), "row")
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "look: not JSON ("),
        (b"[" * 100_000, "look: not JSON (it is nested too deeply)"),
        (b'{"facts":' * 100_000, "look: not JSON (it is nested too deeply)"),
        (b"\xff", "look: not JSON ("),
        (b"[]", "look: got list; expected an object with named values"),
        (b"{}", "look: key 'facts' is missing"),
        (b'{"facts": 3}', "look: facts: got int; expected an object"),
    ],
)
def test_what_is_no_message_is_refused(body, words):
    with pytest.raises(RemoteError) as refused:
        read_message(Look, body, "look")
    assert str(refused.value).startswith(words)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_breaks_the_reader(body):
    with pytest.raises(RemoteError):
        read_message(Begin, body, "begin")


def test_facts_have_limits():
    facts = hand_facts()
    assert read_message(Facts, sent(facts), "facts") == facts
    with pytest.raises(ValueError, match="cores is 0; expected 1 to 1024"):
        replace(facts, cores=0)
    with pytest.raises(ValueError, match="17 brands; expected at most 16"):
        replace(facts, brands=(("a", "1"),) * 17)
    with pytest.raises(ValueError, match="user_agent has 501 characters"):
        replace(facts, user_agent="x" * 501)
    with pytest.raises(RemoteError, match="page is empty"):
        read_message(Begin, sent(Begin("one", facts), page=""), "begin")


@pytest.mark.parametrize(
    ("gpu", "software", "words"),
    [
        (Gpu("google", "swiftshader", "", False, False), True, "google swiftshader (software)"),
        (Gpu("", "", "llvmpipe (LLVM 15)", False, False), True, "llvmpipe (LLVM 15) (software)"),
        (Gpu("", "", "", True, False), True, "unnamed (software)"),
        (Gpu("arm", "valhall", "Mali-G715", False, True), False, "arm valhall Mali-G715"),
        (Gpu("apple", "apple", "", False, True), False, "apple"),
    ],
)
def test_a_gpu_that_is_the_processor_is_known(gpu, software, words):
    assert (gpu.software, gpu.words) == (software, words)


def test_base64_is_checked_as_a_whole():
    good = base64.b64encode(b"\x01\x02").decode()
    assert RawAnswers("uint8", 1, 2, good).array().tolist() == [[1, 2]]
    with pytest.raises(RemoteError, match="answers are no base64"):
        RawAnswers("uint8", 1, 2, good + "\n").array()
