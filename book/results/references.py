"""Make a reference that fucore brings along, or verify one by retraining a part of it.

python book/results/references.py make mnist5k
python book/results/references.py make cifar10-iid --data npz:/path/cifar10.npz
python book/results/references.py verify mnist5k

Making one resumes from the store.  Verifying trains one original and one retrained model again and compares them with what is kept.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import torch

import fucore as fu
from fucore.evaluation import references
from fucore.progress import progress
from fucore.runs.fingerprint import hash_of_code
from fucore.runs.run import provenance

CLIENTS = 10
DIGITS = {"data": "mnist5k", "model": "cnn-groupnorm", "rounds": 10, "originals": 7, "leaving": (0, 1), "retrained": 16}
DIGITS |= {"alpha": 0.5, "local": fu.LocalTraining(epochs=2, batch=32, lr=3e-3)}
CIFAR = {"data": "cifar10", "model": "cnn-groupnorm", "rounds": 12, "originals": 4, "leaving": (0,), "retrained": 4}
CIFAR |= {"local": fu.LocalTraining(epochs=1, batch=32, lr=3e-3)}
#: How each is made; original number p has partition and seed p, and the models retrained without client c the seeds from 1000 (p + 1) + 100 c on.
RECIPES = {"mnist5k": DIGITS, "cifar10-dirichlet": {**CIFAR, "alpha": 0.5}, "cifar10-iid": {**CIFAR, "alpha": float("inf")}}
#: With other bits (another processor), a model is another draw: how much the answers of two retrained models may differ more than usual.
SLACK = 0.05


def partition(recipe: dict, labels, place: int) -> fu.Partition:
    """Who holds what beside original number ``place``."""
    even = recipe["alpha"] == float("inf")
    return fu.partition.iid(labels, CLIENTS, place) if even else fu.partition.dirichlet(labels, CLIENTS, recipe["alpha"], place)


def describe(name: str, recipe: dict, data: fu.Dataset) -> dict:
    """What is written beside the answers."""
    even = recipe["alpha"] == float("inf")
    record = {"name": name, "data": recipe["data"], "data_sha256": data.hash, "model": recipe["model"], "rounds": recipe["rounds"]}
    record |= {"partition": "even (IID)" if even else f"Dirichlet α = {recipe['alpha']:g}", "local": dataclasses.asdict(recipe["local"])}
    made = {**provenance(data), "data": recipe["data"], "code": hash_of_code(), "command": f"python book/results/references.py make {name}"}
    return record | {"made": made, "originals": [], "cases": []}


def told(runs: list[fu.Run]) -> dict:
    """Seeds, test accuracies by round, and cost of runs that were trained alike."""
    accuracies = [[round(row["test_accuracy"], 5) for row in run.history] for run in runs]
    cost = dataclasses.asdict(runs[0].cost) | {"seconds": float(np.mean([run.cost.seconds for run in runs]))}
    return {
        "seeds": [run.config["seed"] for run in runs],
        "accuracies": accuracies,
        "examples": runs[0].history[0]["examples"],
        "cost": cost,
    }


def add_original(record: dict, tensors: dict, run: fu.Run, clients: fu.Partition, examples: int) -> fu.Run:
    """Note an original, and return it with its weights in half precision: what is kept is what is judged."""
    place, owner = len(record["originals"]), np.zeros(examples, dtype=np.uint8)
    for number, held in enumerate(clients.indices):
        owner[held] = number
    tensors |= {f"weights.{place}": run.weights.half(), f"owner.{place}": torch.from_numpy(owner)}
    known = told([run])
    record["originals"].append(known | {"seed": known.pop("seeds")[0], "accuracies": known["accuracies"][0]})
    return dataclasses.replace(run, weights=run.weights.half().float(), key=None)


def make(name: str, source: str) -> None:
    """Train all that a reference needs, and write it."""
    recipe, data = RECIPES[name], fu.load(source)
    record, tensors = describe(name, recipe, data), {}
    for place in progress(range(recipe["originals"]), name):
        clients = partition(recipe, data.train.labels, place)
        federation = fu.Federation(data, clients, recipe["model"], recipe["local"])
        original = add_original(record, tensors, federation.train(recipe["rounds"], place), clients, len(data.train))
        for leaving in recipe["leaving"]:
            case = retrained(federation, original, leaving, place, recipe["retrained"], recipe["rounds"])
            runs = [case.original, *case.retrained]
            answers = references.kept(
                [{split: case.look(run, split) for split in references.SPLITS} for run in runs], [case.losses(run) for run in runs]
            )
            tensors |= {f"{len(record['cases'])}.{part}": tensor for part, tensor in answers.items()}
            record["cases"].append({"original": place, "client": leaving, **told(list(case.retrained))})
    references.write(references.FOLDER / name, record, tensors)


def retrained(federation: fu.Federation, original: fu.Run, leaving: int, place: int, count: int, rounds: int) -> fu.Case:
    """The case of one leaving client beside original number ``place``, with ``count`` retrained models."""
    request, first = fu.forget.client(leaving), 1000 * (place + 1) + 100 * leaving
    runs = federation.without(request).train_many(rounds, range(first, first + count))
    return fu.Case(original, tuple(runs), request)


def verify(name: str, source: str | None) -> None:
    """Train the first original and the first model retrained beside it again, and say how they compare with what is kept."""
    kept = fu.reference(name, None if source is None else fu.load(source))
    case, federation, rounds = kept.cases[0], kept.cases[0].federation, kept.record["rounds"]
    again = federation.train(rounds, kept.record["originals"][0]["seed"], keep=False)
    case_again = retrained(federation, dataclasses.replace(again, key=None), case.request.clients[0], 0, 1, rounds)
    pairs = {
        "original": (case.original, dataclasses.replace(again, weights=again.weights.half().float(), key=None)),
        "retrained": (case.retrained[0], case_again.retrained[0]),
    }
    usual = max(np.mean(case.look(a, "test").right != case.look(b, "test").right) for a in case.retrained for b in case.retrained)
    for what, (before, now) in pairs.items():
        looks = [(case.look(before, split), case_again.look(now, split)) for split in ("departed", "test")]
        away = max(float(np.abs(old.log_odds - new.log_odds.astype(np.float16)).max()) for old, new in looks)
        other = np.mean(np.concatenate([old.right != new.right for old, new in looks]))
        accuracies = [100 * look.right.mean() for look in looks[1]]
        print(f"{what}: test accuracy {accuracies[0]:.2f} % kept, {accuracies[1]:.2f} % now; log-odds differ by {away:.3f} at most")
        if other > usual + SLACK:
            raise SystemExit(
                f"{what} answers {100 * other:.1f} % of the examples otherwise than it did; two retrained models, {100 * usual:.1f} %."
            )
        print(
            "  the same bits"
            if away == 0
            else f"  other bits, as on another processor: {100 * other:.1f} % of the answers differ (two retrained models: {100 * usual:.1f} %)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "verify"))
    parser.add_argument("name", choices=tuple(RECIPES))
    parser.add_argument("--data", help="where the data are, such as npz:/path; by default they are loaded by their name")
    options = parser.parse_args()
    if options.what == "make":
        make(options.name, options.data or RECIPES[options.name]["data"])
    else:
        verify(options.name, options.data)


if __name__ == "__main__":
    main()
