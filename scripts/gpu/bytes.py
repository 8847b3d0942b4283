#!/usr/bin/env python3
"""What the GPU's path through a training step should save, by bytes over bandwidth: Inception-v3 at 299, a batch in bf16,
counted from the network's shapes. A prediction, not a measurement. Needs torch, and no card.
  bytes.py [--batch 256] [--tb-s 3.0]"""
import argparse, os
import torch
import torch.nn as nn


def network():
    """train_pytorch.py's network, on no device."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bench/train_pytorch.py")
    space = {"__name__": "twin"}
    exec(compile(open(path).read().replace("\nmain()\n", "\n"), path, "exec"), space)
    return space["InceptionV3"]().to("meta").train(), space["Branches"]


def entry(branch):
    """The convolution that a branch begins with, behind its average pool or not."""
    if isinstance(branch, nn.Sequential):
        return branch[0] if isinstance(branch[0], nn.Conv2d) else branch[1][0] if isinstance(branch[0], nn.AvgPool2d) else entry(branch[0])


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--batch", type=int, default=256)
    a.add_argument("--tb-s", type=float, default=3.0, help="of memory")
    a = a.parse_args()
    net, branches = network()
    seen = []
    hook = lambda m, i, o: seen.append((m, i[0].shape[1:].numel(), o.shape[1:].numel(), i[0].shape, o.shape))
    for m in net.modules():
        if m is not net:
            m.register_forward_hook(hook)
    net(torch.empty(2, 3, 299, 299, device="meta"))  # two, which batch norm wants; counted by image
    ms = lambda bytes_an_image: 1e3 * a.batch * bytes_an_image / (a.tb_s * 1e12)
    of = lambda kind: [s for s in seen if isinstance(s[0], kind)]
    norm = sum(2 * x for _, x, *_ in of(nn.BatchNorm2d))
    print(f"batch norm: a pass {ms(norm):.2f} ms, its 8 passes {ms(8 * norm):.1f} ms at that bandwidth; at two thirds of it {ms(12 * norm):.1f} ms")

    # Forward x and y, backward dy and dx, two bytes each: for all channels of the input, or for the branch's own.
    before = after = 0
    for block in (m for m in net.modules() if isinstance(m, branches)):
        for branch in block.branches:
            if isinstance(branch, nn.Sequential) and isinstance(branch[0], nn.AvgPool2d):
                own = branch[1][0]
                _, x, y, shape, _ = next(s for s in seen if s[0] is branch[0])
                before += 4 * (x + y)
                after += 4 * (x + y) * own.out_channels // shape[1]
    print(f"average pools: {ms(before):.2f} ms before their 1x1 convolutions, {ms(after):.2f} ms after them")

    # The entry: the input once instead of for each convolution (forward, and for the weights), and its gradient once
    # instead of a product each and a sum (two reads and a write) for all but the first.
    saved = 0
    for block in (m for m in net.modules() if isinstance(m, branches)):
        convs = [c for c in map(entry, block.branches) if c and c.kernel_size == (1, 1)]
        if len(convs) > 1:
            x = next(s for s in seen if s[0] is block)[1]
            saved += (len(convs) - 1) * 2 * x * (2 + 1 + 3)
    print(f"entry convolutions as one: {ms(saved):.2f} ms saved")
    joined = sum(2 * 2 * y for _, _, y, *_ in of(branches))
    print(f"concatenations in place: {ms(joined):.2f} ms saved")
    pools = of(nn.MaxPool2d)
    libtorch = sum(2 * x + (2 + 8) * y + (2 + 8) * y + 2 * x for _, x, y, *_ in pools)
    ours = sum(2 * x + (2 + 1) * y + (2 + 1) * y + 2 * x for _, x, y, *_ in pools)
    print(f"max pools: places of 8 bytes {ms(libtorch):.2f} ms, of 1 byte {ms(ours):.2f} ms")
    pixels = 299 * 299
    plain = pixels * (3 + 12 + 12 + 12 + 12 + 12 + 12 + 6 + 6 + 16)  # to float, scaled, laid out, to bf16, padded by cuDNN
    print(f"input: {ms(plain):.2f} ms in steps, {ms(pixels * (3 + 16)):.2f} ms in one kernel")

    # Of each convolution and linear layer in half precision: read in float32 and written by a launch each, in every step,
    # and entries' once more, laid side by side; or written by the update beside the weight.
    of_weights = [s[0].weight for s in of((nn.Conv2d, nn.Linear))] + [s[0].bias for s in of(nn.Linear)]
    n = sum(w.numel() for w in of_weights)
    across = lambda bytes_: 1e3 * bytes_ / (a.tb_s * 1e12)
    print(f"weights to half precision: {len(of_weights)} launches and {across(6 * n):.2f} ms, none of their own and {across(2 * n):.2f} ms by the update")


main()
