# SPDX-License-Identifier: Apache-2.0
"""A directory of files to work on: the repository's own sources, a real binary, tables, an archive. The same on every
machine and at every time, except for what the repository and busybox themselves are."""
import gzip
import os
import random
import shutil
import subprocess
import tarfile

from conftest import BUSYBOX, ROOT

WHEN = 1700000000  # every file's time


def table(rows, seed):
    source = random.Random(seed)
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]
    return "".join("%d\t%s\t%s\t%.2f\n" % (source.randrange(10000), source.choice(words), source.choice(words),
                                           source.random() * 1000) for _ in range(rows))


def sources():
    return sorted(path for folder in ("libos", "softsgx", "include", "image") for path in (ROOT / folder).rglob("*.[ch]"))


def make(directory):
    directory.mkdir()
    (directory / "text").write_text("".join(path.read_text() for path in sources())[:250000])
    (directory / "table").write_text(table(2000, 1))
    (directory / "table2").write_text(table(300, 2))
    (directory / "numbers").write_text("".join("%d\n" % ((i * 7919) % 1009) for i in range(1500)))
    (directory / "binary").write_bytes(open(BUSYBOX, "rb").read()[:400000])
    (directory / "long-line").write_text("word " * 20000)
    (directory / "empty").write_text("")
    (directory / "no-newline").write_text("one\ntwo")
    (directory / "other").write_text((directory / "text").read_text()[:20000].replace("int ", "long "))
    (directory / "start").write_text((directory / "text").read_text()[:20000])
    tree = directory / "tree"
    for i in range(12):
        deep = tree / ("d%d" % (i % 4)) / ("e%d" % (i % 3))
        deep.mkdir(parents=True, exist_ok=True)
        (deep / ("file-%d.txt" % i)).write_text("file %d\n" % i * (i + 1))
    os.symlink("d1/e1", tree / "link")
    with open(directory / "text.gz", "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        packed.write((directory / "text").read_bytes())
    with tarfile.open(directory / "archive.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tree, "tree")
    for tool, suffix in (("xz", "xz"), ("bzip2", "bz2")):
        if shutil.which(tool):
            with open(directory / ("text." + suffix), "wb") as out:
                subprocess.run([tool, "-c", str(directory / "text")], stdout=out, check=True, timeout=60)
    for path in sorted(directory.rglob("*"), reverse=True):
        os.utime(path, (WHEN, WHEN), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    os.utime(directory, (WHEN, WHEN))
    return directory


def state(directory):
    """Everything in a directory: names, kinds, modes, contents."""
    found = {}
    for path in sorted(directory.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = (oct(info.st_mode), content)
    return found
