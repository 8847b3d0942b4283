"""pandas: pandas_join.py DATASET SPLIT PREDICTIONS"""
import sys

import pandas as pd

root, split, predictions = sys.argv[1:]
images = pd.read_feather(f"{root}/{split}/index.arrow")
predicted = pd.read_feather(predictions)  # or read_parquet, read_csv, read_json(lines=True), by the file's ending
predicted = predicted[predicted["error"].isna()]
predicted["best"] = predicted["pred_synset"].str[0]
joined = predicted[["path", "best"]].merge(images, on="path")
print(pd.crosstab(joined["synset"], joined["best"]))
print(f"{len(joined)} images, {(joined['best'] == joined['synset']).sum()} right")
