"""Shards as a Hugging Face dataset: huggingface.py DATASET SPLIT PREDICTIONS"""
import sys
from glob import glob

from datasets import Image, load_dataset

root, split, predictions = sys.argv[1:]
shards = sorted(glob(f"{root}/{split}/synset=*/*.arrow") + glob(f"{root}/{split}/part-*.arrow"))
images = load_dataset("arrow", data_files={split: shards}, split=split)  # streaming=True copies nothing into the cache
print(images.features["label"])  # ClassLabel, with the synsets as names
print(images[0]["image"].size)  # decoded when it is asked for

best = {row["path"]: row["pred_synset"][0] for row in load_dataset("arrow", data_files=predictions, split="train")}
plain = images.cast_column("image", Image(decode=False))  # {"bytes", "path"}
right = sum(row["synset"] == best[row["image"]["path"]] for row in plain)
print(f"{len(plain)} images, {right} right")
