#!/usr/bin/env python3
"""Style as a test: file and function lengths, formatting, stray words. tidy_allow.txt holds what is still over; it may only shrink."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION = 500, 70
FUNCTION_END = re.compile(r"^}\s*(//.*)?$")
FUNCTION_START = re.compile(r"^[A-Za-z_].*[)\w]\s*(const|noexcept|override|->.*)?\s*\{\s*$")


def files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [f for f in out.stdout.split() if f.endswith((".cc", ".h")) and (ROOT / f).exists()]


def long_functions(path, lines):
    """Top-level functions only: a definition starts in column 0 and ends with a brace there."""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and FUNCTION_START.match(line) and not line.startswith(("namespace", "class", "struct", "enum", "union", "extern")):
            start = (number, line)
        elif start is not None and FUNCTION_END.match(line):
            if number - start[0] + 1 > MAX_FUNCTION:
                name = re.search(r"([\w:~]+)\s*\(", start[1])
                yield f"{path}:{name.group(1) if name else start[0]}", number - start[0] + 1
            start = None


def main():
    allow = {}
    for line in (ROOT / "tools/tidy_allow.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            key, limit = line.rsplit(" ", 1)
            allow[key] = int(limit)
    errors = []
    for path in files():
        lines = (ROOT / path).read_text().splitlines()
        if len(lines) > allow.get(path, MAX_FILE):
            errors.append(f"{path}: {len(lines)} lines, over {MAX_FILE}: split it by what it does")
        for key, length in long_functions(path, lines):
            if length > allow.get(key, MAX_FUNCTION):
                errors.append(f"{key}: {length} lines, over {MAX_FUNCTION}: split it")
    formatted = subprocess.run(["clang-format-19", "--dry-run", "-Werror", *files()], cwd=ROOT, capture_output=True, text=True)
    if formatted.returncode:
        bad = sorted(set(re.findall(r"^([^:\s]+):\d+:\d+: error", formatted.stderr, re.M)))
        errors += [f"{b}: not formatted; run make format" for b in bad]
    print("\n".join(errors), file=sys.stderr) if errors else print("tidy: clean")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
