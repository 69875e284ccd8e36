#!/usr/bin/env python3
"""Fails where a folder of src/ includes one that layers.txt puts below it, or a capability includes another."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
IO_HEADERS = re.compile(r'^\s*#\s*include\s+<boost/(?:asio|beast)(?:/([\w/]+))?\.hpp>', re.M)
# Of Asio, every layer may see the coroutine type; I/O templates belong to async/ and net/ (build time).
LIGHT = {"any_io_executor", "awaitable", "this_coro"}


def layers():
    names = [l.strip() for l in (ROOT / "layers.txt").read_text().splitlines()]
    return [n for n in names if n and not n.startswith("#")]


def layer_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "capabilities" else parts[0]


def rank(order, layer):
    name = "capabilities/*" if layer.startswith("capabilities/") else layer
    return order.index(name) if name in order else None


def main():
    order, errors = layers(), []
    for file in sorted((ROOT / "src").rglob("*")):
        if file.suffix not in (".h", ".cc"):
            continue
        here = file.relative_to(ROOT / "src").as_posix()
        mine, text = layer_of(here), file.read_text()
        if rank(order, mine) is None:
            errors.append(f"src/{here}: the folder {mine} is not in layers.txt")
            continue
        for include in INCLUDE.findall(text):
            theirs = layer_of(include)
            if not (ROOT / "src" / include).exists():
                continue
            if theirs != mine and theirs.startswith("capabilities/") and mine.startswith("capabilities/"):
                errors.append(f"src/{here}: a capability may not include another ({include}): meet through objects or platform/")
            elif rank(order, theirs) > rank(order, mine):
                errors.append(f"src/{here}: {mine} may not include {include}: layers.txt puts {theirs} above it")
        if mine not in ("async", "net"):
            for header in IO_HEADERS.findall(text):
                if header not in {f"asio/{h}" for h in LIGHT} and header.replace("asio/", "") not in LIGHT:
                    errors.append(f"src/{here}: <boost/…{header}.hpp> belongs to async/ and net/ alone")
    print("\n".join(errors), file=sys.stderr) if errors else print("layers: in order")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
