"""An export for Hugging Face, and a model's card beside it, as their libraries and Croissant's read them: hub.py DIR STATS EVAL"""
import json
import sys

import datasets
import huggingface_hub
import mlcroissant

root, stats, evaluated = sys.argv[1], json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
rows = {{"val": "validation"}.get(s["split"], s["split"]): s["images"] for s in stats["splits"]}

card = huggingface_hub.DatasetCard.load(f"{root}/README.md")
classes = card.data["dataset_info"]["features"][1]["dtype"]["class_label"]["names"]
loaded = datasets.load_dataset(root)  # holds the number of rows to the card's
assert {name: len(split) for name, split in loaded.items()} == rows, (loaded, rows)
for split in loaded.values():
    names = split.features["label"].names
    assert names == [classes[str(i)] for i in range(len(classes))], names
    for row in split:
        assert row["image"].size[0] > 0 and (row["label"] is None or names[row["label"]] == row["synset"]), row

croissant = mlcroissant.Dataset(jsonld=f"{root}/croissant.json")
assert not croissant.metadata.ctx.issues.errors
assert [r["classes/synset"] for r in croissant.records("classes")] == names
for split, images in rows.items():
    read = list(croissant.records(split))
    assert len(read) == images
    for mine, theirs in zip(read, loaded[split]):
        assert mine[f"{split}/label"] == theirs["label"] and mine[f"{split}/image"].size == theirs["image"].size

model = huggingface_hub.ModelCard.load(f"{root}/MODEL.md")
results = {r.metric_name: r.metric_value for r in model.data.eval_results}
assert abs(results["top-1"] - evaluated["top1"]) < 1e-6 and abs(results["top-5"] - evaluated["top5"]) < 1e-6, results
print(f"publishing: {sum(rows.values())} images in {len(names)} classes, by datasets {datasets.__version__} and mlcroissant")
