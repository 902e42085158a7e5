"""Building blocks of a self-contained HTML report: nothing in it is loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from maskgate.types import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f23; --paper: #ffffff; --line: #d5dae0; --soft: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --paper: #14171a; --line: #39414a; --soft: #1e2328; }
}
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.4rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; } thead th { background: var(--soft); }
figure { margin: 1rem 0; padding: .5rem; background: #ffffff; border-radius: 6px; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; } figcaption { color: #444; font-size: .85rem; }
@media (max-width: 50rem) { body { padding: .8rem; } figure svg { max-width: none; } }
.faces { display: flex; flex-wrap: wrap; gap: 4px; } .faces img { width: 96px; height: 96px; }
.note { border-left: 4px solid #D55E00; padding-left: .8rem; }
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole document; ``body`` is HTML, ``title`` is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def heading(text: str) -> str:
    """A section's title."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, text: Sequence[int] = (0,)) -> str:
    """A table of plain text; columns whose places are in ``text`` are set to the left."""

    def cell(tag: str, place: int, value: Any) -> str:
        left = ' class="text"' if place in text else ""
        return f"<{tag}{left}>{escape(str(value))}</{tag}>"

    head = "".join(cell("th", i, c) for i, c in enumerate(columns))
    body = "".join("<tr>" + "".join(cell("td", i, v) for i, v in enumerate(row)) + "</tr>\n" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(svg: str, caption: str) -> str:
    """A plot and what it shows; ``svg`` is an SVG element of ours."""
    name = escape(caption)
    return f'<figure role="img" aria-label="{name}">{svg}<figcaption>{name}</figcaption></figure>'


def faces(images: Mapping[str, Sequence[Image]]) -> str:
    """Rows of small RGB pictures, each under its name."""
    parts = []
    for name, row in images.items():
        tags = "".join(f'<img alt="" src="{_data(image)}">' for image in row)
        parts.append(f"<h3>{escape(name)} ({len(row)})</h3><div class='faces'>{tags}</div>")
    return "".join(parts)


def _data(image: Image) -> str:
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def markdown_text(text: str) -> str:
    """Plain text for Markdown: no HTML in it takes effect, and it stays on one line."""
    return escape(" ".join(text.split()), quote=False)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The same as :func:`table`, for Markdown."""

    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(markdown_text(str(c)).replace("|", "\\|") for c in cells) + " |"

    return "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, rows)]) + "\n"
