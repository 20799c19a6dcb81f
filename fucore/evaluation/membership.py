"""Membership inference against unlearned models, each beside what the same attack says of retrained ones.

Members are the forgotten examples, non-members test images with the same mix of classes.  A retrained model has seen
neither, so its value, not 0.5, is where an unlearned model should be: classes and hardness still differ between the two.

=====  ==========================================================================================================
loss   log P(y|x): the loss threshold (Yeom et al., CSF 2018)
lira   how far the logit-scaled confidence lies above that of retrained models, one-sided, offline
       (Carlini et al., IEEE S&P 2022); standard deviations are pooled over examples below 16 models
rmia   share of test images z with [P(y|x) / Pbar(x)] / [P(y|z) / Pbar(z)] > 1, Pbar from the retrained models,
       a = 0.3 (Zarifzadeh et al., ICML 2024)
=====  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from ..data.dataset import Split
from ..data.forgetting import Request
from ..errors import require
from ..federation.case import Case, as_case
from ..runs.looks import log_odds
from ..runs.run import Run, listed
from ..streams import Stream

ATTACKS = ("loss", "lira", "rmia")
FEW_MODELS, OFFLINE_A, FALSE_POSITIVES = 16, 0.3, 0.01


def membership(
    candidates: Mapping[str, Run | Sequence[Run]],
    case: Case | Run,
    retrained: Sequence[Run] | None = None,
    request: Request | None = None,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a candidate and attack: ``auc``, ``balanced_accuracy`` and ``tpr_at_1_fpr``, means over runs, and ``auc_std``.

    Retrained models are attacked with the others as references; so are candidates and the original, with each reference left
    out in turn, so that all rows are made alike.  Raises ``FucoreError`` with fewer than 3 retrained models or when no test
    image shares a class with the forgotten data.
    """
    case = as_case(case, retrained, request)
    retrained, federation, members = list(case.retrained), case.federation, case.departed
    require(len(retrained) >= 3, f"membership inference needs at least 3 retrained models, not {len(retrained)}.")
    tested = torch.bincount(federation.data.test.labels, minlength=len(federation.data.classes)) > 1
    require(bool(tested[members.labels].any()), "no test image shares a class with the forgotten examples, so there are no non-members.")
    members = members.take(tested[members.labels].nonzero()[:, 0])  # a class without test images has no non-members to compare with
    outside, population = matched_non_members(members.labels.numpy(), federation.data.test, seed)
    splits = [members, outside, population]
    references = [[log_odds(federation.logits(run.weights, split), split.labels) for split in splits] for run in retrained]
    rows = []
    groups = {"Original": [case.original], "Retrained": retrained} | listed(candidates)
    for name, runs in groups.items():
        results = {attack: [] for attack in ATTACKS}  # of each run, the mean over the references left out
        for number, run in enumerate(runs):
            own = references[number] if name == "Retrained" else None
            own = own or [log_odds(federation.logits(run.weights, split), split.labels) for split in splits]
            left_out = [number] if name == "Retrained" else range(len(retrained))
            for attack in ATTACKS:
                rests = [[reference for place, reference in enumerate(references) if place != skipped] for skipped in left_out]
                results[attack].append(np.mean([measure(*attack_scores(attack, own, rest)) for rest in rests], axis=0))
        for attack, values in results.items():
            auc, balanced, rate = np.array(values).T
            spread = auc.std(ddof=1) if len(runs) > 1 else np.nan
            rows.append(
                {
                    "candidate": name,
                    "attack": attack,
                    "auc": auc.mean(),
                    "auc_std": spread,
                    "balanced_accuracy": balanced.mean(),
                    "tpr_at_1_fpr": rate.mean(),
                }
            )
    return pd.DataFrame(rows)


def matched_non_members(labels: np.ndarray, test: Split, seed: int) -> tuple[Split, Split]:
    """(test images with the class mix of ``labels``, the other test images): at most half of each class, and no more than ``labels``."""
    rng, chosen, of_test = np.random.default_rng([seed, Stream.NON_MEMBERS]), [], test.labels.numpy()
    kinds, wanted = np.unique(labels, return_counts=True)
    held = np.array([(of_test == kind).sum() for kind in kinds])
    require((held > 1).all(), "a class of the forgotten examples has no two test images to serve as non-members.")
    share = min(1.0, (held / 2 / wanted).min())
    for kind, count in zip(kinds, wanted):
        chosen.append(rng.permutation(np.flatnonzero(of_test == kind))[: max(1, int(share * count))])
    chosen = np.sort(np.concatenate(chosen))
    return test.take(chosen), test.take(np.setdiff1d(np.arange(len(test)), chosen))


def attack_scores(attack: str, own: list[np.ndarray], references: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of (members, non-members), higher for members, from confidences on (members, non-members, population)."""
    if attack == "loss":
        return -np.logaddexp(0, -own[0]), -np.logaddexp(0, -own[1])
    if attack == "lira":
        both = [np.concatenate(model[:2]) for model in (own, *references)]  # pooled over both, so that membership is not used
        scores = lira(both[0], np.stack(both[1:]))
        return scores[: len(own[0])], scores[len(own[0]) :]
    ratios = [rmia_ratio(own[place], np.stack([reference[place] for reference in references])) for place in (0, 1, 2)]
    return rmia(ratios[0], ratios[2]), rmia(ratios[1], ratios[2])


def lira(confidence: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(confidence - mean) / std of ``references`` [K, n] for each example: ranks as the one-sided normal probability does."""
    spread = references.std(axis=0, ddof=1)
    if len(references) < FEW_MODELS:
        spread = np.full_like(spread, np.sqrt((spread**2).mean()))
    return (confidence - references.mean(axis=0)) / np.maximum(spread, 1e-12)


def rmia_ratio(confidence: np.ndarray, references: np.ndarray) -> np.ndarray:
    """P(y|x) / Pbar(x), with Pbar = (1 + a)/2 mean of references + (1 - a)/2."""
    probability, outside = (1 / (1 + np.exp(-np.clip(value, -700, 700))) for value in (confidence, references))
    return probability / ((1 + OFFLINE_A) / 2 * outside.mean(axis=0) + (1 - OFFLINE_A) / 2)


def rmia(ratios: np.ndarray, population: np.ndarray) -> np.ndarray:
    """Share of the population whose ratio is smaller, for each example."""
    return np.searchsorted(np.sort(population), ratios, side="left") / len(population)


def measure(members: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """(AUC, balanced accuracy, true-positive rate at 1 % false positives); the threshold of the second is fitted on every other example."""
    ranks = rankdata(np.concatenate([members, others]))
    auc = (ranks[: len(members)].sum() - len(members) * (len(members) + 1) / 2) / (len(members) * len(others))
    candidates = np.unique(np.concatenate([members[::2], others[::2]]))
    fitted = [(members[::2, None] >= candidates).mean(0) - (others[::2, None] >= candidates).mean(0)]
    threshold = candidates[int(np.argmax(fitted))]
    held_members, held_others = (part[1::2] if len(part) > 1 else part for part in (members, others))
    balanced = ((held_members >= threshold).mean() + (held_others < threshold).mean()) / 2
    strict = np.quantile(others, 1 - FALSE_POSITIVES, method="higher")
    return float(auc), float(balanced), float((members > strict).mean())
