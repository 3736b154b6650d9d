# SPDX-License-Identifier: Apache-2.0
"""stress-ng's stressors that are one process. stress-ng starts a process for each, whatever its options; in_place.c, preloaded,
makes it do the child's work in place. Each must run its operations, verify them and leave with the status of success."""
import re

import pytest

from conftest import BUILD, FULL, execute

STRESSORS = """
aio branch bsearch cache chmod chown clock close context copy-file cpu crypt dynlib fallocate far-branch fcntl file-ioctl fp fp-error
fstat full funccall funcret get getdent getrandom goto hash heapsort hsearch icache io itimer jpeg judy list longjmp lsearch
matrix matrix-3d memcpy mergesort mincore mutex nanosleep nop null numa open personality pkey pthread qsort radixsort randlist regs
rename rotate seek sendfile set shellsort sigfpe signal signest sigpending sigsegv sigtrap skiplist sparsematrix str stream
syncload sysinfo tsearch urandom utime vecfp vecmath vecshuf vecwide wcs x86cpuid zero
""".split()
SIZE = ["--enclave-size", "1G", "--max-threads", "64"]


def preloaded(name, directory):
    return ["/lib64/ld-linux-x86-64.so.2", "--preload", BUILD / "tests/real/libin_place.so", "/usr/bin/stress-ng", "--" + name, "1",
            "--%s-ops" % name, "5", "--timeout", "1", "--verify", "-v", "--temp-path", directory]


@pytest.mark.parametrize("part", range(4))
def test_stressors(vigil, tmp_path, part):
    """A quarter of them; in short runs a quarter of a third of that in each cell."""
    cell, bad = 2 * vigil.edmm + vigil.aexnotify, {}
    names = STRESSORS[part::4]
    for name in names if FULL else names[cell::12]:
        done = vigil.run(*preloaded(name, tmp_path), options=SIZE, cwd=tmp_path, timeout=60)
        said = done.stderr + done.stdout.decode(errors="replace")
        complaint = re.search(r"stress-ng: (fail|error): .*|.*skipping stressor.*|.*will be skipped.*|.*finished prematurely.*", said)
        if done.status or complaint or ": exited [" not in said:
            bad[name] = done.status, complaint.group(0) if complaint else said[-400:]
    assert not bad


@pytest.mark.outside
def test_enough_of_them():
    """Of those that this stress-ng has."""
    known = execute(["/usr/bin/stress-ng", "--stressors"]).stdout.decode().split()
    assert len(set(STRESSORS) & set(known)) == len(STRESSORS) >= 40
