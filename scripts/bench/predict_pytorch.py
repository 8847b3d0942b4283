#!/usr/bin/env python3
"""Prediction as `synshard bench infer --engine torch` measures it, in PyTorch: Inception-v3 in evaluation, uint8 batches
in pinned memory, brought up on a stream of their own while the batch before is computed, normalised on the device;
probabilities and embedding come back. Needs torch. Prints one JSON line a way, when it is known."""
import argparse, json, time
import torch
import torch.nn as nn
from train_pytorch import InceptionV3


class Predictor(nn.Module):
    """Bytes [n, 299, 299, 3] to probabilities and embedding, float32."""

    def __init__(self, dtype):
        super().__init__()
        net = InceptionV3()
        self.dtype, self.features, self.head = dtype, nn.Sequential(net.head, *net.tail[:4]), net.tail[4:]

    def forward(self, images):
        x = ((images.permute(0, 3, 1, 2).float() - 127.5) / 127.5).to(self.dtype).contiguous(memory_format=torch.channels_last)
        v = self.features(x).flatten(1)
        return self.head(v).float().softmax(1), v.float()


class Run:
    """Two batches under way: one goes up, and the results of one come back, while one is computed."""

    def __init__(self, a, compiled):
        self.a, self.cuda = a, a.device.startswith("cuda")
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[a.precision]
        net = Predictor(dtype).to(a.device, dtype, memory_format=torch.channels_last).eval()
        self.net = torch.compile(net) if compiled else net
        self.images = torch.randint(0, 256, (a.batch, 299, 299, 3), dtype=torch.uint8)
        if self.cuda:
            self.images, self.copies, self.results = self.images.pin_memory(), torch.cuda.Stream(), None

    def __call__(self, n):
        if not self.cuda:
            for _ in range(n):
                self.net(self.images)
            return
        main, back = torch.cuda.current_stream(), []
        for _ in range(n):
            with torch.cuda.stream(self.copies):
                x = self.images.to(self.a.device, non_blocking=True)
            x.record_stream(main)
            main.wait_stream(self.copies)
            out = self.net(x)
            if self.results is None:
                self.results = [[torch.empty_like(o, device="cpu").pin_memory() for o in out] for _ in range(2)]
            place = self.results[len(back) % 2]
            if len(back) > 1:
                back[-2].synchronize()
            for to, o in zip(place, out):
                to.copy_(o, non_blocking=True)
            back.append(torch.cuda.Event())
            back[-1].record()
        torch.cuda.synchronize()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="bf16")
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--batches", type=int, default=50)
    p.add_argument("--warmup", type=int, default=5)
    p.add_argument("--only-eager", action="store_true")
    a = p.parse_args()
    torch.backends.cudnn.benchmark = True
    with torch.inference_mode():
        for compiled in [False] if a.only_eager else [False, True]:
            run = Run(a, compiled)
            run(a.warmup)
            began = time.perf_counter()
            run(a.batches)
            took = time.perf_counter() - began
            print(json.dumps({"who": "torch.compile" if compiled else "eager", "torch": torch.__version__, "device": a.device,
                              "precision": a.precision, "batch": a.batch, "images_per_second": a.batch * a.batches / took}), flush=True)


if __name__ == "__main__":
    main()
