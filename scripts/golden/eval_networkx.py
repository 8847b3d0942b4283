#!/usr/bin/env python3
"""Golden data for the measures of `synshard eval`, by networkx, NumPy and SciPy.

    python scripts/golden/eval_networkx.py /usr/share/wordnet eval/testdata/eval.json

Reads data.noun by itself, takes 40 classes from four branches of WordNet 3.0, one of them above another, makes up
predictions, and computes: heights and distances in the graph that the classes span, accuracy after rolling up, the
calibration error, back-off, and McNemar's test with SciPy. The predictions are part of the file.
"""
import json, pathlib, sys
import networkx as nx
import numpy as np
from scipy import stats

wordnet, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
up = nx.DiGraph()  # from parent to child
for line in (wordnet / "data.noun").read_text().splitlines():
    if line.startswith("  "):
        continue
    f = line.split(" | ")[0].split()
    me, words = "n" + f[0], int(f[3], 16)
    at = 4 + 2 * words
    up.add_node(me)
    for i in range(int(f[at])):
        kind, offset, pos = f[at + 1 + 4 * i: at + 4 + 4 * i]
        if kind in ("@", "@i") and pos == "n":
            up.add_edge("n" + offset, me)
root = "n00001740"
depth = nx.single_source_shortest_path_length(up, root)

rng = np.random.default_rng(7)
classes = set()
for branch, n in (("n02084071", 14), ("n01503061", 10), ("n07705931", 8), ("n03791235", 6)):  # dog, bird, edible fruit, motor vehicle
    below = sorted(x for x in nx.descendants(up, branch))
    classes |= set(rng.choice(below, n, replace=False))
classes |= {"n02084071", "n02391049"}  # a class above other classes; zebra
classes = sorted(classes)
C = len(classes)
nodes = set(classes)
for c in classes:
    nodes |= nx.ancestors(up, c)
span = up.subgraph(nodes)
height = {}
for n in reversed(list(nx.topological_sort(span))):
    height[n] = max((height[c] + 1 for c in span.successors(n)), default=0)
above = {c: nx.ancestors(span, c) | {c} for c in classes}


def meet(a, b):
    return 0 if a == b else min(height[x] for x in above[a] & above[b])


N, K = 160, 5
logits = rng.normal(size=(N, C)) * 2
truth = rng.integers(0, C, N)
logits[np.arange(N), truth] += rng.exponential(3, N)
prob = np.exp(logits - logits.max(1, keepdims=True))
prob = (prob / prob.sum(1, keepdims=True)).astype(np.float32)
top = np.argsort(-prob, axis=1, kind="stable")[:, :K]
right = top[:, 0] == truth
d1 = np.array([meet(classes[t], classes[p]) for t, p in zip(truth, top[:, 0])])
d5 = np.array([[meet(classes[t], classes[p]) for p in row] for t, row in zip(truth, top)])


def group_named(c, names):
    mine = [n for n in names if n in above[c]]
    return min(mine, key=lambda n: (height[n], names.index(n))) if mine else None


def group_depth(c, d):
    ways = [w for w in nx.all_shortest_paths(up, root, c)]
    way = min(ways)  # by ids, from the root
    return way[min(d, len(way) - 1)]


def rolled(group):
    g = [group(c) for c in classes]
    rows = [i for i in range(N) if g[truth[i]] is not None]
    return {"groups": len({x for x in g if x}), "n": len(rows), "top1": float(np.mean([g[top[i, 0]] == g[truth[i]] for i in rows]))}


def backoff(p, least):
    t = int(np.argmax(p))
    best = None
    for x in above[classes[t]]:
        members = [i for i, c in enumerate(classes) if x in above[c]]
        total = float(sum(float(p[i]) for i in members))
        if total >= least - 1e-6 or len(members) == C:
            key = (height[x], -total, x)
            if best is None or key < best[0]:
                best = (key, x, min(total, 1.0))
    return best[1:]


conf = prob[np.arange(N), top[:, 0]].astype(float)
ece = 0.0
for b in range(15):
    m = (conf > b / 15) & (conf <= (b + 1) / 15)
    if m.any():
        ece += m.mean() * abs(right[m].mean() - conf[m].mean())
subtrees = {}
for x in span:
    below = [i for i, c in enumerate(classes) if x in above[c]]
    same = any(len([1 for c in classes if y in above[c]]) == len(below) for y in span.successors(x))
    rows = np.isin(truth, below)
    if len(below) >= 2 and not same and rows.any():
        subtrees[x] = {"classes": len(below), "n": int(rows.sum()), "top1": float(right[rows].mean()), "inside": float(np.isin(top[rows, 0], below).mean())}

other = right.copy()
flip = rng.choice(N, 30, replace=False)
other[flip] = ~other[flip]
a, b = int((right & ~other).sum()), int((~right & other).sum())
exact = stats.binomtest(min(a, b), a + b, 0.5).pvalue
named = ["n02084071", "n01503061", "n07705931", "n00015388"]  # dog, bird, edible fruit, animal (above the first two)
golden = {
    "classes": classes, "k": K, "truth": truth.tolist(), "probabilities": [[float(v) for v in row] for row in prob],
    "top1": float(right.mean()), "top5": float(np.mean([t in row for t, row in zip(truth, top)])), "ece": ece,
    "mistake_height": float(d1[~right].mean()), "distance_at_1": float(d1.mean()), "distance_at_5": float(d5.mean()),
    "subtrees": subtrees, "named": {"synsets": named, **rolled(lambda c: group_named(c, named))},
    "depths": {str(d): rolled(lambda c, d=d: group_depth(c, d)) for d in (0, 4, 7, 30)},
    "rollup_prob": [[float(sum(float(p[i]) for i, c in enumerate(classes) if n in above[c])) for n in named] for p in prob[:20]],
    "backoff": {str(p): [backoff(row, p) for row in prob[:60]] for p in (0.3, 0.6, 0.9, 1.0)},
    "compare": {"other": [int(v) for v in other], "only_a": a, "only_b": b, "p_exact": float(exact),
                "p_mid": float(exact - stats.binom.pmf(min(a, b), a + b, 0.5))},
}
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(out, out.stat().st_size, "bytes; networkx", nx.__version__)
