#!/usr/bin/env python3
"""Golden data for repeated augmentation, by timm.

Writes loader/testdata/golden_repeats.json: which images timm.data.distributed_sampler.RepeatAugSampler gives each of
several processes in an epoch, not shuffled.

Needs timm.
"""
import json
import pathlib

from timm.data.distributed_sampler import RepeatAugSampler

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    cases = []
    for images, repeats, ranks in [(256, 3, 4), (256, 2, 2), (256, 4, 4), (512, 3, 2), (256, 2, 8), (256, 3, 1)]:
        rows = [list(RepeatAugSampler(range(images), ranks, rank, shuffle=False, num_repeats=repeats)) for rank in range(ranks)]
        cases.append({"images": images, "repeats": repeats, "rows": rows})
    (ROOT / "loader/testdata/golden_repeats.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
