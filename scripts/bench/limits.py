#!/usr/bin/env python3
"""What a device can do, as PyTorch measures it: the rate of a large matrix product in each precision (on a CPU by the
better of the library of torch.mm and of convolutions, where it is a 1x1 convolution), and of a copy in memory. Needs
torch only. Prints one JSON line: TFLOP/s by precision, and GB/s read and written by the copy."""
import argparse, json, time
import torch


def best(device, f, seconds):
    def once():
        t = time.perf_counter()
        f()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - t
    once(), once()
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        times.append(once())
    return min(times)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a.add_argument("--precision", nargs="+", choices=["fp32", "tf32", "bf16"], default=["fp32", "bf16"])
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--seconds", type=float, default=2)
    a = a.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    n = 8192 if a.device.startswith("cuda") else 2048
    out = {"device": a.device, "threads": torch.get_num_threads(), "tflops": {}}
    for p in a.precision:
        torch.backends.cuda.matmul.allow_tf32 = p == "tf32"
        x, y = (torch.randn(n, n, device=a.device, dtype=torch.bfloat16 if p == "bf16" else torch.float32) for _ in range(2))
        took = best(a.device, lambda: torch.mm(x, y), a.seconds)
        if a.device == "cpu":
            image, kernel = x.view(1, n, 64, n // 64).to(memory_format=torch.channels_last), y.view(n, n, 1, 1)
            with torch.no_grad():
                took = min(took, best(a.device, lambda: torch.conv2d(image, kernel), a.seconds))
        out["tflops"][p] = 2 * n**3 / took / 1e12
    x = torch.ones(1 << 28 if a.device.startswith("cuda") else 1 << 26, device=a.device)
    y = torch.empty_like(x)
    out["copy_gb_s"] = 2 * x.numel() * 4 / best(a.device, lambda: y.copy_(x), a.seconds) / 1e9
    print(json.dumps(out))


main()
