#!/usr/bin/env python3
"""Golden data for the wordnet package, by an implementation that shares nothing with it.

It reads data.noun itself and leaves the graph work to networkx. Depths, distances and path similarity are defined as in
NLTK's WordNet reader (edges both of hypernyms and of instance hypernyms; a distance goes up to a common ancestor and down
again), lowest common ancestors as the common ancestors without a common ancestor below them, Wu-Palmer as the doc comment
of Graph.WuPalmer says.

    python3 scripts/golden/wordnet_nltk.py [/usr/share/wordnet] > wordnet/testdata/golden.json

Needs networkx; made with 3.6.1.
"""

import hashlib
import json
import os
import sys

import networkx as nx

# Words with their sense in index.noun, counted from 1.
PAIRS = """
dog 1 zebra 1
dog 1 cat 1
dog 1 dog 1
dog 1 canine 2
dog 1 domestic_animal 1
dog 1 animal 1
dog 1 entity 1
entity 1 entity 1
entity 1 zebra 1
zebra 1 horse 1
tiger 2 zebra 1
tiger 2 cat 1
ladybug 1 zebra 1
orange 1 lemon 1
orange 1 orange 3
banana 2 strawberry 1
banana 1 banana 2
volcano 1 banana 2
volcano 1 alp 1
tench 1 goldfish 1
tench 1 toilet_tissue 1
golden_retriever 1 labrador_retriever 1
golden_retriever 1 tabby 2
chihuahua 3 japanese_spaniel 1
tabby 2 tiger_cat 1
golf_ball 1 croquet_ball 1
car 1 bicycle 1
car 1 truck 1
ambulance 1 police_van 1
convertible 1 minivan 1
man 1 woman 1
person 1 animal 1
person 1 dog 1
child 1 male_child 1
city 1 city_center 1
france 1 germany 1
einstein 1 newton 1
abstraction 6 physical_entity 1
thinking 1 event 1
vegetable 1 orange 1
money 1 coin 1
airliner 1 warplane 1
school_bus 1 schooner 2
witch_doctor 1 psychiatrist 1
mother 1 father 1
horn 4 violin 1
""".strip().splitlines()

ALONE = "entity animal mammal artifact person plant vegetable reptile furniture bird".split()


def senses(path):
    """Reads index.noun: word -> offsets, commonest first."""
    out = {}
    for line in open(path, encoding="ascii"):
        if not line.startswith(" "):
            fields = line.split()
            out[fields[0]] = [int(x) for x in fields[-int(fields[2]) :]]
    return out


def read(path):
    graph = nx.DiGraph()
    words = {}
    text = open(path, "rb").read()
    for line in text.decode("ascii").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split(" | ")[0].split()
        offset = int(fields[0])
        count = int(fields[3], 16)
        graph.add_node(offset)
        words[offset] = [w.replace("_", " ") for w in fields[4 : 4 + 2 * count : 2]]
        rest = fields[5 + 2 * count :]
        for i in range(0, len(rest), 4):
            if rest[i] in ("@", "@i"):
                graph.add_edge(offset, int(rest[i + 1]))
    return graph, words, hashlib.sha256(text).hexdigest()


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet"
    up, words, digest = read(os.path.join(directory, "data.noun"))
    index = senses(os.path.join(directory, "index.noun"))
    down = up.reverse()
    assert nx.is_directed_acyclic_graph(up)
    roots = [n for n in up if up.out_degree(n) == 0]

    shallow = {}
    for root in roots:
        for node, d in nx.single_source_shortest_path_length(down, root).items():
            shallow[node] = min(d, shallow.get(node, d))
    deep = {}
    for node in nx.topological_sort(down):
        deep[node] = max((deep[p] + 1 for p in up.successors(node)), default=0)
    height = {}
    for node in nx.topological_sort(up):
        height[node] = max((height[c] + 1 for c in down.successors(node)), default=0)

    pairs = []
    asked = set(index[w][0] for w in ALONE)
    for line in PAIRS:
        word_a, sense_a, word_b, sense_b = line.split()
        a, b = index[word_a][int(sense_a) - 1], index[word_b][int(sense_b) - 1]
        asked |= {a, b}
        from_a = nx.single_source_shortest_path_length(up, a)
        from_b = nx.single_source_shortest_path_length(up, b)
        common = set(from_a) & set(from_b)
        lowest = sorted(c for c in common if not (nx.ancestors(up, c) & common))
        distance = min(from_a[c] + from_b[c] for c in common)
        wup = max(2 * (deep[c] + 1) / (from_a[c] + from_b[c] + 2 * (deep[c] + 1)) for c in lowest)
        pairs.append(
            {
                "a": "n%08d" % a,
                "b": "n%08d" % b,
                "names": ["%s.n.%s" % (word_a, sense_a), "%s.n.%s" % (word_b, sense_b)],
                "lca": ["n%08d" % c for c in lowest],
                "distance": distance,
                "path_similarity": 1 / (1 + distance),
                "wu_palmer": wup,
            }
        )

    nodes = []
    for n in sorted(asked):
        ways = {tuple(reversed(w)) for r in roots if n != r for w in nx.all_simple_paths(up, n, r)} or {(n,)}
        shortest = min(len(w) for w in ways)
        nodes.append(
            {
                "id": "n%08d" % n,
                "words": words[n],
                "min_depth": shallow[n],
                "max_depth": deep[n],
                "height": height[n],
                "ancestors": len(nx.descendants(up, n)),
                "descendants": 1 + len(nx.ancestors(up, n)),
                "paths": len(ways),
                "path": ["n%08d" % c for c in min(w for w in ways if len(w) == shortest)],
            }
        )

    everything = hashlib.sha256()
    for n in sorted(up):
        everything.update(b"%08d %d %d %d\n" % (n, shallow[n], deep[n], height[n]))

    json.dump(
        {
            "data_noun_sha256": digest,
            "synsets": up.number_of_nodes(),
            "edges": up.number_of_edges(),
            "leaves": sum(1 for n in up if up.in_degree(n) == 0),
            "several_parents": sum(1 for n in up if up.out_degree(n) > 1),
            "max_depth": max(deep.values()),
            "depths_sha256": everything.hexdigest(),
            "pairs": pairs,
            "nodes": nodes,
        },
        sys.stdout,
        indent=1,
    )
    print()


main()
