"""Compare `synshard model quantize` with ONNX Runtime's and NNCF's quantisers.

Each is what its own documentation begins with: ONNX Runtime's quantize_static behind
quant_pre_process (QDQ, a scale for each channel, uint8 activations, int8 weights, min-max),
NNCF's quantize of the ONNX model (its default preset, fast bias correction), synshard's
defaults. All get the same number of images of the training split to calibrate (synshard
draws and decodes its own) and weights of as many bits.

    python scripts/bench/quantize_peers.py --synshard ./synshard --dataset DIR --keep WORK \
        --model lite0.onnx --resize 256 --mean 0.498 --std 0.502 \
        --timm mobilenetv2_100,resnet50,inception_v3

--model is a file with weights that mean something, of the dataset's classes in their order,
whose Spec is in its metadata or said by flags: top-1 on the held-out split counts. --timm names
networks that timm makes with random weights and batch norms of statistics of the calibration
images: there what counts is how far the scores are from fp32's, as decibels of their variance
over images (SQNR), and how often the first prediction is the same.

--stages make writes the models into --keep, accuracy predicts the held-out split, speed runs
them in turns on one batch, all in one process of ONNX Runtime. A stage can be run alone.
"""
import argparse, json, os, random, subprocess, sys, time

import numpy as np
import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from quantizing import Reader, in_turns, prepare, rows, session, seven_bits

MAKERS = ["synshard", "onnxruntime", "nncf"]


def draw(directory, split, n, spec, kind):
    """n prepared images of a split, drawn by a fixed seed, and their labels."""
    all = list(rows(directory, split))
    random.Random(0).shuffle(all)
    all = all[: n or None]
    return np.stack([prepare(d, spec, kind) for d, _ in all]), np.array([label for _, label in all])


def scores_of(s):
    """The output with the scores: the model's own `probabilities`, or the first."""
    names = [o.name for o in s.get_outputs()]
    return "probabilities" if "probabilities" in names else names[0]


def export(name, path, classes, images):
    """Write timm's network of that name, its batch norms settled on images."""
    import timm, torch

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    net = timm.create_model(name, pretrained=False, num_classes=len(classes))
    config = timm.data.resolve_data_config({}, model=net)
    size = config["input_size"][-1]
    spec = {"model": name, "input_size": size, "resize": round(size / config["crop_pct"]), "interpolation": "bilinear",
            "mean": list(config["mean"]), "std": list(config["std"]), "classes": classes}
    for m in net.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            m.momentum = None  # the average over all batches
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    net.train()
    with torch.no_grad():
        x = torch.from_numpy(images(spec))
        for i in range(0, len(x), 16):
            net(x[i : i + 16])
    net.eval()
    torch.onnx.export(net, x[:1], path, input_names=["image"], output_names=["logits"], opset_version=17,
                      dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}}, dynamo=False)
    return spec


def by_synshard(a, model, spec, out, _):
    command = [a.synshard, "model", "quantize", model, a.dataset, "--spec", spec, "--out", out, "--images", str(a.images),
               "--eval-images", "1", "--max-drop", "100", "--progress", "off", f"--reduce-range={str(a.reduce_range).lower()}"]
    if a.method:
        command += ["--method", a.method]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def by_onnxruntime(a, model, _, out, images):
    name = onnx.load(model).graph.input[0].name
    quant_pre_process(model, out + ".pre")
    quantize_static(out + ".pre", out, Reader(name, images), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=a.reduce_range,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    os.remove(out + ".pre")


def by_nncf(a, model, _, out, images):
    import nncf

    m = onnx.load(model)
    name = m.graph.input[0].name
    onnx.save(nncf.quantize(m, nncf.Dataset([{name: p[None]} for p in images]), subset_size=len(images)), out)


def make(a, work, subjects):
    """Write what is not there yet: networks, their Specs, and each maker's model."""
    classes = json.loads(subprocess.run([a.synshard, "classes", a.dataset, "--json"], check=True, capture_output=True, text=True).stdout)["classes"]
    classes = [c["synset"] if isinstance(c, dict) else c for c in classes]
    for name, model in subjects.items():
        spec_path = os.path.join(work, name + ".json")
        if not os.path.exists(model):
            spec = export(name, model, classes, lambda s: draw(a.dataset, "train", a.images, s, "float")[0])
            json.dump(spec, open(spec_path, "w"))
        elif not os.path.exists(spec_path):
            meta = {m.key: m.value for m in onnx.load(model).metadata_props}
            spec = json.loads(meta["synshard.spec"]) if "synshard.spec" in meta else {
                "model": name, "input_size": a.size, "resize": a.resize, "interpolation": "bilinear",
                "mean": [a.mean] * 3, "std": [a.std] * 3, "classes": classes}
            json.dump(spec, open(spec_path, "w"))
        spec = json.load(open(spec_path))
        images = draw(a.dataset, "train", a.images, spec, session(model, 1).get_inputs()[0].type)[0]
        for maker in MAKERS:
            out = os.path.join(work, f"{name}.{maker}.onnx")
            if os.path.exists(out):
                continue
            start = time.time()
            globals()["by_" + maker](a, model, spec_path, out, images)
            print(f"{name:24} {maker:12} made in {time.time() - start:.0f} s", flush=True)


def sessions(work, name, model, threads):
    return {"fp32": session(model, threads), **{m: session(os.path.join(work, f"{name}.{m}.onnx"), threads) for m in MAKERS}}


def accuracy(a, work, name, model, real):
    spec = json.load(open(os.path.join(work, name + ".json")))
    all = sessions(work, name, model, a.threads)
    entry = all["fp32"].get_inputs()[0]
    images, labels = draw(a.dataset, "val", a.eval_images, spec, entry.type)
    want = None
    for who, s in all.items():
        got = np.concatenate([s.run([scores_of(s)], {entry.name: images[i : i + a.batch]})[0] for i in range(0, len(images), a.batch)])
        if want is None:
            want = got
        right, was = got.argmax(1) == labels, want.argmax(1) == labels
        same = (got.argmax(1) == want.argmax(1)).mean()
        noise = ((got - want) ** 2).sum()
        sqnr = np.inf if noise == 0 else 10 * np.log10(((want - want.mean(0)) ** 2).sum() / noise)
        top1 = f"top-1 {100 * right.mean():6.2f} % (lost {(was & ~right).sum()}, won {(right & ~was).sum()}), " if real else ""
        print(f"{name:24} {who:12} {top1}as fp32 on {100 * same:6.2f} % of {len(labels)}, SQNR {sqnr:5.1f} dB", flush=True)


def speed(a, work, name, model):
    spec = json.load(open(os.path.join(work, name + ".json")))
    all = sessions(work, name, model, a.threads)
    entry = all["fp32"].get_inputs()[0]
    batch = {entry.name: draw(a.dataset, "val", a.batch, spec, entry.type)[0]}
    times = {who: np.array(t) for who, t in in_turns(all, batch, a.rounds).items()}
    rate = {who: a.batch / np.median(t) for who, t in times.items()}
    by = {who: np.median(t / times["synshard"]) for who, t in times.items() if who != "synshard"}  # of what stood side by side
    print(f"{name:24} images/s " + ", ".join(f"{who} {r:.1f} ({a.batch / max(times[who]):.0f}-{a.batch / min(times[who]):.0f})" for who, r in rate.items())
          + "; synshard is faster by " + ", ".join(f"{r:.2f} than {who}" for who, r in by.items()), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--synshard", default="./synshard")
    p.add_argument("--dataset", required=True)
    p.add_argument("--keep", required=True, help="directory for the models")
    p.add_argument("--model", default="")
    p.add_argument("--timm", default="", help="names, with commas between")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--resize", type=int, default=256)
    p.add_argument("--mean", type=float, default=0.5)
    p.add_argument("--std", type=float, default=0.5)
    p.add_argument("--method", default="", help="synshard's calibration (default: its own)")
    p.add_argument("--reduce-range", action=argparse.BooleanOptionalAction, default=seven_bits(),
                   help="weights of 7 bits, synshard's and ONNX Runtime's (NNCF does so in the first layer, by default); default: where the processor has no VNNI")
    p.add_argument("--images", type=int, default=64)
    p.add_argument("--eval-images", type=int, default=0, help="0: all")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--stages", default="make,accuracy,speed")
    a = p.parse_args()
    os.makedirs(a.keep, exist_ok=True)
    subjects = {os.path.splitext(os.path.basename(a.model))[0]: a.model} if a.model else {}
    real = set(subjects)
    subjects |= {name: os.path.join(a.keep, name + ".onnx") for name in a.timm.split(",") if name}
    if not subjects:
        sys.exit("quantize_peers.py: give --model, --timm or both")
    stages = a.stages.split(",")
    if "make" in stages:
        make(a, a.keep, subjects)
    for name, model in subjects.items():
        if "accuracy" in stages:
            accuracy(a, a.keep, name, model, name in real)
        if "speed" in stages:
            speed(a, a.keep, name, model)


if __name__ == "__main__":
    main()
