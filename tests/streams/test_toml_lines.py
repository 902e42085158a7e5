"""Lines of values in TOML files."""

from __future__ import annotations

from typing import Any

import pytest

from maskgate.streams.toml_lines import line_of

TEXT = """\
# a comment
top = 1

[a.b]          # a table
x = [
    1,
    2,
]
y.z = 'one
'

[[list]]
k = '''
several
lines'''

[[list]]

k = { inner = 2 }
[a.c]
""".replace("'one\n'", "'one'")


@pytest.mark.parametrize(
    ("way", "line"),
    [
        (("top",), 2),
        (("a",), 4),
        (("a", "b"), 4),
        (("a", "b", "x"), 5),
        (("a", "b", "y", "z"), 9),
        (("list",), 11),
        (("list", 0, "k"), 12),
        (("list", 1), 16),
        (("list", 1, "k", "inner"), 18),
        (("a", "c"), 19),
        (("a", "b", "gone"), 4),
        (("list", 7, "k"), 11),
        (("gone",), 1),
        ((), 1),
    ],
)
def test_where_statements_begin(way: Any, line: int) -> None:
    assert line_of(TEXT, way) == line
