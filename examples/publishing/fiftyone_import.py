"""Images and predictions in FiftyOne: fiftyone_import.py NAME FOLDER PREDICTIONS

FOLDER is a split of `synshard export --to folder`, PREDICTIONS an Arrow file of `synshard infer` over that split.
"""
import os
import sys

import fiftyone as fo
import pyarrow as pa

name, folder, predictions = sys.argv[1:]
samples = []
for row in pa.ipc.open_file(predictions).read_all().to_pylist():
    sample = fo.Sample(filepath=os.path.abspath(os.path.join(folder, row["synset"], row["path"])))
    sample["ground_truth"] = fo.Classification(label=row["synset"])
    if row["error"] is None:
        sample["prediction"] = fo.Classification(label=row["pred_synset"][0], confidence=row["pred_prob"][0])
    samples.append(sample)
dataset = fo.Dataset(name, overwrite=True, persistent=True)
dataset.add_samples(samples)
right = sum(s.prediction is not None and s.ground_truth.label == s.prediction.label for s in dataset)
print(f"{len(dataset)} images, {right} right")
# fo.launch_app(dataset).wait() opens it in a browser.
