import re

import pytest

from resnet_edge.reporting.html import render_html
from resnet_edge.reporting.markdown import render_markdown
from resnet_edge.reporting.terms import GLOSSARY, INTRODUCTION, SUMMARY_TERMS


@pytest.fixture
def texts(content):
    page = re.sub(r"<[^>]+>", "", render_html(content)).replace("&#39;", "'")
    return [" ".join(text.split()) for text in (page, render_markdown(content))]


def test_the_reference_is_explained_before_the_first_note(content, texts):
    for text in texts:
        assert text.index(INTRODUCTION) < text.index(content.notes[0])


def test_the_columns_are_explained_before_the_table(texts):
    for text in texts:
        for _, meaning in SUMMARY_TERMS:
            first_row = text.index("reference (float32)")  # above is only the answer
            assert text.index(meaning) < first_row < text.rindex("25.6 MB")


def test_every_further_term_is_explained(texts):
    for text in texts:
        for term, meaning in GLOSSARY:
            assert term in text
            assert meaning in text
