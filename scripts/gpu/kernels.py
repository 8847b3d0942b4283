#!/usr/bin/env python3
"""What CUDA's compiler makes of the engine's kernels, with no card: registers, spills, shared memory, 16-byte loads and
how many loads a thread has in flight, read from the machine code. Prints a Markdown table.

Needs libnvrtc (NVIDIA's wheel of it, or PyTorch's CUDA build) and nvdisasm (NVIDIA's wheel of it, or CUDA's toolkit).
  kernels.py [--nvrtc libnvrtc.so.13] [--nvdisasm nvdisasm] [--arch 75,80,90] [--match bf16]"""
import argparse, ctypes, os, re, subprocess, sys, tempfile

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../train/torch/shim")


def source():
    """The text that the shim hands to NVRTC (build.sh)."""
    header = open(f"{SHIM}/kernels.h").read().replace("#pragma once\n", "")
    return header + open(f"{SHIM}/kernels.cu").read()


def compile_kernels(nvrtc, text, arch):
    """The cubin, and what ptxas says of each kernel."""
    program, n = ctypes.c_void_p(), ctypes.c_size_t()

    def check(code, what):
        if code:
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(n))
            log = ctypes.create_string_buffer(max(n.value, 1))
            nvrtc.nvrtcGetProgramLog(program, log)
            sys.exit(f"kernels.py: {what} for sm_{arch}: error {code}\n{log.value.decode()}")

    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None), "nvrtcCreateProgram")
    options = [f"--gpu-architecture=sm_{arch}".encode(), b"--std=c++17", b"--ptxas-options=-v"]
    check(nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)), "nvrtcCompileProgram")
    check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(n)), "log")
    log = ctypes.create_string_buffer(n.value)
    check(nvrtc.nvrtcGetProgramLog(program, log), "log")
    check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(n)), "cubin")
    cubin = ctypes.create_string_buffer(n.value)
    check(nvrtc.nvrtcGetCUBIN(program, cubin), "cubin")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw, log.value.decode()


def ptxas(log):
    """By kernel: registers, bytes spilt, bytes of shared memory."""
    out, name, spilt = {}, None, 0
    for line in log.splitlines():
        if m := re.search(r"Compiling entry function '(\w+)'", line):
            name = m[1]
        elif m := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilt = int(m[1]) + int(m[2])
        elif (m := re.search(r"Used (\d+) registers", line)) and name:
            smem = re.search(r"(\d+) bytes smem", line)
            out[name] = {"registers": int(m[1]), "spilt": spilt, "shared": int(smem[1]) if smem else 0}
            spilt = 0
    return out


def instructions(text):
    """By kernel: its instructions as (address, text), and where labels lie."""
    out, now, labels = {}, None, {}
    for line in text.splitlines():
        if m := re.match(r"\s*\.text\.(\w+):", line):
            now, labels = [], {}
            out[m[1]] = (now, labels)
        elif now is None:
            continue
        elif m := re.match(r"\s*(\.L\w*):", line):
            labels[m[1]] = len(now)
        elif m := re.match(r"\s*/\*([0-9a-f]+)\*/\s+(.*?)\s*;", line):
            now.append((int(m[1], 16), m[2]))
    return out


def registers(text):
    """The general registers an instruction names, those of vectors and pairs included."""
    out = set()
    for m in re.finditer(r"\bR(\d+)(\.64)?", text):
        out |= {int(m[1]), int(m[1]) + 1} if m[2] else {int(m[1])}
    return out


def in_flight(body):
    """The most loads from memory under way at once: issued, and no register of theirs read yet."""
    waiting, most = [], 0
    for _, text in body:
        m = re.match(r"(?:@!?U?P\w+ )?LDG?\.(\S+) R(\d+), (.*)", text)
        uses = registers(m[3] if m else text)
        waiting = [w for w in waiting if not w & uses]
        if m:
            wide = 4 if ".128" in "." + m[1] else 2 if ".64" in "." + m[1] else 1
            waiting.append(set(range(int(m[2]), int(m[2]) + wide)))
            most = max(most, len(waiting))
    return most


def loads(code, labels):
    """The most loads in flight in any loop (without loops, in the whole), and whether there are 16-byte ones."""
    bodies = []
    for i, (address, text) in enumerate(code):
        if m := re.search(r"\bBRA\b.*?`?\(?(\.L\w+|0x[0-9a-f]+)", text):
            to = labels.get(m[1]) if m[1].startswith(".L") else next((k for k, c in enumerate(code) if c[0] == int(m[1], 16)), None)
            if to is not None and to < i:
                bodies.append(code[to:i + 1])
    return max((in_flight(b) for b in bodies), default=in_flight(code)) or in_flight(code), any(re.search(r"\bLDG?\.\S*128", t) for _, t in code)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--nvrtc", default="libnvrtc.so.13")
    a.add_argument("--nvdisasm", default="nvdisasm")
    a.add_argument("--arch", default="75,80,90")
    a.add_argument("--match", default="bf16_wide|f16_wide|update|decide|finish|normalise|lower", help="kernels, a regular expression")
    a = a.parse_args()
    builtins = os.path.join(os.path.dirname(a.nvrtc), "libnvrtc-builtins.so.13.0")
    if os.path.exists(builtins):  # where NVRTC does not look by itself
        ctypes.CDLL(builtins, ctypes.RTLD_GLOBAL)
    nvrtc, found, archs = ctypes.CDLL(a.nvrtc), {}, a.arch.split(",")
    for arch in archs:
        cubin, log = compile_kernels(nvrtc, source(), arch)
        figures = ptxas(log)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as f:
            f.write(cubin)
            f.flush()
            code = instructions(subprocess.run([a.nvdisasm, "-c", f.name], check=True, capture_output=True, text=True).stdout)
        if set(code) != set(figures):
            sys.exit(f"kernels.py: sm_{arch}: ptxas speaks of {sorted(set(figures) ^ set(code))} alone, or the machine code does")
        for name in code:
            figures[name]["loads"], figures[name]["wide"] = loads(*code[name])
            found.setdefault(name, {})[arch] = figures[name]
    print("| kernel | " + " | ".join(f"sm_{x}: registers, spilt bytes, loads in flight" for x in archs) + " | shared, bytes | 16-byte loads |")
    print("|---" * (len(archs) + 3) + "|")
    spilt = [n for n in found if any(f["spilt"] for f in found[n].values())]
    for name in sorted(found):
        if re.search(a.match, name):
            each = [found[name][x] for x in archs]
            print(f"| {name} | " + " | ".join(f"{f['registers']}, {f['spilt']}, {f['loads']}" for f in each) + f" | {each[-1]['shared']} | {'yes' if each[-1]['wide'] else 'no'} |")
    print(f"\n{len(found)} kernels; {'none spills' if not spilt else 'spilling: ' + ', '.join(spilt)}.")


main()
