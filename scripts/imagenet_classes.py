#!/usr/bin/env python3
"""Writes source/classlist/imagenet-1k.txt, the built-in class list.

    scripts/imagenet_classes.py SYNSETS DATA_NOUN > source/classlist/imagenet-1k.txt

SYNSETS names the 1,000 synsets of ILSVRC2012, one a line in any order: the names of the directories of its training
set. DATA_NOUN is WordNet 3.0's data.noun, whose words are written behind each synset, as in LOC_synset_mapping.txt. A
synset is n and the eight-digit offset of its line in data.noun.
"""
import sys


def words(noun, synset):
    """The words of a synset: wndb(5WN), `offset lex_filenum ss_type w_cnt word lex_id [word lex_id ...] p_cnt ...`."""
    noun.seek(int(synset[1:]))
    fields = noun.readline().decode("ascii").split()
    if fields[0] != synset[1:] or fields[2] != "n":
        sys.exit(f"{synset} is not a noun of WordNet 3.0")
    count = int(fields[3], 16)
    return [word.replace("_", " ") for word in fields[4:4 + 2 * count:2]]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    synsets = sorted(open(sys.argv[1]).read().split())
    if len(synsets) != 1000 or len(set(synsets)) != 1000:
        sys.exit(f"{len(synsets)} synsets, of them {len(set(synsets))} different; ILSVRC2012 has 1,000")
    with open(sys.argv[2], "rb") as noun:
        for synset in synsets:
            print(synset, ", ".join(words(noun, synset)))


main()
