"""Import torchvision lazily, also beside a PyTorch that its compiled extension was not built for.

A torchvision wheel built against CUDA PyTorch fails at import beside CPU PyTorch with ``operator torchvision::nms
does not exist``.  Data sets, transforms and classification models need none of those compiled operators, so on exactly
that error their schemas are declared and the import is tried again.  Where torchvision is healthy nothing is done.
"""

from __future__ import annotations

import functools
import importlib
import sys

_KEEP_ALIVE = []


@functools.cache
def torchvision():
    """The imported ``torchvision`` package (2–4 s the first time)."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP_ALIVE.append(library)
    return importlib.import_module("torchvision")
