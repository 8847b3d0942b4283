"""Polars: polars_join.py DATASET SPLIT PREDICTIONS"""
import sys

import polars as pl

root, split, predictions = sys.argv[1:]
index = pl.scan_ipc(f"{root}/{split}/index.arrow")
classes = pl.scan_ipc(f"{root}/classes.arrow").select("synset", pl.col("words").list.first().alias("word"))
joined = (
    pl.scan_ipc(predictions)
    .filter(pl.col("error").is_null())  # of an image that cannot be decoded there is an error and no prediction
    .select("path", "error", best=pl.col("pred_synset").arr.first(), sure=pl.col("pred_prob").arr.first())  # arrays, as all have k values
    .join(index, on="path")
    .join(classes, on="synset")
)
# The classes that are missed most, with how large their images are.
print(
    joined.group_by("synset", "word")
    .agg(images=pl.len(), top1=(pl.col("best") == pl.col("synset")).mean(), pixels=(pl.col("width") * pl.col("height")).mean())
    .sort("top1", "synset")
    .collect()
)
total = joined.select(images=pl.len(), right=(pl.col("best") == pl.col("synset")).sum()).collect()
print(f"{total['images'][0]} images, {total['right'][0]} right")
