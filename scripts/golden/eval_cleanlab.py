#!/usr/bin/env python3
"""Golden label errors, by cleanlab (2.9).

    python scripts/golden/eval_cleanlab.py eval/testdata/cleanlab.json

Probabilities of 300 rows over seven classes, one of which no row has, as a network of middling
skill gives them, with a fifth of the labels wrong; and what find_label_issues makes of them by
filter_by="confident_learning", in both orders. Needs cleanlab and NumPy.
"""
import json, sys
import numpy as np
from cleanlab.count import get_confident_thresholds
from cleanlab.filter import find_label_issues

rng = np.random.default_rng(7)
n, k = 300, 7
true = rng.integers(0, k - 1, n)
logits = rng.normal(0, 1.2, (n, k))
logits[np.arange(n), true] += 2.2
logits[:, 3] += 0.6  # a class that is found too readily, so that thresholds differ
logits[true == 1, 4] += 1.5  # and two that are taken for each other
p = np.exp(logits - logits.max(1, keepdims=True))
p = (p / p.sum(1, keepdims=True)).astype(np.float32)
labels = true.copy()
wrong = rng.random(n) < 0.2
labels[wrong] = (labels[wrong] + rng.integers(1, k - 1, wrong.sum())) % (k - 1)
exact = p.astype(np.float64)
out = {
    "labels": labels.tolist(),
    "probabilities": [[float(f"{v:.9g}") for v in row] for row in p.tolist()],
    "thresholds": get_confident_thresholds(labels, exact).tolist(),
}
for ours, theirs in (("self_confidence", "self_confidence"), ("margin", "normalized_margin")):
    found = find_label_issues(labels, exact, filter_by="confident_learning", return_indices_ranked_by=theirs)
    out[ours] = found.tolist()
json.dump(out, open(sys.argv[1], "w"))
print(len(out["self_confidence"]), "suspects;", int(wrong.sum()), "labels are wrong,", int(wrong[out["self_confidence"]].sum()), "of them found")
