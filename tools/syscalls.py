#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/syscalls.md, or says whether it is as the source has it, from libos/syscall_table.h and <asm/unistd_64.h>.

usage: syscalls.py [--check]"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE, PAGE = ROOT / "libos/syscall_table.h", ROOT / "docs/syscalls.md"

HEAD = """# System calls

Every system call of x86-64 Linux (`<asm/unistd_64.h>`, %(all)d of them): %(done)d done, %(partial)d in part, %(refused)d refused.
A refused call returns ENOSYS and says so at `--log-level debug`. `tools/syscalls.py` writes this page from `libos/syscall_table.h`; a test
fails when the two differ.

| number | call | | what is missing, or why |
| ---: | --- | --- | --- |
"""


def names():
    macros = subprocess.run(["cc", "-E", "-dM", "-x", "c", "-include", "asm/unistd_64.h", "/dev/null"], check=True,
                            capture_output=True, text=True, timeout=30).stdout
    return {m[1]: int(m[2]) for m in re.finditer(r"^#define __NR_(\w+) (\d+)$", macros, re.M)}


def statuses(text):
    """{name: (status, remark)}"""
    found = {}
    for m in re.finditer(r"^SYSCALL\(\w+, (\w+)\)(?: /\* (partial|refused): (.*?) \*/)?$", text, re.M):
        found[m[1]] = (m[2] or "done", m[3] or "")
    for m in re.finditer(r'^REFUSED\(\d+, (\w+), "(.*)"\)$', text, re.M):
        if m[1] in found:
            sys.exit("syscalls.py: %s is in the table twice" % m[1])
        found[m[1]] = ("refused", m[2])
    lines = len(re.findall(r"^(?:SYSCALL|REFUSED)\(", text, re.M))
    if lines != len(found):
        sys.exit("syscalls.py: %d of the lines of %s are not understood" % (lines - len(found), TABLE))
    return found


def page():
    known, found = names(), statuses(TABLE.read_text())
    missing = sorted(set(known) - set(found))
    if missing:
        sys.exit("syscalls.py: neither SYSCALL nor REFUSED in %s: %s" % (TABLE, ", ".join(missing)))
    rows = {name: found[name] for name in sorted(known, key=known.get)}
    count = {status: sum(row[0] == status for row in rows.values()) for status in ("done", "partial", "refused")}
    return HEAD % dict(count, all=len(rows)) + "".join(
        "| %d | %s | %s | %s |\n" % (known[name], name.replace("_", "\\_"), *row) for name, row in rows.items())


if sys.argv[1:] not in ([], ["--check"]):
    sys.exit(__doc__)
text = page()
if not sys.argv[1:]:
    PAGE.write_text(text)
elif not PAGE.exists() or PAGE.read_text() != text:
    sys.exit("docs/syscalls.md is not what libos/syscall_table.h says: run tools/syscalls.py")
