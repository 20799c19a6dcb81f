"""Import ``book/build.py``, which is a script and no package."""

import importlib.util

from notebooks import ROOT

_spec = importlib.util.spec_from_file_location("build", ROOT / "book" / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)
