#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds for the fuzz targets: the manifests and tests that there are, small ELF files, each system call once.
usage: seeds.py SOURCE CORPUS"""
import pathlib
import re
import struct
import sys

source, corpus = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def put(target, name, data):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def manifests():
    for path in source.glob("examples/**/*.manifest*"):
        yield path.name, path.read_bytes()
    # What the unit tests feed it: strings in C.
    for name in ("manifest_keys.c", "manifest_bad.c"):
        text = (source / "tests/unit" / name).read_text()
        for i, m in enumerate(re.finditer(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+', text)):
            s = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', m.group(0)))
            if "=" in s:
                yield f"{name}-{i}", s.encode().decode("unicode_escape").encode("latin-1", "replace")


def elf(kind, base, interpreter=b""):
    ph = [(1, 5, 0, base, 0x400, 0x400, 0x1000), (1, 6, 0x400, base + 0x2400, 0x200, 0x900, 0x1000),
          (0x6474e551, 6, 0, 0, 0, 0, 16)]
    if interpreter:
        ph.append((3, 4, 0x300, base + 0x300, len(interpreter), len(interpreter), 1))
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, base + 0x200, 64, 0, 0, 64, 56, len(ph), 0, 0, 0)
    for t, flags, offset, vaddr, filesz, memsz, align in ph:
        head += struct.pack("<IIQQQQQQ", t, flags, offset, vaddr, vaddr, filesz, memsz, align)
    image = bytearray(head.ljust(0x600, b"\x90"))
    image[0x300:0x300 + len(interpreter)] = interpreter
    return bytes(image)


for name, data in manifests():
    put("manifest", name, data)
put("elf", "fixed", elf(2, 0x400000))
put("elf", "pie", elf(3, 0))
put("elf", "dynamic", elf(3, 0, b"/lib\0"))
put("elf", "script", b"#! /program -x \n")
for call in range(1, 80):
    put("answers", f"call-{call}", bytes([1, 1, 2, 0] * 2 + [call, 3, 40, 3, call, 4, 200, 2, 0]) + bytes([3, 0, 0, 4, 0, 0, 10, 255, 24] * 3))
