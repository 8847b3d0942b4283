#!/usr/bin/env python3
"""synshard's loader beside the loaders of the Python world, in turns in one run.

    python scripts/bench/loader_peers.py SYNSHARD IMAGES [rounds] [seconds a turn]

IMAGES is a folder a class (scripts/bench/loader_images.py). Every peer makes the same training image: a random
resized crop of 299 (area 0.05 to 1), flipped half the time, uint8, each from the form it keeps data in. One worker, in the process itself, so that a rate
is images per second of processor time. synshard stands there as in every epoch but the first, with images that come once, and with images encoded as FFCV does. torchvision stands there three times more: by its own decoder and on tensors (v2), as TorchCodec does; with the
reference training's conversion to normalised floats, which synshard leaves to the device; and with as many worker processes as there are cores, beside
synshard with as many workers, in images per second of the clock. SPDL stands there by FFmpeg, cropping and resizing in its filters, and with torchvision's
decoder in its thread. Peers that cannot be had are named with the reason; requirements.txt has what was had here.
Prints one JSON object."""
import glob, importlib.metadata, json, os, statistics, subprocess, sys, tarfile, tempfile, time, warnings

import torch
import torchvision
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import v2

binary, folder = sys.argv[1], sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
torch.set_num_threads(1)
crop = T.Compose([T.RandomResizedCrop(299, scale=(0.05, 1)), T.RandomHorizontalFlip(), T.PILToTensor()])
reference = T.Compose([*crop.transforms, T.ConvertImageDtype(torch.float), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
on_tensors = v2.Compose([v2.RandomResizedCrop(299, scale=(0.05, 1), antialias=True), v2.RandomHorizontalFlip()])
cores = len(os.sched_getaffinity(0))
files = sorted(glob.glob(os.path.join(folder, "*", "*")))
turn = float(sys.argv[4]) if len(sys.argv) > 4 else 2.0
scratch = tempfile.TemporaryDirectory()
warnings.filterwarnings("ignore", message=".*deprecated.*")


def endless(make):
    while True:
        yield from make()


def over(make):
    """Images per processor second of batches of tensors, epoch after epoch."""
    it, n = endless(make), 0
    for _ in range(4):  # what was made ahead before the clock ran; as much is ahead when it stops
        next(it)
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - began < turn:
        n += len(next(it))
    spent = time.process_time() - cpu
    it.close()  # and with it the threads it has
    return n / spent


def torchvision_loader(transform=crop, **reading):
    data = torchvision.datasets.ImageFolder(folder, transform, **reading)
    return lambda: (x for x, _ in torch.utils.data.DataLoader(data, 32, shuffle=True))


def torchvision_decode(path):
    return torchvision.io.decode_jpeg(torchvision.io.read_file(path), mode=torchvision.io.ImageReadMode.RGB)


def torchcodec_loader():
    from torchcodec.decoders import decode_jpeg

    return torchvision_loader(on_tensors, loader=decode_jpeg)


def dali_loader():
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    @pipeline_def(batch_size=32, num_threads=1, device_id=None)
    def pipe():
        data, _ = fn.readers.file(files=files, random_shuffle=True, name="files")
        image = fn.decoders.image_random_crop(data, device="cpu", output_type=types.RGB, random_area=[0.05, 1], random_aspect_ratio=[3 / 4, 4 / 3], num_attempts=10)
        image = fn.resize(image, size=[299, 299], interp_type=types.INTERP_LINEAR, antialias=True)
        return fn.flip(image, horizontal=fn.random.coin_flip())

    made = pipe()
    made.build()
    loader = DALIGenericIterator([made], ["image"], reader_name="files", auto_reset=True)
    return lambda: (x[0]["image"] for x in loader)


def spdl_loader(image):
    """A pipeline of one thread that makes images of paths."""
    from spdl.pipeline import PipelineBuilder

    def batches():
        order = torch.randperm(len(files)).tolist()
        built = PipelineBuilder().add_source([files[i] for i in order]).pipe(image, concurrency=1).aggregate(32).add_sink(2).build(num_threads=1)
        with built.auto_stop():
            yield from built
    return batches


def spdl_ffmpeg():
    import spdl.io

    def image(path):
        packets = spdl.io.demux_image(path)
        y, x, h, w = T.RandomResizedCrop.get_params(torch.empty(3, packets.height, packets.width, device="meta"), (0.05, 1), (3 / 4, 4 / 3))
        flip = "hflip," if torch.rand(1) < 0.5 else ""
        frame = spdl.io.decode_packets(packets, filter_desc=f"crop={w}:{h}:{x}:{y},scale=299:299:flags=bilinear,{flip}format=rgb24")
        made = spdl.io.to_numpy(spdl.io.convert_frames(frame))
        assert made.shape == (299, 299, 3), made.shape
        return made
    image(files[0])
    return spdl_loader(image)


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

    path = os.path.join(scratch.name, "train.tar")
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

    path = os.path.join(scratch.name, "train.beton")
    DatasetWriter(path, {"image": RGBImageField(write_mode="jpg", max_resolution=512, jpeg_quality=90)}, num_workers=1).from_indexed_dataset(Images())
    decoder = RandomResizedCropRGBImageDecoder((299, 299), scale=(0.05, 1), ratio=(3 / 4, 4 / 3))
    loader = Loader(path, batch_size=32, num_workers=1, order=OrderOption.RANDOM, pipelines={
        "image": [decoder, RandomHorizontalFlip(), ToTensor(), ToTorchImage(convert_back_int16=False)]})
    for _ in loader:  # its compiler runs in the first epoch
        pass
    return lambda: (x for x, in loader)


def beton():
    """Bytes an image takes in FFCV's file."""
    path = os.path.join(scratch.name, "train.beton")
    return round(os.path.getsize(path) / len(files)) if os.path.exists(path) else None


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def ingest(images, name):
    subprocess.run([binary, "ingest", "--folder", images, "--out", os.path.join(scratch.name, name), "--progress", "off"], check=True, capture_output=True)
    return os.path.join(scratch.name, name)


def encoded_anew():
    """A folder of the images as FFCV's file has them: quality 90, no side above 512."""
    for f in files:
        to = os.path.join(scratch.name, "anew", os.path.relpath(f, folder))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        image = Image.open(f).convert("RGB")
        image.thumbnail((512, 512))
        image.save(to, "JPEG", quality=90)
    return os.path.join(scratch.name, "anew")


shards, smaller = ingest(folder, "dataset"), ingest(encoded_anew(), "smaller")


def ours(workers, *flags, data=shards):
    out = subprocess.run([binary, "bench", "loader", data, "--json", "--progress", "off", "-j", str(workers), "--rounds", "1", "--seconds", str(2 * turn), *flags],
                         check=True, capture_output=True, text=True).stdout
    run = json.loads(out)["runs"][0]
    return run["images_per_second"], run["images_per_second_per_core"], run["decode_only_per_second_per_core"]


peers, missing = {}, {}
for name, make in [("torchvision DataLoader", torchvision_loader),
                   ("torchvision decode_jpeg and v2, DataLoader", lambda: torchvision_loader(on_tensors, loader=torchvision_decode)),
                   ("TorchCodec and v2, DataLoader", torchcodec_loader),
                   ("torchvision DataLoader, normalised floats", lambda: torchvision_loader(reference)),
                   ("DALI on the CPU", dali_loader),
                   ("SPDL, torchvision decode_jpeg and v2", lambda: spdl_loader(lambda path: on_tensors(torchvision_decode(path)))),
                   ("SPDL, FFmpeg", spdl_ffmpeg),
                   ("WebDataset", webdataset_loader), ("Hugging Face datasets", hugging_face_loader), ("FFCV", ffcv_loader)]:
    try:
        peers[name] = make()
    except (ImportError, RuntimeError) as e:
        missing[name] = str(e).splitlines()[0].split(" (/")[0][:200]
by_clock = {"synshard": [], "torchvision DataLoader, normalised floats": []}
rates = {"synshard": [], "synshard, images that come once": [], "synshard, JPEGs made anew as FFCV's": [], "libjpeg-turbo, decoding only": [], **{n: [] for n in peers}}
for _ in range(rounds):
    by_clock["synshard"].append(ours(cores, "--again")[0])
    by_clock["torchvision DataLoader, normalised floats"].append(torchvision_workers())
    rates["synshard"].append(ours(1, "--again")[1])
    rates["synshard, JPEGs made anew as FFCV's"].append(ours(1, "--again", data=smaller)[1])
    _, load, decode = ours(1)
    rates["synshard, images that come once"].append(load)
    rates["libjpeg-turbo, decoding only"].append(decode)
    for name, make in peers.items():
        rates[name].append(over(make))
base = rates["synshard"]
print(json.dumps({
    "images_per_second_per_core": {n: round(statistics.median(v), 1) for n, v in rates.items()},
    "synshard_times": {n: round(statistics.median(a / b for a, b in zip(base, v)), 2) for n, v in rates.items()},
    f"images_per_second_with_{cores}_workers": {n: round(statistics.median(v), 1) for n, v in by_clock.items()},
    "synshard_times_with_workers": round(statistics.median(a / b for a, b in zip(*by_clock.values())), 2),
    "missing": missing, "images": len(files), "rounds": rounds, "bytes_per_image": {"as given": round(sum(map(os.path.getsize, files)) / len(files)), "FFCV": beton(),
                                                                                 "made anew": round(sum(map(os.path.getsize, glob.glob(os.path.join(scratch.name, "anew", "*", "*")))) / len(files))},
    "versions": {n: version(n) for n in ("torch", "torchvision", "torchcodec", "pillow", "nvidia-dali-cuda130", "spdl", "webdataset", "datasets", "ffcv")},
}, indent=1))
