"""The scripts of ``book/``, which is no package."""

import sys

from notebooks import ROOT

sys.path.insert(0, str(ROOT / "book"))
import build  # noqa: E402, F401
import executing  # noqa: E402, F401
import texts  # noqa: E402, F401
