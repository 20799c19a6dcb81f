"""A wall of a departed client's images: what memorization is, and what forgetting does, image by image.

Kept results, so that it needs neither a kernel nor a network; read with the standard library alone.  Its script and its look are
``wall.js`` and ``wall.css``; ``book/results/wall.py`` makes what it shows.
"""

from __future__ import annotations

import hashlib
import html
import json
import pathlib
from dataclasses import dataclass

FOLDER = pathlib.Path(__file__).parent
KEY = (
    ("#3fd0a0", "–", "forgotten, as by retraining"),
    ("#e69f00", "!", "still known, though most retrained models are wrong"),
    ("#cc79a7", "×", "lost, though most retrained models are right"),
)


@dataclass(frozen=True)
class Wall:
    """``data``: ``sprite`` (a PNG as a data address, ``columns`` x ``rows`` images), ``images`` in the order of the sprite with ``label``,
    ``score``, ``original`` (right or not) and ``retrained`` (a digit a model), ``models`` (how many), and ``settings``, each with a
    ``name`` and ``right`` (a digit an image); ``title`` and ``note`` are words."""

    data: dict

    def to_html(self) -> str:
        """The wall as self-contained HTML."""
        text = json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        identity = "fu-" + hashlib.sha256(text.encode()).hexdigest()[:10]
        tiles = '<button type="button" class="fu-tile" tabindex="-1" aria-pressed="false"><b></b><i></i></button>' * len(
            self.data["images"]
        )
        key = "".join(f'<b style="background:{colour}">{mark}</b>{html.escape(words)}' for colour, mark, words in KEY)
        last, start = len(self.data["settings"]) - 1, self.data["start"]
        return (
            f'<div class="fu-wall" id="{identity}"><style>{(FOLDER / "wall.css").read_text()}</style>'
            f"<p><strong>{html.escape(self.data['title'])}</strong></p>"
            f'<label><span>model that is asked</span><input type="range" min="0" max="{last}" step="1" value="{start}"><output></output></label>'
            f'<p class="fu-say" aria-live="polite"></p><div class="fu-tiles" role="group" aria-label="images, the most memorized first">{tiles}</div>'
            f'<p class="fu-key">{key}; no mark: known, as by retraining. Green bar: share of retrained models that are right.</p>'
            '<div class="fu-one"><div class="fu-big" role="img" aria-label="the chosen image"></div>'
            '<div><p class="fu-what"></p><div class="fu-dots" aria-hidden="true"></div><p class="fu-how"></p></div></div>'
            f'<p class="fu-key">{html.escape(self.data["note"])}</p>'
            f'<script type="application/json">{text}</script><script>{(FOLDER / "wall.js").read_text().replace("@ID@", identity)}</script></div>'
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return f"Wall({self.data['title']!r}: {len(self.data['images'])} images, {len(self.data['settings'])} models)"


def kept() -> Wall:
    """The wall of one case of the embedded reference."""
    return Wall(json.loads((FOLDER / "results" / "wall_mnist5k.json").read_text(encoding="utf-8")))
