"""Findings as sentences of a page."""

from __future__ import annotations


class Said:
    """Text that a notebook shows as a part of the page and anything else as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def say(*sentences: str) -> None:
    """Show each of ``sentences`` as a paragraph; one that begins with a dash is an item of a list (Markdown)."""
    from IPython.display import display

    display(Said("\n\n".join(sentences)))
