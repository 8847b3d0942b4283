#!/usr/bin/env python3
"""The training step of `synshard bench train` in PyTorch: Inception-v3 with its auxiliary head, uint8 batches
normalised on the device, label smoothing, clipped RMSProp as TensorFlow's, averaged weights. Needs torch; the network
is torchvision's where that is installed, else the same written below. Prints one JSON line."""
import argparse, collections, json, resource, time
import torch
import torch.nn as nn
import torch.nn.functional as F

Outputs = collections.namedtuple("Outputs", "logits aux_logits")


def conv(i, o, kernel, stride=1, padding=0):
    return nn.Sequential(nn.Conv2d(i, o, kernel, stride, padding, bias=False), nn.BatchNorm2d(o, eps=0.001), nn.ReLU(inplace=True))


class Branches(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([b(x) for b in self.branches], 1)


def mean3():
    return nn.AvgPool2d(3, 1, 1)


def block_a(i, pooled):
    return Branches(conv(i, 64, 1), nn.Sequential(conv(i, 48, 1), conv(48, 64, 5, padding=2)),
                    nn.Sequential(conv(i, 64, 1), conv(64, 96, 3, padding=1), conv(96, 96, 3, padding=1)),
                    nn.Sequential(mean3(), conv(i, pooled, 1)))


def block_b(i):
    return Branches(conv(i, 384, 3, 2), nn.Sequential(conv(i, 64, 1), conv(64, 96, 3, padding=1), conv(96, 96, 3, 2)), nn.MaxPool2d(3, 2))


def block_c(c):
    row, column = dict(kernel=(1, 7), padding=(0, 3)), dict(kernel=(7, 1), padding=(3, 0))
    return Branches(conv(768, 192, 1), nn.Sequential(conv(768, c, 1), conv(c, c, **row), conv(c, 192, **column)),
                    nn.Sequential(conv(768, c, 1), conv(c, c, **column), conv(c, c, **row), conv(c, c, **column), conv(c, 192, **row)),
                    nn.Sequential(mean3(), conv(768, 192, 1)))


def block_d():
    return Branches(nn.Sequential(conv(768, 192, 1), conv(192, 320, 3, 2)),
                    nn.Sequential(conv(768, 192, 1), conv(192, 192, (1, 7), padding=(0, 3)), conv(192, 192, (7, 1), padding=(3, 0)), conv(192, 192, 3, 2)),
                    nn.MaxPool2d(3, 2))


def block_e(i):
    def both():
        return Branches(conv(384, 384, (1, 3), padding=(0, 1)), conv(384, 384, (3, 1), padding=(1, 0)))
    return Branches(conv(i, 320, 1), nn.Sequential(conv(i, 384, 1), both()),
                    nn.Sequential(conv(i, 448, 1), conv(448, 384, 3, padding=1), both()), nn.Sequential(mean3(), conv(i, 192, 1)))


class InceptionV3(nn.Module):
    """Szegedy et al. 2015 (arXiv:1512.00567), as torchvision has it: 27,161,264 parameters."""

    def __init__(self, classes=1000):
        super().__init__()
        self.head = nn.Sequential(
            conv(3, 32, 3, 2), conv(32, 32, 3), conv(32, 64, 3, padding=1), nn.MaxPool2d(3, 2), conv(64, 80, 1), conv(80, 192, 3), nn.MaxPool2d(3, 2),
            block_a(192, 32), block_a(256, 64), block_a(288, 64), block_b(288), block_c(128), block_c(160), block_c(160), block_c(192))
        self.aux = nn.Sequential(nn.AvgPool2d(5, 3), conv(768, 128, 1), conv(128, 768, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(768, classes))
        self.tail = nn.Sequential(block_d(), block_e(1280), block_e(2048), nn.AdaptiveAvgPool2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(2048, classes))

    def forward(self, x):
        x = self.head(x)
        return Outputs(self.tail(x), self.aux(x))


def network():
    try:
        import torchvision
    except ImportError:
        net = InceptionV3()
        assert sum(p.numel() for p in net.parameters()) == 27161264
        return net, "as written here"
    return torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False), "torchvision's"


class RMSPropTF:
    """ms = rho ms + (1-rho) g^2; mom = m mom + lr g / sqrt(ms + eps); p -= mom; in multi-tensor operations."""

    def __init__(self, params, decayed, lr=0.045, rho=0.9, momentum=0.9, eps=1.0, weight_decay=4e-5, clip=2.0):
        self.p, self.decayed = list(params), list(decayed)
        self.ms = [torch.ones_like(p) for p in self.p]
        self.mom = [torch.zeros_like(p) for p in self.p]
        self.lr, self.rho, self.m, self.eps, self.wd, self.clip = lr, rho, momentum, eps, weight_decay, clip

    @torch.no_grad()
    def step(self):
        g = [p.grad for p in self.p]
        torch.nn.utils.clip_grad_norm_(self.p, self.clip, foreach=True)
        torch._foreach_add_([p.grad for p in self.decayed], self.decayed, alpha=self.wd)
        torch._foreach_mul_(self.ms, self.rho)
        torch._foreach_addcmul_(self.ms, g, g, 1 - self.rho)
        root = torch._foreach_add(self.ms, self.eps)
        torch._foreach_sqrt_(root)
        torch._foreach_mul_(self.mom, self.m)
        torch._foreach_addcdiv_(self.mom, g, root, self.lr)
        torch._foreach_sub_(self.p, self.mom)


def processor_time():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


class Step:
    """Batches, network and optimiser, and a call that makes one whole step of them."""

    def __init__(self, a, compiled):
        self.cuda = a.device.startswith("cuda")
        self.who, self.a = "torch.compile" if compiled else "eager", a
        torch.manual_seed(1)
        net, self.whose = network()
        net = net.to(a.device, memory_format=torch.channels_last).train()
        self.opt = RMSPropTF(net.parameters(), [m.weight for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))])
        self.weights = list(net.parameters()) + [b for b in net.buffers() if b.is_floating_point()]
        self.ema = [w.detach().clone() for w in self.weights]
        self.mean = torch.full((1, 3, 1, 1), 127.5, device=a.device)
        self.images = torch.randint(0, 256, (a.batch, 299, 299, 3), dtype=torch.uint8)
        self.labels = torch.arange(a.batch) * 37 % 1000
        if self.cuda:
            self.images, self.labels = self.images.pin_memory(), self.labels.pin_memory()
        self.forward = torch.compile(net) if compiled else net

    def __call__(self):
        a = self.a
        x = self.images.to(a.device, non_blocking=True).permute(0, 3, 1, 2)
        y = self.labels.to(a.device, non_blocking=True)
        x = ((x.float() - self.mean) / self.mean).contiguous(memory_format=torch.channels_last)
        with torch.autocast(a.device.split(":")[0], dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            out = self.forward(x)
        loss = F.cross_entropy(out.logits.float(), y, label_smoothing=0.1) + 0.4 * F.cross_entropy(out.aux_logits.float(), y, label_smoothing=0.1)
        for p in self.opt.p:
            p.grad = None
        loss.backward()
        self.opt.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, self.weights, 1 - 0.999)
        return loss

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()


def measure(step, warmup):
    a = step.a
    for _ in range(warmup):
        loss = step()
    step.wait()
    if step.cuda:  # what trying algorithms took is not needed again
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    times = []
    begin, cpu = time.perf_counter(), processor_time()
    for _ in range(a.steps):
        t = time.perf_counter()
        loss = step()
        if not step.cuda:
            times.append(time.perf_counter() - t)
    step.wait()
    took, cpu = time.perf_counter() - begin, processor_time() - cpu
    best = min(times) if times else took / a.steps
    return {"who": step.who, "torch": torch.__version__, "device": a.device, "network": step.whose, "precision": a.precision,
            "batch": a.batch, "threads": torch.get_num_threads(), "images_per_second": a.batch * a.steps / took,
            "images_per_second_best": a.batch / best, "images_per_cpu_second": a.batch * a.steps / cpu, "loss": float(loss.detach()),
            "peak_bytes": torch.cuda.max_memory_reserved() if step.cuda else 0}


def profile(step, top):
    """The kernels that three steps spend most in: milliseconds and calls a step."""
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CUDA if step.cuda else ProfilerActivity.CPU]) as p:
        for _ in range(3):
            step()
        step.wait()
    found = [(getattr(e, "self_device_time_total", 0) if step.cuda else e.self_cpu_time_total, e.count, e.key) for e in p.key_averages()]
    found = sorted((f for f in found if f[0]), reverse=True)
    return {"who": step.who, "profiled_ms": round(sum(f[0] for f in found) / 3e3, 3),
            "kernels": [{"ms": round(t / 3e3, 4), "calls": n / 3, "name": name[:120]} for t, n, name in found[:top]]}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="bf16")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--steps", type=int, default=10)
    a.add_argument("--warmup", type=int, default=2)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--compile", action="store_true", help="torch.compile instead of eager")
    a.add_argument("--both", action="store_true", help="eager, then torch.compile, in one process; a line each when it is known")
    a.add_argument("--profile", type=int, default=0, metavar="N", help="and the N kernels that most time goes to")
    a = a.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    for compiled in [False, True] if a.both else [a.compile]:
        step = Step(a, compiled)
        print(json.dumps(measure(step, max(a.warmup, 5) if a.both and compiled else a.warmup)), flush=True)
        if a.profile:
            print(json.dumps(profile(step, a.profile)), flush=True)
        del step


if __name__ == "__main__":
    main()
