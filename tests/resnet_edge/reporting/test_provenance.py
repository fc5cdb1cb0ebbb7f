"""Sources and tools in the report."""

import dataclasses

from resnet_edge.reporting.provenance import FactSheet, build_provenance


def value_of(sheet: FactSheet, term: str) -> str:
    (value,) = [fact.value for fact in sheet.facts if fact.term == term]
    return value


def test_multiply_adds_before_and_after_the_rewrites(content):
    model, *_, artifact = build_provenance(content)
    for sheet in (model, artifact):
        assert value_of(sheet, "multiply-adds") == ("348,000,000 (386,000,000 before the rewrites)")
    assert value_of(artifact, "exact rewrites") == "stride moved up"


def test_rewrites_that_save_no_operation(content):
    same = dataclasses.replace(content.model, multiply_adds_before=content.model.multiply_adds)
    model, *_ = build_provenance(dataclasses.replace(content, model=same))
    assert value_of(model, "multiply-adds") == "348,000,000"
