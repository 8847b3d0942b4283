#!/usr/bin/env python3
"""Golden intervals of a share, by SciPy's binomial test.

    python scripts/golden/eval_wilson.py eval/testdata/wilson.json

Wilson's 95 % intervals without continuity correction of right of n, at both ends and between.
"""
import json, sys
from scipy import stats

cases = [(0, 1), (1, 1), (0, 7), (7, 7), (1, 20), (10, 20), (193, 200), (3879, 5000), (0, 50000), (38790, 50000), (49999, 50000), (1, 14197122)]
out = []
for right, n in cases:
    ci = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    out.append({"right": right, "n": n, "low": ci.low, "high": ci.high})
json.dump(out, open(sys.argv[1], "w"), indent=1)
