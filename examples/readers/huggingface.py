"""Shards as a Hugging Face dataset: huggingface.py DATASET SPLIT PREDICTIONS"""
import sys
from glob import glob

from datasets import Image, load_dataset

root, split, predictions = sys.argv[1:]
shards = sorted(glob(f"{root}/{split}/synset=*/*.arrow") + glob(f"{root}/{split}/part-*.arrow"))
images = load_dataset("arrow", data_files={split: shards}, split=split)  # streaming=True copies nothing into the cache
print(images.features["label"])  # ClassLabel, with the synsets as names

# Of an image that cannot be decoded there is an error and no prediction.
rows = load_dataset("arrow", data_files=predictions, split="train")
best = {row["path"]: row["pred_synset"][0] for row in rows if row["error"] is None}
plain = images.cast_column("image", Image(decode=False))  # {"bytes", "path"}
whole = [i for i, row in enumerate(plain) if row["image"]["path"] in best]
print(images[whole[0]]["image"].size)  # decoded when it is asked for
right = sum(plain[i]["synset"] == best[plain[i]["image"]["path"]] for i in whole)
print(f"{len(whole)} images, {right} right")
