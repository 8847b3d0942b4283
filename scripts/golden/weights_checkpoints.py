#!/usr/bin/env python3
"""Writes model/weights/testdata/checkpoints: one small network's weights as people save them, by torch.save and safetensors,
and cases.json with what is to be taken of each. Needs torch, safetensors, numpy, yacs, omegaconf and easydict; python 3.11 or
later. Every file has the same weights: "plain" ones, and "ema" ones that are twice as large."""
import argparse
import collections
import copy
import datetime
import decimal
import enum
import fractions
import functools
import json
import os
import pathlib
import pickle
import random
import shutil
import sys
import types
import uuid

import easydict
import numpy
import omegaconf
import safetensors.torch
import torch
import yacs.config
from torch import nn

# The older format keeps a module's source and where it lay.
torch.serialization.get_source_lines_and_file = lambda obj: (["class Source:\n"], 0, "net.py")
out = pathlib.Path(__file__).resolve().parents[2] / "model/weights/testdata/checkpoints"
shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (1, 3), bias=False)
        self.bn = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


def filled(scale):
    net = Net()
    with torch.no_grad():
        for i, (name, p) in enumerate(sorted(net.state_dict().items())):
            if p.is_floating_point():
                p.copy_((torch.arange(p.numel()).reshape(p.shape) + i + 1) * scale / 16)
            else:
                p.fill_(7)
    return net.eval()


net, averaged = filled(1), filled(2)
plain, ema = net.state_dict(), averaged.state_dict()
cases = []


def under(prefix, state):
    return collections.OrderedDict((prefix + k, v) for k, v in state.items())


def case(name, value, key="", prefix="", ema=False, other="", left=(), error="", options=None, expect="plain", **save):
    file = name + ".pth"
    if not (out / file).exists():
        torch.save(value, out / file, **save)
    cases.append({"file": file, "options": options or {}, "error": error, "expect": expect,
                  "taken": {"key": key, "prefix": prefix, "ema": ema, "other": other, "left_out": list(left)}})


# Formats.
case("zip", plain)
case("legacy", plain, _use_new_zipfile_serialization=False)
for p in (3, 4, 5):
    case(f"protocol{p}", plain, pickle_protocol=p)
    case(f"legacy_protocol{p}", {"model": plain}, key="model", pickle_protocol=p, _use_new_zipfile_serialization=False)
case("plain_dict", dict(plain))
case("parameters", {k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in plain.items()})
with_state = {k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in plain.items()}
for v in with_state.values():
    v.decay = True
case("parameters_with_state", with_state)
case("strided", {k: torch.stack([v, v], -1)[..., 1] for k, v in plain.items()})
flat = torch.cat([v.flatten().float() for v in plain.values()])
views, at = {}, 0
for k, v in plain.items():
    views[k] = flat[at:at + v.numel()].reshape(v.shape) if v.is_floating_point() else v
    at += v.numel()
case("views_of_one", views)
case("half", {k: v.half() if v.is_floating_point() else v for k, v in plain.items()})
case("bfloat16", {k: v.bfloat16() if v.is_floating_point() else v for k, v in plain.items()})
case("double", {k: v.double() if v.is_floating_point() else v for k, v in plain.items()})

# Containers.
for k in ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"):
    case("in_" + k, {"epoch": 3, k: plain}, key=k)
case("in_model_state_dict_nested", {"model": {"state_dict": plain}}, key="model.state_dict")
case("in_unknown", {"my_network": plain, "epoch": 1}, key="my_network")
case("best_accuracy", {"epoch": 3, "arch": "net", "state_dict": under("module.", plain), "best_acc1": torch.tensor(75.3),
                       "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict()}, key="state_dict", prefix="module.")
opt = torch.optim.Adam(net.parameters())
for p in net.parameters():
    p.grad = torch.ones_like(p)
opt_net = copy.deepcopy(opt.state_dict())
args = argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("/data"), device=torch.device("cpu"), dtype=torch.float32)
timm = {"epoch": 9, "arch": "net", "state_dict": plain, "optimizer": opt_net, "version": 2, "args": args, "metric": numpy.float64(77.5), "state_dict_ema": ema}
case("timm", timm, key="state_dict", other="state_dict_ema")
case("timm", timm, key="state_dict_ema", ema=True, options={"EMA": True}, expect="ema")
case("timm", timm, key="state_dict_ema", ema=True, options={"Key": "state_dict_ema"}, expect="ema")
case("timm", timm, options={"Key": "optimizer"}, error="no weights under")
swa = under("module.", ema)
swa["n_averaged"] = torch.tensor(5)
reference = {"model": plain, "optimizer": opt_net, "lr_scheduler": {"last_epoch": 3}, "epoch": 3, "args": args, "model_ema": swa}
case("torchvision_reference", reference, key="model", other="model_ema")
case("torchvision_reference", reference, key="model_ema", prefix="module.", ema=True, options={"EMA": True}, expect="ema")
for k in ("ema", "model_ema", "state_dict_ema", "ema_state_dict"):
    case("only_" + k, {k: ema}, key=k, ema=True, expect="ema")
case("ema_module", {"ema": {"module": ema, "decay": 0.999}, "state_dict": plain}, key="state_dict", other="ema.module")
case("ema_module", None, key="ema.module", ema=True, options={"EMA": True}, expect="ema")
case("no_ema", {"state_dict": plain}, options={"EMA": True}, error="no averaged")
case("two", {"model": plain, "state_dict": ema}, error='"state_dict" and "model"')
case("two", None, key="state_dict", options={"Key": "state_dict"}, expect="ema")
case("two_unknown", {"generator": plain, "discriminator": ema}, error='"generator" and "discriminator"')
case("same_twice", {"model": plain, "state_dict": plain}, key="state_dict")

# Wrappers.
case("dataparallel", nn.DataParallel(net).state_dict(), prefix="module.")
case("compiled", torch.compile(net).state_dict(), prefix="_orig_mod.")
case("compiled_dataparallel", under("module._orig_mod.", plain), prefix="_orig_mod.module.")
inner = collections.OrderedDict((k.replace("conv.", "conv._orig_mod."), v) for k, v in plain.items())
case("compiled_inside", inner, prefix="_orig_mod.")
case("fsdp", under("_fsdp_wrapped_module.", plain), prefix="_fsdp_wrapped_module.")
lightning_state = under("model.", plain)
lightning_state["criterion.weight"] = torch.ones(2)
lightning = {"epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.5.0", "state_dict": lightning_state,
             "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
             "optimizer_states": [opt_net], "lr_schedulers": [], "hparams_name": "kwargs", "hyper_parameters": easydict.EasyDict(lr=0.1)}
case("lightning", lightning, key="state_dict", prefix="model.", left=["criterion.weight"])
both = under("model._orig_mod.", plain)
both.update(under("ema_model.module.", ema))
case("lightning_ema", {"state_dict": both}, key="state_dict", prefix="_orig_mod.model.", other="ema_model.")
case("lightning_ema", None, key="state_dict", prefix="_orig_mod.ema_model.module.", ema=True, options={"EMA": True}, expect="ema")
case("state_dict_and_module", {"state_dict": under("module.model.", plain)}, key="state_dict", prefix="module.model.")

# Whole modules.
case("whole_module", net)
case("whole_module_legacy", net, _use_new_zipfile_serialization=False)
case("whole_dataparallel", nn.DataParallel(net), prefix="module.")
case("yolo", {"model": net, "ema": averaged, "updates": 10, "date": datetime.datetime(2024, 5, 6)}, key="model", other="ema")
case("yolo", None, key="ema", ema=True, options={"EMA": True}, expect="ema")
torch.jit.save(torch.jit.script(net), out / "torchscript.pth")
case("torchscript", None)


# Objects that do not matter.
class Colour(enum.Enum):
    RED = 1


class Config(dict):
    pass


class Ordered(collections.OrderedDict):
    def __init__(self, *a, **kw):
        super().__init__(*a, **kw)
        self.note = "of a subclass"


class Slots:
    __slots__ = ("a",)

    def __init__(self):
        self.a = collections.deque([1, 2])


class Reduced:
    def __reduce__(self):
        return (getattr, (collections.deque, "append"))


Point = collections.namedtuple("Point", "x y")
cfg = yacs.config.CfgNode({"MODEL": {"NAME": "net", "SIZES": [1, 2]}})
oddities = {
    "deque": collections.deque([1, 2], maxlen=5), "set": {1, 2, 3}, "frozenset": frozenset({"a"}), "defaultdict": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("abca"), "ordered": Ordered(a=1), "config": Config(a=Config(b=1)), "namespace": args, "simple": types.SimpleNamespace(a=1),
    "yacs": cfg, "omegaconf": omegaconf.OmegaConf.create({"a": {"b": [1, "x", None]}}), "easydict": easydict.EasyDict(a=1),
    "scalar": numpy.float32(1.5), "array": numpy.arange(4), "numpy_rng": numpy.random.RandomState(1).get_state(), "generator": numpy.random.default_rng(1),
    "date": datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.timezone.utc), "delta": datetime.timedelta(seconds=3), "partial": functools.partial(max, 1, key=abs),
    "function": functools.reduce, "class": collections.OrderedDict, "enum": Colour.RED, "tuple": Point(1, 2), "slots": Slots(), "reduced": Reduced(),
    "path": pathlib.PurePosixPath("/a/b"), "decimal": decimal.Decimal("1.5"), "fraction": fractions.Fraction(1, 3), "uuid": uuid.UUID(int=5),
    "complex": 1 + 2j, "range": range(5), "slice": slice(1, 2), "ellipsis": ..., "bytes": b"\x00\xff", "bytearray": bytearray(b"abc"),
    "long": 1 << 2000, "negative": -(1 << 70), "float": float("inf"), "random": random.Random(1).getstate(), "rng": torch.get_rng_state(),
    "size": torch.Size([1, 2]), "device": torch.device("cpu"), "dtype": torch.float16, "sparse": torch.eye(2).to_sparse(), "module": nn.ReLU(),
    "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "complex_tensor": torch.ones(2, dtype=torch.complex64),
}
for p in (2, 3, 4, 5):
    case(f"oddities_protocol{p}", {"objects": oddities, "state_dict": plain}, key="state_dict", pickle_protocol=p)
case("oddities_legacy", {"objects": {k: v for k, v in oddities.items() if k not in ("sparse", "quantized", "complex_tensor")}, "state_dict": plain}, key="state_dict", _use_new_zipfile_serialization=False)
case("in_subclass", Ordered(plain))
case("in_dict_subclass", Config(state_dict=Config(plain)), key="state_dict")
case("in_defaultdict", collections.defaultdict(dict, {"model": plain}), key="model")
looped = {"epoch": 1, "model": plain}
looped["self"] = looped["net"] = looped
case("holds_itself", looped, key="model")

# What has no weights, or is no file of torch.save.
case("list", [1, 2, 3], error="no tensors")
case("no_weights", {"epoch": 3, "lr": 0.1}, error='it has "epoch", "lr"')
case("optimizer_only", {"optimizer": opt_net}, error="no tensors")
(out / "pickle.pth").write_bytes(pickle.dumps({"a": numpy.arange(3)}))
case("pickle", None, error="plain pickle")
shared = Config()
shared["x"] = shared
case("empty_loop", {"state_dict": shared}, error="no tensors")


def safe(name, tensors, options=None, error="", expect="plain", **taken):
    file = name + ".safetensors"
    if tensors is not None:
        safetensors.torch.save_file({k: v.clone() for k, v in tensors.items()}, out / file)
    blank = {"key": "", "prefix": "", "ema": False, "other": "", "left_out": []}
    cases.append({"file": file, "options": options or {}, "error": error, "expect": expect, "taken": blank | taken})


safe("plain", plain)
safe("dataparallel", under("module.", plain), prefix="module.")
safe("lightning", lightning_state, prefix="model.", left_out=["criterion.weight"])
safe("compiled", under("_orig_mod.", plain), prefix="_orig_mod.")
safe("with_ema", under("model.", plain) | under("ema.", ema), prefix="model.", other="ema.")
safe("with_ema", None, options={"EMA": True}, prefix="ema.", ema=True, expect="ema")
safe("state_dict", under("state_dict.", plain), prefix="state_dict.")
safe("plain", None, options={"EMA": True}, error="no averaged")
safe("plain", None, options={"Key": "model"}, error="no dictionaries")
safe("clash", under("_orig_mod.", plain) | dict(plain), error="two tensors")

values = {which: {k: {"shape": list(v.shape), "values": v.double().flatten().tolist()} for k, v in state.items()} for which, state in (("plain", plain), ("ema", ema))}
(out / "cases.json").write_text(json.dumps({"values": values, "cases": cases}, indent=1) + "\n")
print(len(cases), "cases,", sum(os.path.getsize(out / f) for f in os.listdir(out)), "bytes,", sys.version.split()[0], torch.__version__)
