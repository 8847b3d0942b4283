#!/usr/bin/env python3
"""How much of a gradient hangs on rounding: where train/torch's oneTurn and allTurned come from.

The loss of a network is continuous in its weights, but gradients turn where a ReLU's input is 0 and where the two greatest
values that a max pool looks at are the same. Of the network, weights and images that model_torchvision.py makes, in float64:
every such place within 1e-4 of a turn is turned by itself, pools' windows of one channel that lie equally far from it (the
images repeat themselves) together. Printed of each: how far it is from turning, where it is, the parameter whose gradient changes
most as a share of its norm, by how much, and what all gradients together change by, and their norm, as a share of theirs. The
last lines are the greatest of each, and how far float32 is from float64 in the ReLUs' inputs, in both orders of memory.

Needs torch and torchvision; some minutes on one core. Nothing is written."""
import collections

import torch
import torchvision

import model_torchvision as golden

NEAR = 1e-4
turned, inputs, windows = {}, {}, {}


class ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, at):
        through = z > 0
        if at is not None:
            through = through.clone()
            through[at] = ~through[at]
        ctx.save_for_backward(through)
        return z.clamp_min(0)  # the loss is continuous in z: only the gradient turns

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None


class MaxPool(torch.autograd.Function):
    """3x3 with steps of 2; of the windows at, the second greatest value is taken for the greatest in the backward pass."""

    @staticmethod
    def forward(ctx, x, at):
        best = x.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4).topk(2, 4)
        gap = best.values[..., 0] - best.values[..., 1]
        windows[tuple(x.shape)] = torch.where(best.values[..., 0] > 0, gap, 1)
        place = best.indices[..., 0].clone()
        if at is not None:
            place[at] = best.indices[..., 1][at]
        rows, columns = (2 * torch.arange(n) for n in place.shape[2:])
        ctx.shape = x.shape
        ctx.save_for_backward((rows[:, None] + place // 3) * x.shape[3] + columns + place % 3)
        return best.values[..., 0]

    @staticmethod
    def backward(ctx, g):
        whole = g.new_zeros(ctx.shape).flatten(2)
        return whole.scatter_add_(2, ctx.saved_tensors[0].flatten(2), g.flatten(2)).view(ctx.shape), None


def convolution(self, x):
    z = self.bn(self.conv(x))
    inputs[self.name] = z.detach()
    return ReLU.apply(z, turned.get(self.name))


def pool(x, *_args, **_options):
    return MaxPool.apply(x, turned.get(tuple(x.shape)))


def network(dtype):
    m = golden.fill(golden.narrow()).train().to(dtype)
    for name, part in m.named_modules():
        if isinstance(part, torchvision.models.inception.BasicConv2d):
            part.name = name
    return m


def gradients(m, x):
    m.zero_grad()
    golden.loss_of(m, x, torch.arange(golden.BATCH) * 2 % golden.CLASSES)[0].backward()
    return {name: p.grad.clone() for name, p in m.named_parameters()}


def together(g):
    return sum(v.square().sum() for v in g.values()).sqrt().item()


def places():
    """What is near a turn: how far, a name, where it is and an index of all its places."""
    for name, z in inputs.items():
        for at in (z.abs() < NEAR).nonzero().tolist():
            yield z[tuple(at)].abs().item(), name, tuple(at)
    for shape, gap in windows.items():
        alike = collections.defaultdict(list)
        for at in (gap < NEAR).nonzero().tolist():
            alike[at[1], round(gap[tuple(at)].item(), 7)].append(at)
        for (channel, size), group in sorted(alike.items()):
            yield size, shape, tuple(torch.tensor(group).T)


def main():
    torch.set_num_threads(1)
    torchvision.models.inception.BasicConv2d.forward = convolution
    torch.nn.functional.max_pool2d = pool
    m, x = network(torch.float64), golden.images().double()
    right = gradients(m, x)
    exact = dict(inputs)
    near = sorted(places(), key=lambda p: p[0])
    print(f"{sum(isinstance(where, str) for _, where, _ in near)} of {sum(z.numel() for z in exact.values())} ReLUs and "
          f"{sum(len(at[0]) for _, where, at in near if not isinstance(where, str))} of {sum(g.numel() for g in windows.values())} windows, in "
          f"{sum(not isinstance(where, str) for _, where, _ in near)} groups, are within {NEAR:g} of a turn")
    worst, worst_norm, worst_all = 0, 0, 0
    for size, name, at in near:
        turned[name] = at
        got = gradients(m, x)
        turned.clear()
        share, where = max(((got[p] - g).norm().item() / g.norm().item(), p) for p, g in right.items())
        norm = abs(together(got) / together(right) - 1)
        apart = together({p: got[p] - g for p, g in right.items()}) / together(right)
        what = f"{name} {at}" if isinstance(name, str) else f"pool of {name}, channel {at[1][0]}, {len(at[0])} windows"
        print(f"{size:.1e} {what}: {where} by {share:.2g}, all together by {apart:.2g}, their norm by {norm:.1g}", flush=True)
        worst, worst_norm, worst_all = max(worst, share), max(worst_norm, norm), max(worst_all, apart)
    print(f"at most: one by {worst:.2g}, all together by {worst_all:.2g}, their norm by {worst_norm:.2g}")
    for layout in torch.contiguous_format, torch.channels_last:
        gradients(network(torch.float32).to(memory_format=layout), golden.images().contiguous(memory_format=layout))
        print(f"{layout}: inputs are off by up to {max((inputs[n].double() - z).abs().max().item() for n, z in exact.items()):.1e}")


if __name__ == "__main__":
    main()
