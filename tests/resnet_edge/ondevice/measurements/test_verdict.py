import itertools

import pytest

from resnet_edge.ondevice.measurements import Verdict, combine_gates, worst_verdict

ORDER = (Verdict.PASS, Verdict.NOT_CHECKED, Verdict.INCONCLUSIVE, Verdict.FAIL)


def test_the_order_of_verdicts():
    assert sorted(Verdict, key=lambda verdict: verdict.severity) == list(ORDER)
    assert [verdict.severity for verdict in ORDER] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], Verdict.NOT_CHECKED),
        ([Verdict.PASS, Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.NOT_CHECKED], Verdict.NOT_CHECKED),
        ([Verdict.INCONCLUSIVE, Verdict.NOT_CHECKED], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_worst_verdict(verdicts, worst):
    assert worst_verdict(verdicts) is worst


@pytest.mark.parametrize(("accuracy", "latency"), list(itertools.product(Verdict, repeat=2)))
def test_a_latency_gate_counts_only_where_a_limit_was_given(accuracy, latency):
    combined = combine_gates(accuracy, latency)
    if latency is Verdict.NOT_CHECKED:
        assert combined is accuracy
    else:
        assert combined.severity == max(accuracy.severity, latency.severity)


def test_a_limit_that_is_held_does_not_make_unchecked_answers_pass():
    assert combine_gates(Verdict.NOT_CHECKED, Verdict.PASS) is Verdict.NOT_CHECKED
