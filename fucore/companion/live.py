"""The live side of an explorer: settings that its grid lacks are computed in a thread, with progress, and can be cancelled."""

from __future__ import annotations

import functools
import math
import threading
from typing import Any

from ..errors import FucoreError
from ..progress import listener


class Cancelled(Exception):
    """The reader wants the computation no longer."""


def serve(data: dict, views: list, script: str, style: str):
    """An anywidget of ``data`` whose messages are answered by what ``views`` compute."""
    widget = _kind()(data=data, _esm=script, _css=style)
    desk = Desk(views, widget.send)
    widget.on_msg(lambda _, content, buffers: desk.hear(content))
    widget.desk = desk
    return widget


@functools.cache
def _kind():
    import anywidget  # slow to import, and not there where recordings are rendered
    import traitlets

    class ExplorerWidget(anywidget.AnyWidget):
        _esm = traitlets.Unicode().tag(sync=True)
        _css = traitlets.Unicode().tag(sync=True)
        data = traitlets.Dict().tag(sync=True)

    return ExplorerWidget


class Desk:
    """Answers one reader: a new wish ends the computation before it; ``send`` is given messages for ``explorer.js``."""

    def __init__(self, views: list, send):
        self.views, self.send = views, send
        self.known: dict[tuple, dict[str, Any]] = {}
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def hear(self, message: dict) -> None:
        """``{"cancel": true}``, or a wish: ``{"view": number, "values": {knob: what is shown of its value}}``."""
        self.stop.set()
        if "values" not in message:
            return
        before, self.stop = self.thread, threading.Event()
        self.thread = threading.Thread(target=self._work, args=(message["view"], message["values"], self.stop, before), daemon=True)
        self.thread.start()

    def _work(self, number: int, asked: dict[str, str], stop: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # one computation at a time
        view, key = self.views[number], (number, *sorted(asked.items()))

        def tell(label: str, done: int, total: int | None) -> None:
            if stop.is_set():
                raise Cancelled
            self.send({"progress": [done, total, f"computing {', '.join(asked.values())}: {label} …"]})

        listener.set(tell)  # of this thread alone
        try:
            tell("begins", 0, None)
            if key not in self.known:
                self.known[key] = view.compute(**view.read(asked))
            self.send({"view": number, "frames": _placed(view, asked, self.known[key])})
        except Cancelled:
            self.send({"error": "Cancelled; what was trained so far is kept."})
        except FucoreError as error:
            self.send({"error": str(error)})
        except Exception as error:  # a reader's own function may raise anything, and nobody else would hear of it
            self.send({"error": f"This setting cannot be computed: {type(error).__name__}: {error}"})


def _placed(view, asked: dict[str, str], frame: dict[str, Any]) -> list[list]:
    """[panel, part, key, what it shows] of all that a frame holds."""
    found = []
    for place, panel in enumerate(view.panels):
        for name, part in panel.parts.items():
            if f"{panel.kind}.{name}" in frame:
                found.append([place, name, "|".join(asked[key] for key in part.by), finite(frame[f"{panel.kind}.{name}"])])
    return found


def finite(data: Any) -> Any:
    """Plain data with four digits to a number, and ``None`` for what is none: JSON has no infinity."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    if isinstance(data, float):
        return float(f"{data:.4g}") if math.isfinite(data) else None
    return data
