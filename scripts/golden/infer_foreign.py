#!/usr/bin/env python3
"""Writes small ONNX classifiers that synshard did not export, with images and what
PIL, NumPy and Python's ONNX Runtime make of them.

    python scripts/golden/infer_foreign.py infer/ort/testdata

Needs onnx, onnxruntime, numpy and pillow. Each model is a convolution, a mean over the
image and a matrix, with weights of a fixed seed.
"""
import io, json, os, sys
import numpy as np, onnx, onnxruntime as ort
from onnx import TensorProto as T, helper as h, numpy_helper as nh
from PIL import Image

SIZE, CLASSES, WIDTH = 32, 5, 6
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
rng = np.random.default_rng(7)


def model(layout="nchw", kind="float", scores="logits", batch="N", size=SIZE, opset=17, embedding=False, metadata=None, ir=8):
    conv = rng.normal(0, 0.6, (WIDTH, 3, 3, 3)).astype(np.float32)
    mat = rng.normal(0, 0.7, (WIDTH, CLASSES)).astype(np.float32)
    w = [nh.from_array(conv, "conv"), nh.from_array(mat, "mat")]
    nodes, x = [], "pixels"
    shape = [batch, 3, size, size] if layout == "nchw" else [batch, size, size, 3]
    if kind == "uint8":
        nodes.append(h.make_node("Cast", [x], ["f"], to=T.FLOAT))
        w.append(nh.from_array(np.float32(1 / 255.0), "scale"))
        nodes.append(h.make_node("Mul", ["f", "scale"], ["g"]))
        x = "g"
    if layout == "nhwc":
        nodes.append(h.make_node("Transpose", [x], ["t"], perm=[0, 3, 1, 2]))
        x = "t"
    nodes += [
        h.make_node("Conv", [x, "conv"], ["c"], strides=[2, 2]),
        h.make_node("Relu", ["c"], ["r"]),
        h.make_node("GlobalAveragePool", ["r"], ["p"]),
        h.make_node("Flatten", ["p"], ["features"]),
        h.make_node("MatMul", ["features", "mat"], ["scores"]),
    ]
    last = "scores"
    if scores == "softmax":
        nodes.append(h.make_node("Softmax", ["scores"], ["out"], axis=1))
        last = "out"
    outs = [h.make_tensor_value_info(last, T.FLOAT, [batch, CLASSES])]
    if embedding:
        outs.append(h.make_tensor_value_info("features", T.FLOAT, [batch, WIDTH]))
    g = h.make_graph(nodes, "g", [h.make_tensor_value_info("pixels", T.UINT8 if kind == "uint8" else T.FLOAT, shape)], outs, w)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", opset)], ir_version=ir, producer_name="golden")
    for k, v in (metadata or {}).items():
        p = m.metadata_props.add()
        p.key, p.value = k, v
    return m


SPEC = {"model": "small", "input_size": SIZE, "resize": 40, "square": False, "interpolation": "bilinear", "mean": MEAN, "std": STD,
        "classes": ["ant", "bee", "cat", "dog", "elk"]}

MODELS = {
    "nchw_logits": dict(embedding=True),
    "nchw_softmax": dict(scores="softmax"),
    "nhwc_uint8": dict(layout="nhwc", kind="uint8", scores="softmax"),
    "nhwc_float": dict(layout="nhwc"),
    "nchw_uint8": dict(kind="uint8"),
    "fixed_batch": dict(batch=4),
    "any_size": dict(size="S"),
    "with_spec": dict(metadata={"synshard.spec": json.dumps(SPEC)}),
}


def ready(im):
    """Shorter side to 40, the centre 32 x 32: torchvision's Resize and CenterCrop."""
    im = im.convert("RGB")
    w, hh = im.size
    size = (40, int(40 * hh / w)) if w <= hh else (int(40 * w / hh), 40)
    im = im.resize(size, Image.BILINEAR)
    left, top = round((im.width - SIZE) / 2), round((im.height - SIZE) / 2)
    return np.asarray(im.crop((left, top, left + SIZE, top + SIZE)))


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def main(out):
    os.makedirs(out, exist_ok=True)
    names, pixels = [], []
    for i in range(6):  # smooth images, no detail that decoders differ on
        w, hh = 48 + 9 * i, 80 - 5 * i
        y, x = np.mgrid[0:hh, 0:w].astype(np.float64)
        a = np.stack([40 * ((i * (c + 2)) % 6) + 25 + 25 * np.sin(x / (5 + i) + c) * np.cos(y / (7 + c) + i) for c in range(3)], 2)
        im = Image.fromarray(a.clip(0, 255).astype(np.uint8))
        name = f"image{i}.png"
        im.save(os.path.join(out, name), optimize=True)
        names.append(name)
        pixels.append(ready(im))
    pixels = np.stack(pixels)
    golden = {"images": names, "spec": SPEC, "models": {}}
    for name, o in MODELS.items():
        m = model(**o)
        path = os.path.join(out, name + ".onnx")
        onnx.save(m, path)
        v = pixels
        if o.get("kind") != "uint8":
            v = ((v / 255.0 - MEAN) / STD).astype(np.float32)
        if o.get("layout", "nchw") == "nchw":
            v = v.transpose(0, 3, 1, 2)
        s, step = ort.InferenceSession(path, providers=["CPUExecutionProvider"]), 2 if name == "fixed_batch" else 6
        if name == "fixed_batch":
            got = [s.run(None, {"pixels": np.concatenate([v[i:i + 2], v[:2]])})[0][:2] for i in range(0, 6, step)]
            scores, emb = np.concatenate(got), None
        else:
            r = s.run(None, {"pixels": np.ascontiguousarray(v)})
            scores, emb = r[0], r[1] if len(r) > 1 else None
        kind = "probabilities" if o.get("scores") == "softmax" else "logits"
        g = {"scores": kind, "probabilities": (scores if kind == "probabilities" else softmax(scores)).tolist()}
        if kind == "logits":
            g["logits"] = scores.tolist()
        if emb is not None:
            g["embedding"] = emb.tolist()
        golden["models"][name] = g
    onnx.save(model(opset=99), os.path.join(out, "opset99.onnx"))
    onnx.save(model(ir=99), os.path.join(out, "ir99.onnx"))
    with open(os.path.join(out, "foreign.json"), "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


main(sys.argv[1])
