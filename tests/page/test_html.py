"""HTML of the page: values are escaped, and addresses of files follow their content."""

from __future__ import annotations

import os

import numpy as np
import pytest
from jinja2 import UndefinedError

from page.html import data_url, notice, render, served, served_fresh


def test_values_are_text():
    text = notice("<b>bold</b>", "<script>", link=('?job="x', "<i>"))
    assert "<b>bold" not in text and "<script>" not in text and "<i>" not in text
    assert "&lt;b&gt;bold" in text and 'href="?job=&#34;x"' in text


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        render("headline", title="only a title")


def test_the_address_of_a_file_changes_with_its_content(tmp_path):
    path = tmp_path / "a b.jpg"
    path.write_text("one")
    first = served_fresh(path)
    assert first.startswith(served(path)) and "a%20b.jpg" in first
    os.utime(path, (1, 1))
    assert served_fresh(path) != first


def test_images_can_be_part_of_the_page():
    assert data_url(np.zeros((2, 2), np.uint8), "PNG").startswith("data:image/png;base64,")
