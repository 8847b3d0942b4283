#!/usr/bin/env python3
"""Golden data for the training engine, by PyTorch and torchvision.

Writes train/torch/testdata/golden_inception_v3.json: what torchvision's
Inception-v3, with an eighth of its channels and 8 classes, gives for weights
and images made by the formulas of model/modeltest:

  logits_eval, aux_eval, logits_train, aux_train  [4][8]
  logits_settled      [4][8], evaluating after six training passes at a momentum of 0.5
  loss                the training loss on the first batch, heads 1 and 0.4
  gradients           name -> {norm, at: [places], values: [...]}
  losses              optimiser -> the losses of ten updates

and golden_networks.json with, for each of the other networks, the training logits of its heads, the loss (auxiliary
heads weigh 0.3) and the gradients.

Needs torch and torchvision; one thread, float32, so that it can be repeated.

--full FILE writes the first of them instead for the full network and 1000 classes, with any number of threads, for
TestFullSize of train/torch (SYNSHARD_TEST_PYTHON names the Python).
"""
import argparse
import json
import math
import pathlib

import numpy as np
import torch
import torchvision

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH, CLASSES, SIZE = 4, 8, 299
FULL = False
SMOOTHING, AUX, DECAY, LR = 0.1, 0.4, 4e-5, 0.005


def unit(name, n):
    seed = 2166136261
    for c in name.encode():  # FNV-1a
        seed = (seed ^ c) * 16777619 & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        h = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 2246822519 & 0xFFFFFFFF) + np.uint32(374761393)
        h ^= h >> np.uint32(15)
        h *= np.uint32(2246822519)
        h ^= h >> np.uint32(13)
    return h.astype(np.float64) / 2**32


def eighth(module):
    """Divides every channel count by eight, but for the images' and the heads'; leaves dropout out."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Dropout):
            setattr(module, name, torch.nn.Identity())
        elif FULL:
            eighth(child)
        elif isinstance(child, torch.nn.Conv2d):
            ins = child.in_channels if child.in_channels == 3 else child.in_channels // 8
            setattr(module, name, torch.nn.Conv2d(ins, child.out_channels // 8, child.kernel_size, child.stride, child.padding, bias=child.bias is not None))
        elif isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, torch.nn.BatchNorm2d(child.num_features // 8, eps=child.eps))
        elif isinstance(child, torch.nn.Linear):
            out = child.out_features if child.out_features == CLASSES else child.out_features // 8
            setattr(module, name, torch.nn.Linear(child.in_features // 8, out))
        else:
            eighth(child)


def narrow(name="inception_v3"):
    """torchvision's network with every channel count divided by eight, without dropout."""
    options = {}
    if name in ("inception_v3", "googlenet"):
        options = dict(aux_logits=True, transform_input=False)
    if name not in ("alexnet", "resnet50", "densenet121"):
        options["init_weights"] = False
    m = getattr(torchvision.models, name)(weights=None, num_classes=CLASSES, **options)
    eighth(m)
    return m


def fill(m):
    state = m.state_dict()
    norms = {n for n, b in m.named_modules() if isinstance(b, torch.nn.BatchNorm2d)}
    for name, t in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        u = unit(name, t.numel())
        norm = name.rsplit(".", 1)[0] in norms
        if t.dim() > 1:
            v = (2 * u - 1) * math.sqrt(6 / (t.numel() // t.shape[0]))
        elif name.endswith("running_var"):
            v = 8 + 4 * u  # about what it is, so that activations stay near one
        elif norm and name.endswith("weight"):
            v = 0.5 + u
        elif norm and name.endswith("bias"):
            v = 2 + (u - 0.5) / 5  # far from ReLU's kink, where float32's noise would decide about a gradient
        else:
            v = (u - 0.5) / 5
        state[name] = torch.from_numpy(v.astype(np.float32).reshape(t.shape))
    m.load_state_dict(state)
    return m


def images(size=SIZE):
    b, y, x, c = np.meshgrid(np.arange(BATCH), np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    checks = (x // (4 + 5 * b) + y // (3 + 7 * c + b)) % 2 * (60 + 40 * b)
    p = ((checks + (x * (c + 1) + y * (3 - c)) // 8 % 64 + b * 20) % 256).astype(np.float32)
    return torch.from_numpy((p / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()


def loss_of(m, x, y):
    out, aux = m(x)
    ce = torch.nn.functional.cross_entropy
    return ce(out, y, label_smoothing=SMOOTHING) + AUX * ce(aux, y, label_smoothing=SMOOTHING), out, aux


def updates(kind, steps=10):
    """Ten losses; the updates are written out, so that they are what the formulas say."""
    m = fill(narrow()).train()
    x, y = images(), torch.arange(BATCH) * 2 % CLASSES
    params = dict(m.named_parameters())
    a = {k: torch.ones_like(p) if kind == "rmsprop" else torch.zeros_like(p) for k, p in params.items()}
    b = {k: torch.zeros_like(p) for k, p in params.items()}
    losses = []
    for step in range(1, steps + 1):
        m.zero_grad()
        loss, _, _ = loss_of(m, x, y)
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for k, p in params.items():
                weight = p.dim() > 1
                g = p.grad
                if weight and kind != "adamw":
                    g = g + DECAY * p
                if kind == "rmsprop":
                    a[k].mul_(0.9).add_(0.1 * g * g)
                    b[k].mul_(0.9).add_(LR * g / torch.sqrt(a[k] + 1.0))
                    p -= b[k]
                elif kind == "sgd":
                    a[k].mul_(0.9).add_(g)
                    p -= LR * (g + 0.9 * a[k])
                else:
                    a[k].mul_(0.9).add_(0.1 * g)
                    b[k].mul_(0.999).add_(0.001 * g * g)
                    if weight:
                        p -= 1e-4 * DECAY * p
                    p -= 1e-4 * (a[k] / (1 - 0.9**step)) / (torch.sqrt(b[k] / (1 - 0.999**step)) + 1e-8)
    return losses


def sampled(m):
    """Norm and a few elements of every gradient."""
    out = {}
    for name, p in m.named_parameters():
        g = p.grad.flatten()
        at = sorted({0, g.numel() // 2, g.numel() - 1})
        out[name] = {"norm": g.norm().item(), "at": at, "values": [g[i].item() for i in at]}
    return out


def neighbour(name):
    """Training logits of every head, the loss and its gradients for one of Inception's neighbours."""
    m = fill(narrow(name)).train()
    x, y = images(224), torch.arange(BATCH) * 2 % CLASSES
    out = m(x)
    heads = [out.logits, out.aux_logits1, out.aux_logits2] if name == "googlenet" else [out]
    ce = torch.nn.functional.cross_entropy
    loss = ce(heads[0], y, label_smoothing=SMOOTHING) + sum(0.3 * ce(h, y, label_smoothing=SMOOTHING) for h in heads[1:])
    loss.backward()
    return {"logits": [h.tolist() for h in heads], "loss": loss.item(), "gradients": sampled(m)}


def inception():
    """Everything of Inception-v3 that is held to."""
    x, y = images(), torch.arange(BATCH) * 2 % CLASSES
    golden = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    m = fill(narrow()).eval()
    kept = {}
    m.Mixed_6e.register_forward_hook(lambda _m, _i, o: kept.update(six=o))
    with torch.no_grad():
        golden["logits_eval"] = m(x).tolist()
        golden["aux_eval"] = m.AuxLogits(kept["six"]).tolist()
    m = fill(narrow()).train()
    loss, out, aux = loss_of(m, x, y)
    loss.backward()
    golden |= {"logits_train": out.tolist(), "aux_train": aux.tolist(), "loss": loss.item(), "gradients": sampled(m)}
    m = fill(narrow()).train()
    for block in m.modules():
        if isinstance(block, torch.nn.BatchNorm2d):
            block.momentum = 0.5
    with torch.no_grad():
        for _ in range(6):
            m(x)
        golden["logits_settled"] = m.eval()(x).tolist()
    golden["losses"] = {kind: updates(kind) for kind in ("rmsprop", "sgd", "adamw")}
    return golden


def main():
    global CLASSES, FULL, LR
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--full", metavar="FILE", type=pathlib.Path)
    full = arguments.parse_args().full
    torch.manual_seed(0)
    if full:
        FULL, CLASSES, LR = True, 1000, 0.0005  # at 0.005 four images make steps so wild that float32's noise grows
        full.write_text(json.dumps(inception()) + "\n")
        return
    torch.set_num_threads(1)
    golden = inception()
    others = {name: neighbour(name) for name in ("alexnet", "densenet121", "googlenet", "resnet50", "vgg16", "vgg16_bn")}
    out = ROOT / "train/torch/testdata/golden_networks.json"
    out.write_text(json.dumps(others, separators=(",", ":")) + "\n")
    print(out.relative_to(ROOT), out.stat().st_size, "bytes")
    out = ROOT / "train/torch/testdata/golden_inception_v3.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(out.relative_to(ROOT), out.stat().st_size, "bytes; losses", golden["losses"])


if __name__ == "__main__":
    main()
