#!/usr/bin/env python3
"""pack_console.py DIST OUT: makes OUT/assets.bin (the files of DIST, each gzipped) and OUT/assets_table.cc, which brings
it into the program. Without DIST/index.html the table is empty. What has not changed is not written."""
import gzip
import hashlib
import pathlib
import re
import sys

TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2",
    ".json": "application/json", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
}
# Vite's names: assets/index-Bx1c9_aZ.js
HASHED = re.compile(r"^assets/.+-[A-Za-z0-9_-]{8}\.[a-z0-9]+$")


def write(path, content):
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def main():
    dist, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    files = []
    if (dist / "index.html").exists():
        files = sorted(p for p in dist.rglob("*") if p.is_file() and p.suffix in TYPES)
    state = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for path in files:
        state.update(str(path.relative_to(dist)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    stamp = out / "stamp"
    if stamp.exists() and stamp.read_text() == state.hexdigest() and (out / "assets_table.cc").exists():
        return
    blob, rows = b"", []
    for path in files:
        name, raw = path.relative_to(dist).as_posix(), path.read_bytes()
        packed = gzip.compress(raw, 9, mtime=0)
        etag = hashlib.sha256(raw).hexdigest()[:24]
        rows.append(f'    {{"{name}", "{TYPES[path.suffix]}", "\\"{etag}\\"", {len(blob)}, {len(packed)}, {len(raw)}, '
                    f'{"true" if HASHED.match(name) else "false"}}},\n')
        blob += packed
    write(out / "assets.bin", blob)
    write(out / "assets_table.cc", f"""// Made by tools/pack_console.py.
#include <array>

#include "capabilities/console/assets.h"

__asm__(".section .rodata.mainstay_console,\\"a\\",@progbits\\n"
        ".hidden mainstay_console_blob\\n"
        ".globl mainstay_console_blob\\n"
        "mainstay_console_blob:\\n"
        ".incbin \\"{(out / 'assets.bin').absolute()}\\"\\n"
        ".byte 0\\n"
        ".previous\\n");
extern "C" __attribute__((visibility("hidden"))) const char mainstay_console_blob[];

namespace mainstay::console {{
namespace {{
struct Row {{
  const char *path, *type, *etag;
  unsigned long offset, packed, size;
  bool immutable;
}};
// {state.hexdigest()}
constexpr std::array<Row, {len(rows)}> kRows{{{{
{"".join(rows)}}}}};
}}  // namespace

std::span<const Asset> embedded_assets() {{
  static const auto assets = [] {{
    std::array<Asset, kRows.size()> all{{}};
    for (std::size_t i = 0; i < kRows.size(); ++i) {{
      const Row& row = kRows[i];
      all[i] = {{row.path, row.type, row.etag, {{mainstay_console_blob + row.offset, row.packed}}, row.size, row.immutable}};
    }}
    return all;
  }}();
  return assets;
}}
}}  // namespace mainstay::console
""".encode())
    stamp.write_text(state.hexdigest())


main()
