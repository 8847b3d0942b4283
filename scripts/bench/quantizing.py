"""What the comparisons of quantisers (quantize.py, quantize_peers.py) have in common: images of a dataset made ready by
PIL as a Spec says, sessions of ONNX Runtime, and models run in turns."""
import glob, io, os, time

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.ipc as ipc
from PIL import Image
from onnxruntime.quantization import CalibrationDataReader


def seven_bits():
    """Whether weights want 7 bits here: without VNNI, pairs of products are added in 16 bits. synshard's default, too."""
    try:
        return "vnni" not in open("/proc/cpuinfo").read()
    except OSError:
        return False


def rows(directory, split):
    """Yield (jpeg bytes, label) of a split."""
    for path in sorted(glob.glob(os.path.join(directory, split, "**", "*part-*.arrow"), recursive=True)):
        table = ipc.open_file(pa.memory_map(path)).read_all()
        for image, label in zip(table["image"].to_pylist(), table["label"].to_pylist()):
            yield image["bytes"], label


def prepare(data, spec, kind="tensor(uint8)"):
    """One image as the model takes it: uint8 [h, w, 3], or normalised planes."""
    img = Image.open(io.BytesIO(data)).convert("RGB")
    size, short = spec["input_size"], spec.get("resize") or spec["input_size"]
    w, h = img.size
    k = short / min(w, h)
    mode = Image.BICUBIC if spec.get("interpolation") == "bicubic" else Image.BILINEAR
    img = img.resize((short, int(h * k)) if w <= h else (int(w * k), short), mode)
    x, y = round((img.width - size) / 2), round((img.height - size) / 2)
    img = np.asarray(img.crop((x, y, x + size, y + size)))
    if kind == "tensor(uint8)":
        return img
    return ((img / 255 - np.array(spec["mean"])) / np.array(spec["std"])).astype(np.float32).transpose(2, 0, 1)


class Reader(CalibrationDataReader):
    """Calibration images, one at a time."""

    def __init__(self, name, images):
        self.feed = iter([{name: p[None]} for p in images])

    def get_next(self):
        return next(self.feed, None)


def session(path, threads):
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads, o.log_severity_level = threads, 1, 3
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def in_turns(sessions, feed, rounds):
    """Seconds of each run of one batch, by session, the first round left out. Each round begins with another session."""
    times, order = {who: [] for who in sessions}, list(sessions)
    for turn in range(rounds + 1):
        for who in order:
            start = time.perf_counter()
            sessions[who].run(None, feed)
            if turn:
                times[who].append(time.perf_counter() - start)
        order.append(order.pop(0))
    return times
