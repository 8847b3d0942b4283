"""A split as PyTorch's Dataset, for any DataLoader: pytorch.py DATASET SPLIT PREDICTIONS"""
import hashlib
import io
import os
import sys

import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from torchvision.transforms import v2


class Images(torch.utils.data.Dataset):
    """(image, label) in the order of the index; an image is one read of its shard."""

    def __init__(self, root, split, transform):
        index = pa.ipc.open_file(pa.memory_map(os.path.join(root, split, "index.arrow"))).read_all()
        file = index["file"].combine_chunks().dictionary_encode()
        self.root, self.transform, self.files = root, transform, file.dictionary.to_pylist()
        self.file, self.offset, self.length = (c.to_numpy() for c in (file.indices, index["offset"], index["length"]))
        self.label, self.sha256 = index["label"].to_numpy(), index["sha256"]

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        with open(os.path.join(self.root, self.files[self.file[i]]), "rb") as f:
            data = os.pread(f.fileno(), self.length[i], self.offset[i])
        if hashlib.sha256(data).digest() != self.sha256[i].as_py():
            raise OSError(f"image {i} is not what was written: see synshard verify")
        return self.transform(Image.open(io.BytesIO(data)).convert("RGB")), self.label[i]


if __name__ == "__main__":
    root, split, predictions = sys.argv[1:]
    images = Images(root, split, v2.Compose([v2.Resize(342), v2.CenterCrop(299), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]))
    # Predictions over a whole split stand in the same order. Of an image that cannot be decoded there is an error and none.
    predicted = pa.ipc.open_file(predictions).read_all()
    whole = pc.is_null(predicted["error"])
    images = torch.utils.data.Subset(images, pc.indices_nonzero(whole).to_pylist())
    best = predicted.filter(whole)["pred_label"].combine_chunks().flatten().to_numpy().reshape(len(images), -1)[:, 0]
    loader = torch.utils.data.DataLoader(images, batch_size=8, num_workers=2)  # shuffle=True to train
    labels = torch.cat([label for batch, label in loader])
    print(f"{len(images)} images, {int((labels.numpy() == best).sum())} right")
