"""The table of facts names runtimes that there are."""

from resnet_edge.devices.browser.backends import BACKENDS
from resnet_edge.ondevice.formats.kinds import Precision
from resnet_edge.ondevice.runtimes.kinds import RUNTIME_KINDS
from resnet_edge.ondevice.runtimes.known_traits import KNOWN_TRAITS, known_trait


def test_every_fact_is_of_a_runtime_that_results_name():
    names = {kind.name for kind in RUNTIME_KINDS} | {backend.title for backend in BACKENDS}
    assert {trait.runtime for trait in KNOWN_TRAITS} <= names


def test_a_fact_stands_once():
    keys = [(trait.runtime, trait.precision) for trait in KNOWN_TRAITS]
    assert len(set(keys)) == len(keys)
    assert [known_trait(*key) for key in keys] == list(KNOWN_TRAITS)


def test_what_is_not_known():
    assert known_trait("LiteRT.js wasm", Precision.INT8) is None
    assert known_trait("LiteRT", Precision.FLOAT16) is None
