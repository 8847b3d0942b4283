#!/usr/bin/env python3
"""synshard's loader beside torchvision's DataLoader, WebDataset, Hugging Face datasets and FFCV, in turns in one run.

    python scripts/bench/loader_peers.py SYNSHARD IMAGES [rounds]

IMAGES is a folder a class (scripts/bench/loader_images.py). Every peer makes the same training image: a random
resized crop of 299 (area 0.05 to 1), flipped half the time, uint8, each from the form it keeps data in. One worker, in the process itself, so that a rate
is images per second of processor time. torchvision stands there twice more: with the reference training's conversion to
normalised floats, which synshard leaves to the device, and with as many worker processes as there are cores, beside
synshard with as many workers, in images per second of the clock. Peers that are not installed are named as such.
Prints one JSON object."""
import glob, importlib.util, io, json, os, statistics, subprocess, sys, tarfile, tempfile, time

import torch
import torchvision
from PIL import Image
from torchvision import transforms as T

binary, folder = sys.argv[1], sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
torch.set_num_threads(1)
crop = T.Compose([T.RandomResizedCrop(299, scale=(0.05, 1)), T.RandomHorizontalFlip(), T.PILToTensor()])
reference = T.Compose([*crop.transforms, T.ConvertImageDtype(torch.float), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
cores = len(os.sched_getaffinity(0))
files = sorted(glob.glob(os.path.join(folder, "*", "*")))
turn = 2.0


def over(make):
    """Images per processor second of an endless iterator of batches of tensors."""
    it, n = iter(make()), 0
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - began < turn:
        batch = next(it, None)
        if batch is None:
            it = iter(make())
            continue
        n += len(batch)
    return n / (time.process_time() - cpu)


def torchvision_loader(transform=crop):
    data = torchvision.datasets.ImageFolder(folder, transform)
    return lambda: (x for x, _ in torch.utils.data.DataLoader(data, 32, shuffle=True))


def torchvision_workers():
    """Images per second of the clock, of a loader with a worker process a core, once it is under way."""
    data = torchvision.datasets.ImageFolder(folder, reference)
    more = torch.utils.data.RandomSampler(data, replacement=True, num_samples=1 << 20)
    it, n = iter(torch.utils.data.DataLoader(data, 32, sampler=more, num_workers=cores)), 0
    for _ in range(2 * cores + 1):  # what was fetched ahead while the workers started
        next(it)
    began = time.monotonic()
    while time.monotonic() - began < 2 * turn:
        n += len(next(it)[0])
    return n / (time.monotonic() - began)


def webdataset_loader():
    import webdataset as wds

    path = os.path.join(tempfile.mkdtemp(), "train.tar")
    with tarfile.open(path, "w") as t:
        for i, f in enumerate(files):
            t.add(f, f"{i:06d}.jpg")
    return lambda: (x[0] for x in wds.WebDataset(path, shardshuffle=False).shuffle(100).decode("pil").to_tuple("jpg").map_tuple(crop).batched(32))


def hugging_face_loader():
    import datasets

    data = datasets.Dataset.from_dict({"image": [{"bytes": open(f, "rb").read(), "path": None} for f in files]},
                                      features=datasets.Features({"image": datasets.Image()}))
    data.set_transform(lambda rows: {"image": [crop(im.convert("RGB")) for im in rows["image"]]})
    return lambda: (b["image"] for b in torch.utils.data.DataLoader(data, 32, shuffle=True))


def ffcv_loader():
    """JPEG as FFCV stores it (it encodes anew, here at quality 90, as the images have), its own crop and resize."""
    import numpy
    from ffcv.fields import RGBImageField
    from ffcv.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter

    class Images:
        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            return (numpy.asarray(Image.open(files[i]).convert("RGB")),)

    path = os.path.join(tempfile.mkdtemp(), "train.beton")
    DatasetWriter(path, {"image": RGBImageField(write_mode="jpg", max_resolution=512, jpeg_quality=90)}, num_workers=1).from_indexed_dataset(Images())
    decoder = RandomResizedCropRGBImageDecoder((299, 299), scale=(0.05, 1), ratio=(3 / 4, 4 / 3))
    loader = Loader(path, batch_size=32, num_workers=1, order=OrderOption.RANDOM, pipelines={
        "image": [decoder, RandomHorizontalFlip(), ToTensor(), ToTorchImage(convert_back_int16=False)]})
    for _ in loader:  # its compiler runs in the first epoch
        pass
    return lambda: (x for x, in loader)


shards = os.path.join(tempfile.mkdtemp(), "dataset")
subprocess.run([binary, "ingest", "--folder", folder, "--out", shards, "--progress", "off"], check=True, capture_output=True)


def ours(workers):
    out = subprocess.run([binary, "bench", "loader", shards, "--json", "--progress", "off", "-j", str(workers), "--rounds", "1", "--seconds", str(2 * turn)],
                         check=True, capture_output=True, text=True).stdout
    run = json.loads(out)["runs"][0]
    return run["images_per_second"], run["images_per_second_per_core"], run["decode_only_per_second_per_core"]


peers, missing = {}, []
for name, module, make in [("torchvision DataLoader", "torchvision", torchvision_loader),
                           ("torchvision DataLoader, normalised floats", "torchvision", lambda: torchvision_loader(reference)), ("WebDataset", "webdataset", webdataset_loader),
                           ("Hugging Face datasets", "datasets", hugging_face_loader), ("FFCV", "ffcv", ffcv_loader)]:
    if importlib.util.find_spec(module) is None:
        missing.append(name)
    else:
        peers[name] = make()
by_clock = {"synshard": [], "torchvision DataLoader, normalised floats": []}
rates = {"synshard": [], "libjpeg-turbo, decoding only": [], **{n: [] for n in peers}}
for _ in range(rounds):
    by_clock["synshard"].append(ours(cores)[0])
    by_clock["torchvision DataLoader, normalised floats"].append(torchvision_workers())
    _, load, decode = ours(1)
    rates["synshard"].append(load)
    rates["libjpeg-turbo, decoding only"].append(decode)
    for name, make in peers.items():
        rates[name].append(over(make))
base = rates["synshard"]
print(json.dumps({
    "images_per_second_per_core": {n: round(statistics.median(v), 1) for n, v in rates.items()},
    "synshard_times": {n: round(statistics.median(a / b for a, b in zip(base, v)), 2) for n, v in rates.items()},
    f"images_per_second_with_{cores}_workers": {n: round(statistics.median(v), 1) for n, v in by_clock.items()},
    "synshard_times_with_workers": round(statistics.median(a / b for a, b in zip(*by_clock.values())), 2),
    "not_installed": missing, "images": len(files), "rounds": rounds,
    "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__, "Pillow": Image.__version__},
}, indent=1))
