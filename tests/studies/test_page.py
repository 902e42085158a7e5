from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from maskgate.studies import page


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


HOSTILE = "<script>alert('x')</script> & \"quotes\""


def test_everything_is_text() -> None:
    parts = [page.heading(HOSTILE), page.paragraph(HOSTILE), page.table([HOSTILE], [[HOSTILE]]),
             page.figure("<svg></svg>", HOSTILE), page.faces({HOSTILE: []})]  # fmt: skip
    reader = read(page.page(HOSTILE, parts))
    assert "script" not in reader.tags
    assert (
        reader.text.count(HOSTILE) == 8
    )  # title twice, once in each other part, twice in the table and figure


def test_pictures_lie_in_the_page() -> None:
    reader = read(page.faces({"a": [np.zeros((8, 8, 3), np.uint8)] * 2}))
    assert len(reader.addresses) == 2
    assert all(a.startswith("data:image/jpeg;base64,") for a in reader.addresses)


def test_markdown_table_by_hand() -> None:
    assert page.markdown_table(["a", "b"], [[1, "x|y"]]) == "| a | b |\n|---|---|\n| 1 | x\\|y |\n"


def test_markdown_holds_no_html() -> None:
    assert page.markdown_text("<b>a</b>\n & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert "<" not in page.markdown_table([HOSTILE], [[HOSTILE]])
    assert page.markdown_table(["a"], [["x\ny"]]).count("\n") == 3
