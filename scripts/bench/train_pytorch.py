#!/usr/bin/env python3
"""The training step of `synshard bench train` in PyTorch: torchvision's Inception-v3 with its auxiliary head,
uint8 batches normalised on the device, label smoothing, clipped RMSProp as TensorFlow's, averaged weights.
Needs torch and torchvision only. Prints one JSON line."""
import argparse, json, resource, time
import torch
import torch.nn.functional as F
import torchvision


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


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="bf16")
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--steps", type=int, default=10)
    a.add_argument("--warmup", type=int, default=2)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--compile", action="store_true", help="torch.compile instead of eager")
    a = a.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    cuda = a.device.startswith("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    net = torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False)
    net = net.to(a.device, memory_format=torch.channels_last).train()
    decayed = [m.weight for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    opt = RMSPropTF(net.parameters(), decayed)
    weights = list(net.parameters()) + [b for b in net.buffers() if b.is_floating_point()]
    ema = [w.detach().clone() for w in weights]
    mean = torch.full((1, 3, 1, 1), 127.5, device=a.device)
    images = torch.randint(0, 256, (a.batch, 299, 299, 3), dtype=torch.uint8)
    labels = torch.arange(a.batch) * 37 % 1000
    if cuda:
        images, labels = images.pin_memory(), labels.pin_memory()
    forward = torch.compile(net) if a.compile else net

    def step():
        x = images.to(a.device, non_blocking=True).permute(0, 3, 1, 2)
        y = labels.to(a.device, non_blocking=True)
        x = ((x.float() - mean) / mean).contiguous(memory_format=torch.channels_last)
        with torch.autocast(a.device.split(":")[0], dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            out = forward(x)
        loss = F.cross_entropy(out.logits.float(), y, label_smoothing=0.1) + 0.4 * F.cross_entropy(out.aux_logits.float(), y, label_smoothing=0.1)
        for p in opt.p:
            p.grad = None
        loss.backward()
        opt.step()
        with torch.no_grad():
            torch._foreach_lerp_(ema, weights, 1 - 0.999)
        return loss

    def wait():
        if cuda:
            torch.cuda.synchronize()

    for _ in range(a.warmup):
        loss = step()
    wait()
    times = []
    begin, cpu = time.perf_counter(), processor_time()
    for _ in range(a.steps):
        t = time.perf_counter()
        loss = step()
        if not cuda:
            times.append(time.perf_counter() - t)
    wait()
    took, cpu = time.perf_counter() - begin, processor_time() - cpu
    best = min(times) if times else took / a.steps
    print(json.dumps({"who": "torch.compile" if a.compile else "eager", "torch": torch.__version__, "device": a.device,
                      "precision": a.precision, "batch": a.batch, "threads": torch.get_num_threads(),
                      "images_per_s": a.batch * a.steps / took, "images_per_s_best": a.batch / best, "images_per_cpu_s": a.batch * a.steps / cpu, "loss": float(loss.detach()),
                      "peak_bytes": torch.cuda.max_memory_allocated() if cuda else 0}))


main()
