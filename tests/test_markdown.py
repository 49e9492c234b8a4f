"""Markdown tables that stay tables whatever is in their cells."""

import pytest

from detection.markdown import markdown_table


def test_cells_are_escaped_and_numbers_on_the_right():
    rows = [["a|b", 8.75, None], ["<b>&\\|", 7, "two\nlines"]]
    assert markdown_table(["net", "error (%)", "note"], rows) == (
        "| net | error (%) | note |\n"
        "| :--- | ---: | :--- |\n"
        "| a\\|b | 8.75 |  |\n"
        "| &lt;b&gt;&amp;\\\\\\| | 7 | two lines |\n"
    )
    assert markdown_table(["a", "b"], [], align="cr") == "| a | b |\n| :---: | ---: |\n"


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="row 2 has 1 cells under a header of 2"):
        markdown_table(["a", "b"], [[1, 2], [3]])
    for align in ("l", "lx"):
        with pytest.raises(ValueError, match=f"align '{align}' must be 2 letters"):
            markdown_table(["a", "b"], [], align=align)
