#!/usr/bin/env python3
"""Does synshard learn what PyTorch learns?

    python scripts/learning/learning.py SYNSHARD WORK [--seeds N] [--size PIXELS] [--aux-weight W] ...

Trains torchvision's Inception-v3 twice for each seed, on the drawn set of 'synshard sample': by 'synshard train' as anyone calls it, and by PyTorch
with torchvision's transforms over PIL. Both begin with the same weights, which torchvision's module drew, and see the same images in the same
order, cut and mirrored alike (scripts/learning/order tells how synshard cuts), with the same rate at each step; dropout is each one's own. Both measure
their last weights on the validation images: PyTorch by torchvision's transforms, synshard by 'infer' and 'eval'; and
PyTorch measures synshard's weights as well. Differences are paired by seed: their mean, its 95 % interval by Student's t, and
the p of the exact test over all signs.

Seeds that are done lie in WORK and are not trained again. Needs torch, torchvision, Pillow, pyarrow and SciPy, and Go for the
order. The last line is a JSON object.
"""
import argparse, glob, io, json, os, shutil, subprocess, sys, time
import numpy as np
import pyarrow.dataset
import torch
import torchvision
from PIL import Image
from scipy import stats
from torchvision.transforms import functional as F

checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
figures = [("top1", "top-1, %", 100), ("cross_entropy", "cross-entropy, nats", 1), ("train_loss", "training loss of the last epoch, nats", 1)]


def parsed():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("synshard")
    a.add_argument("work")
    a.add_argument("--seeds", type=int, default=8)
    a.add_argument("--first", type=int, default=1, help="seed; several processes may each do some, in one WORK")
    a.add_argument("--size", type=int, default=96, help="pixels that the network takes")
    a.add_argument("--epochs", type=int, default=6)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--aux-weight", type=float, default=0, help="of the auxiliary head's loss; 0: no such head, which wants about 299 pixels")
    a.add_argument("--dropout", type=float, default=0.2)
    a.add_argument("--train-per-synset", type=int, default=75)
    a.add_argument("--val-per-synset", type=int, default=64)
    a.add_argument("--threads", type=int, default=os.cpu_count(), help="of each training")
    a.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe, as 'synshard train' takes it")
    return a.parse_args()


def synshard(a, *args):
    """Runs it and gives what it prints, and what it says beside."""
    p = subprocess.run([os.path.abspath(a.synshard), *args, "--progress", "off"], capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"synshard {' '.join(args)}: exit {p.returncode}\n{p.stderr}")
    return p.stdout, p.stderr


def made(a):
    """The dataset, made when it is not there."""
    archives, dataset = os.path.join(a.work, "archives"), os.path.join(a.work, "dataset")
    if not os.path.exists(os.path.join(dataset, "dataset.json")):
        synshard(a, "sample", "--out", archives, "--train-per-synset", str(a.train_per_synset), "--val-per-synset", str(a.val_per_synset))
        synshard(a, "ingest", "--train", f"{archives}/ILSVRC2012_img_train.tar", "--val", f"{archives}/ILSVRC2012_img_val.tar",
                 "--devkit", f"{archives}/ILSVRC2012_devkit_t12.tar.gz", "--out", dataset)
        shutil.rmtree(archives)
    return dataset


def images(dataset, split):
    """Image and label by synset and path."""
    t = pyarrow.dataset.dataset(sorted(glob.glob(f"{dataset}/{split}/**/part-*.arrow", recursive=True)), format="ipc").to_table(["image", "synset", "label"])
    return {(s, i["path"]): (Image.open(io.BytesIO(i["bytes"])).convert("RGB"), l)
            for i, s, l in zip(t["image"].to_pylist(), t["synset"].to_pylist(), t["label"].to_pylist())}


def network(a, classes):
    return torchvision.models.inception_v3(weights=None, num_classes=classes, aux_logits=a.aux_weight > 0, transform_input=False, init_weights=False, dropout=a.dropout)


def tensor(image):
    return F.normalize(F.to_tensor(image), [0.5] * 3, [0.5] * 3)


def cut(a, image, o):
    image = F.resized_crop(image, o["y"], o["x"], o["height"], o["width"], [a.size, a.size], F.InterpolationMode.BILINEAR)
    return tensor(F.hflip(image) if o["mirrored"] else image)


def resize(a):
    return round(a.size * 342 / 299)


@torch.no_grad()
def measured(a, net, val):
    """Top-1 and mean cross-entropy of the main head."""
    net.eval()
    right, entropy, rows = 0, 0.0, list(val.values())
    for i in range(0, len(rows), 32):
        x = torch.stack([tensor(F.center_crop(F.resize(im, resize(a)), [a.size, a.size])) for im, _ in rows[i:i + 32]])
        y = torch.tensor([l for _, l in rows[i:i + 32]])
        logits = net(x.contiguous(memory_format=torch.channels_last))
        right += int((logits.argmax(1) == y).sum())
        entropy += float(torch.nn.functional.cross_entropy(logits, y, reduction="sum"))
    return {"top1": right / len(rows), "cross_entropy": entropy / len(rows)}


def optimizer(net):
    """The demo recipe's: no decay of biases and batch norm."""
    weights = [m.weight for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    others = [p for p in net.parameters() if not any(p is w for w in weights)]
    return torch.optim.AdamW([{"params": weights, "weight_decay": 4e-5}, {"params": others, "weight_decay": 0}], betas=(0.9, 0.98), eps=1e-8)


def pytorch(a, net, train, order, rates):
    """Trains, and gives each step's loss as minimised, main head's loss, and gradient's norm before it is clipped."""
    net.train().to(memory_format=torch.channels_last)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = 0.3
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    opt, steps = optimizer(net), []
    for step, rate in enumerate(rates):
        batch = order[step * a.batch:(step + 1) * a.batch]
        assert all(o["step"] == step for o in batch) and len(batch) == a.batch, f"order: {len(batch)} images of step {step}"
        rows = [(o, *train[o["synset"], o["path"]]) for o in batch]
        x = torch.stack([cut(a, image, o) for o, image, _ in rows]).contiguous(memory_format=torch.channels_last)
        y = torch.tensor([label for _, _, label in rows])
        out = net(x)
        main = loss(out.logits if a.aux_weight > 0 else out, y)
        total = main + a.aux_weight * loss(out.aux_logits, y) if a.aux_weight > 0 else main
        opt.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        for g in opt.param_groups:
            g["lr"] = rate
        opt.step()
        steps.append({"loss": total.item(), "main_loss": main.item(), "grad_norm": norm.item()})
    return steps


def fitted(a, dataset, seed, start, run):
    """Trains by synshard, and gives its log's steps."""
    values = [f"eval.size={a.size}", f"eval.resize={resize(a)}", f"seed={seed}", *a.set]
    _, said = synshard(a, "train", dataset, "--out", run, "--recipe", "demo", "--weights", start, "--precision", "fp32", "--keep", "1", "--val-split", "",
                       "--epochs", str(a.epochs), "--batch", str(a.batch), "--aux-weight", str(a.aux_weight), "--dropout", str(a.dropout), "--threads", str(a.threads),
                       *[w for v in values for w in ("--set", v)])
    if "initialised afresh" in said or "not used" in said:
        sys.exit(f"synshard did not take all weights:\n{said}")
    with open(f"{run}/log.ndjson") as log:
        return [l for l in map(json.loads, log) if l["kind"] == "step"]


def predicted(a, model, dataset, place):
    """Top-1 and mean cross-entropy of the validation images by infer and eval."""
    synshard(a, "infer", model, dataset, "--split", "val", "--logits", "--format", "parquet", "--out", f"{place}/val.parquet")
    top1 = json.loads(synshard(a, "eval", f"{place}/val.parquet", "--json")[0])["top1"]
    t = pyarrow.dataset.dataset(f"{place}/val.parquet").to_table(["logits", "label"])
    entropy = torch.nn.functional.cross_entropy(torch.tensor(t["logits"].to_pylist()), torch.tensor(t["label"].to_pylist()))
    return {"top1": top1, "cross_entropy": entropy.item()}


def one(a, dataset, seed, train, val):
    """Both trainings of a seed, and what they come to."""
    place = os.path.join(a.work, f"seed-{seed}")
    start, run = f"{place}/start.pth", f"{place}/run"
    os.makedirs(place, exist_ok=True)
    classes = len({l for _, l in train.values()})
    torch.manual_seed(seed)
    net = network(a, classes)
    if not os.path.exists(start):
        torch.save(net.state_dict(), start)
    net.load_state_dict(torch.load(start, weights_only=True))
    began = time.time()
    steps = fitted(a, dataset, seed, start, run)
    took, began = time.time() - began, time.time()
    told = subprocess.run(["go", "run", "./scripts/learning/order", os.path.abspath(dataset), os.path.abspath(run)], cwd=checkout, check=True, stdout=subprocess.PIPE)
    order = [json.loads(l) for l in told.stdout.splitlines()]
    theirs = pytorch(a, net, train, order, [s["lr"] for s in steps])
    epoch = len(steps) // a.epochs
    mean = lambda steps: float(np.mean([s["main_loss"] for s in steps[-epoch:]]))
    there = {**measured(a, net, val), "train_loss": mean(theirs), "seconds": time.time() - began}
    here = {**predicted(a, f"{run}/model.onnx", dataset, place), "train_loss": mean(steps), "seconds": took}
    synshard(a, "model", "export", f"{run}/model.safetensors", "--out", f"{place}/end.pth")
    other = network(a, classes)
    other.load_state_dict(torch.load(f"{place}/end.pth", weights_only=True))
    crossed = measured(a, other.to(memory_format=torch.channels_last), val)
    shutil.rmtree(place)
    keep = ("loss", "main_loss", "grad_norm")
    return {"seed": seed, "steps": len(steps), "images": len(val), "pytorch": there, "synshard": here, "synshard_in_pytorch": crossed,
            "pytorch_steps": theirs, "synshard_steps": [{k: s[k] for k in keep} for s in steps]}


def results(a, dataset):
    """What each seed came to; what is in WORK is not done again."""
    train = val = None
    for seed in range(a.first, a.first + a.seeds):
        path = os.path.join(a.work, f"seed-{seed}.json")
        if not os.path.exists(path):
            if train is None:
                train, val = images(dataset, "train"), images(dataset, "val")
            found = one(a, dataset, seed, train, val)
            with open(path + ".new", "w") as f:
                json.dump(found, f)
            os.replace(path + ".new", path)
        with open(path) as f:
            yield json.load(f)


def same(a):
    """WORK is of these options or of none."""
    asked = {k: v for k, v in vars(a).items() if k not in ("synshard", "work", "seeds", "first", "threads")}
    path = os.path.join(a.work, "options.json")
    if os.path.exists(path):
        have = json.load(open(path))
        if have != asked:
            sys.exit(f"{a.work} is of other options: {have}")
    else:
        os.makedirs(a.work, exist_ok=True)
        with open(path, "w") as f:
            json.dump(asked, f)


def away(a, b):
    return abs(a - b) / max(abs(b), 1e-9)


def show(r):
    t, s, c, h = r["pytorch"], r["synshard"], r["synshard_in_pytorch"], held(r)
    print(f"seed {r['seed']}, {r['steps']} steps, {s['seconds']:.0f} s here and {t['seconds']:.0f} s in PyTorch: first step's loss {h['first_loss']:.1e} of it apart, "
          f"its gradient's norm {h['first_gradient_norm']:.1e}; cross-entropy of our weights by both {h['measured_twice']:.1e}")
    for key, name, by in figures:
        print(f"  {name:40} here {by * s[key]:8.4f}   PyTorch {by * t[key]:8.4f}   apart {by * (s[key] - t[key]):+8.4f}"
              + (f"   our weights in PyTorch {by * c[key]:8.4f}" if key in c else ""), flush=True)


def held(r):
    """What must be equal before anything is learnt, and of the weights that are measured twice: relative to PyTorch's."""
    ours, theirs = r["synshard_steps"][0], r["pytorch_steps"][0]
    return {"first_loss": away(ours["loss"], theirs["loss"]), "first_gradient_norm": away(ours["grad_norm"], theirs["grad_norm"]),
            "measured_twice": away(r["synshard"]["cross_entropy"], r["synshard_in_pytorch"]["cross_entropy"])}


def compared(all):
    """Differences, here less PyTorch, by seed."""
    out = {}
    for key, name, by in figures:
        d = np.array([by * (r["synshard"][key] - r["pytorch"][key]) for r in all])
        there = np.array([by * r["pytorch"][key] for r in all])
        low, high = stats.ttest_1samp(d, 0).confidence_interval(0.95)
        p = stats.permutation_test((d,), lambda x, axis: np.mean(x, axis), permutation_type="samples", n_resamples=np.inf).pvalue
        out[key] = {"pytorch_mean": there.mean(), "pytorch_deviation": there.std(ddof=1), "mean": d.mean(), "deviation": d.std(ddof=1), "low": low, "high": high, "p": float(p)}
        print(f"{name:40} PyTorch {there.mean():8.4f} (deviation over seeds {there.std(ddof=1):.4f})   apart {d.mean():+8.4f}, 95 % {low:+.4f} to {high:+.4f}, p {p:.3f}")
    return out


def main():
    a = parsed()
    same(a)
    torch.set_num_threads(a.threads)
    dataset = made(a)
    all = []
    for r in results(a, dataset):
        show(r)
        all.append(r)
    out = {"seeds": len(all), "images": all[0]["images"], "steps": all[0]["steps"], "torch": torch.__version__, "torchvision": torchvision.__version__,
           "apart": {k: max(held(r)[k] for r in all) for k in held(all[0])}}
    if len(all) > 1:
        out["differences"] = compared(all)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
