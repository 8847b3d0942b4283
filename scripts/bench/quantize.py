"""Compare `synshard model quantize` with ONNX Runtime's own Python quantiser.

One run, both sides: the same model, the same number of calibration images of
the training split (each side draws and decodes its own), the same held-out
split, prepared by PIL as the model's Spec says. For each calibration
method it prints top-1 of fp32, of ours and of ONNX Runtime's, and images a
second of the three models, measured in turns on the same threads. Weights of both
have 7 bits where the processor has no VNNI.

    python scripts/bench/quantize.py --synshard ./synshard --model model.onnx --dataset DIR
"""
import argparse, json, os, random, subprocess, tempfile, time

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from quantizing import Reader, in_turns, prepare, rows, session, seven_bits


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--synshard", default="./synshard")
    p.add_argument("--model", required=True)
    p.add_argument("--dataset", required=True)
    p.add_argument("--images", type=int, default=128)
    p.add_argument("--methods", default="minmax,entropy,percentile")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--ort-lib", default="")
    a = p.parse_args()

    meta = {m.key: m.value for m in onnx.load(a.model).metadata_props}
    spec = json.loads(meta["synshard.spec"])
    train = list(rows(a.dataset, "train"))
    random.Random(0).shuffle(train)
    calibration = [prepare(d, spec) for d, _ in train[: a.images]]
    held = [(prepare(d, spec), label) for d, label in rows(a.dataset, "val")]
    images, labels = np.stack([x for x, _ in held]), np.array([y for _, y in held])

    base = session(a.model, a.threads)
    name = base.get_inputs()[0].name

    def predict(s):
        out = [s.run(["probabilities"], {name: images[i : i + a.batch]})[0] for i in range(0, len(images), a.batch)]
        return np.concatenate(out).argmax(1)

    want = predict(base)
    print(f"fp32: top-1 {100 * (want == labels).mean():.2f} % of {len(labels)}")
    kinds = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}
    with tempfile.TemporaryDirectory() as tmp:
        for method in a.methods.split(","):
            ours, theirs = os.path.join(tmp, "ours.onnx"), os.path.join(tmp, "theirs.onnx")
            command = [a.synshard, "model", "quantize", a.model, a.dataset, "--out", ours, "--method", method,
                       "--images", str(a.images), "--eval-images", "1", "--max-drop", "100", "--progress", "off", f"--reduce-range={str(seven_bits()).lower()}"]
            if a.ort_lib:
                command += ["--ort-lib", a.ort_lib]
            start = time.time()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            took = time.time() - start
            start = time.time()
            quantize_static(a.model, theirs, Reader(name, calibration), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=seven_bits(),
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=kinds[method])
            theirs_took = time.time() - start
            sessions = {"fp32": base, "synshard": session(ours, a.threads), "onnxruntime": session(theirs, a.threads)}
            times = in_turns(sessions, {name: images[: a.batch]}, a.rounds)
            rate = {k: a.batch / np.median(v) for k, v in times.items()}
            for k in ("synshard", "onnxruntime"):
                got = predict(sessions[k])
                print(f"{method:10} {k:11} top-1 {100 * (got == labels).mean():6.2f} %, as fp32 on {100 * (got == want).mean():6.2f} %, "
                      f"{rate[k]:6.1f} images/s = {rate[k] / rate['fp32']:.2f} x fp32 ({rate['fp32']:.1f}), "
                      f"made in {took if k == 'synshard' else theirs_took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
