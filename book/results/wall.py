"""Make the wall of images: one case of the embedded reference, as the original and as FedMemPrune at several ratios see it.

python book/results/wall.py [--case 0]
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import pathlib

import numpy as np
from PIL import Image

import fucore as fu
from fucore.evaluation import judge_examples

RATIOS = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8)
COLUMNS, ROWS = 12, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", default="mnist5k")
    parser.add_argument("--case", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5, help="of unlearning")
    options = parser.parse_args()
    reference = fu.reference(options.reference)
    case = reference.cases[options.case]
    scores = judge_examples(case, {})[0].scores
    shown = chosen(scores)
    models = {"original, nothing done": case.original, "only fine-tuned (ρ = 0)": fu.unlearn("fine-tune", case, rounds=options.rounds)}
    models |= {f"FedMemPrune, ρ = {ratio:g}": fu.unlearn("fedmemprune", case, ratio=ratio, rounds=options.rounds) for ratio in RATIOS}
    original, others = case.look(case.original).right[shown], np.stack([case.look(run).right[shown] for run in case.retrained])
    labels = [reference.data.classes[label] for label in case.departed.labels[shown].tolist()]
    facts = [
        {"label": label, "score": round(float(score), 2), "original": bool(right), "retrained": digits(column)}
        for label, score, right, column in zip(labels, scores[shown], original, others.T)
    ]
    data = {
        "title": f"{len(shown)} of the {len(scores)} images of a client who left, the most memorized first",
        "note": f"One client of ten, {reference.record['partition']}, {len(others)} retrained models, network {reference.record['model']}; kept results.",
        "sprite": sprite(case.departed.take(shown).images.numpy()),
        "columns": COLUMNS,
        "rows": ROWS,
        "models": len(others),
        "start": list(models).index("FedMemPrune, ρ = 0.6"),
        "images": facts,
        "settings": [{"name": name, "right": digits(case.look(run).right[shown])} for name, run in models.items()],
    }
    path = pathlib.Path(fu.results.FOLDER) / f"wall_{options.reference}.json"
    path.write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")


def chosen(scores: np.ndarray) -> np.ndarray:
    """Places of the images shown, by falling score: the most memorized half of them, and as many spread evenly over the rest."""
    order, half = np.argsort(-scores, kind="stable"), COLUMNS * ROWS // 2
    return np.concatenate([order[:half], order[half:][np.linspace(0, len(order) - half - 1, half).round().astype(int)]])


def digits(right: np.ndarray) -> str:
    """``1`` where right, ``0`` elsewhere."""
    return "".join("1" if each else "0" for each in right)


def sprite(images: np.ndarray) -> str:
    """Images uint8 [n, 1, h, w] on one sheet, as the address of a PNG."""
    _, _, height, width = images.shape
    sheet = images[:, 0].reshape(ROWS, COLUMNS, height, width).swapaxes(1, 2).reshape(ROWS * height, COLUMNS * width)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main()
