# SPDX-License-Identifier: Apache-2.0
"""GNU coreutils: output, exit status and the files they leave are those of a native run. One tree of files for all lines that
only read; a copy for each list of those that write."""
import shutil

import pytest

import corpus
from conftest import FULL, SIZE, assert_same, execute

READ = """
arch
b2sum text binary
base32 binary
base64 -w 60 binary
basename /a/b/c.txt .txt
basenc --z85 -w 70 -d empty
cat -A table2
cksum text binary empty
comm start other
csplit --help
cut -f 2,3 table
date -u -d @1234567890 +%FT%T
dd if=binary bs=1000 skip=3 count=20 status=none
df --help
dir tree
dircolors -b
dirname /a/b/c.txt
du -a --apparent-size tree
echo -e a\\tb
env
expand text
expr 12345 * 678
factor 1234567890 97 18446744073709551557
false
fmt -w 50 text
fold -s -w 60 long-line
groups
head -n 50 text
id -u
join numbers numbers
link --version
ls -lR --time-style=+%s tree
ls -la no-such-file
ls --color=always -F tree
md5sum text table
nl -b a table2
nproc --all
numfmt --to=iec 123456789
od -A d -t x1z -N 3000 binary
paste table2 numbers
pathchk -p a*b
pr -t -2 table2
printenv PATH
printf %5d|%-8s|%x\\n 42 text 255
ptx table2
pwd
readlink tree/link
realpath tree/link
seq -w 5 15
sha1sum text
sha224sum text
sha256sum text binary empty
sha384sum text
sha512sum binary
shuf --random-source=binary table2
sleep 0
sort -n -r -k 1 table
sort -u -k 2,3 table
sort --parallel=2 -S 1M text
stat -c %n,%s,%a,%F,%h,%Y text tree empty
sum text
tac table
tail -n 40 text
test -f text
[ 3 -lt 4 ]
tr a-z A-Z
true
truncate --help
tsort numbers
tty
uname -s -m
unexpand -a text
uniq -c numbers
vdir --time-style=+%s tree
wc text table empty no-newline long-line
whoami
yes --version
""".strip().splitlines()

WRITE = {
    "cp": ["cp text copy", "cp -a tree tree2", "cp -r --preserve=mode tree/d0 tree/d9", "cp --sparse=always binary sparse"],
    "mv": ["mv text moved", "mv tree/d1 tree/d2/", "mv -n start other"],
    "rm": ["rm text", "rm -r tree/d0", "rm no-such-file", "rmdir tree", "unlink empty"],
    "mkdir": ["mkdir -p a/b/c", "mkdir a", "mkdir -m 700 private", "touch -d 2020-01-02 a/new", "ln -s new a/link", "ln text a/hard",
              "link table hard", "mkfifo fifo", "rmdir a/b/c"],
    "chmod": ["chmod 600 text", "chmod -R u+rwx,go-rwx tree", "chmod --reference=table start", "chown 0:0 text", "chgrp 0 text"],
    "dd": ["dd if=/dev/zero of=zero bs=4096 count=16 status=none", "dd if=text of=table bs=10 seek=5 conv=notrunc count=3 status=none"],
    "split": ["split -l 500 table part-", "csplit -s table 100 200", "tee one two", "truncate -s 1234 binary",
              "sort -o sorted numbers", "install -m 640 table2 installed", "shred -n 1 -u other", "sync start", "fmt -w 30 table2"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return corpus.make(tmp_path_factory.mktemp("coreutils") / "corpus")


def tool(name):
    return shutil.which(name, path="/usr/bin:/bin")


def program(line):
    words = [word.replace("\\t", "\t") for word in line.split(" ")]
    return [tool(words[0]), *words[1:]]


# Short runs take every fourth line in each of the four cells.
def in_turn(vigil, index):
    return FULL or index % 4 == 2 * vigil.edmm + vigil.aexnotify


@pytest.mark.parametrize("part", range(4))
def test_read(vigil, files, part):
    wrong = []
    for index, line in enumerate(READ):
        if index // 4 % 4 == part and in_turn(vigil, index):
            stdin = (files / "text").read_bytes() if line.startswith("tr ") else b""
            native = vigil.native(*program(line), stdin=stdin, cwd=files)
            got = vigil.run(*program(line), stdin=stdin, cwd=files, options=SIZE)
            if (got.stdout, got.status) != (native.stdout, native.status):
                wrong.append((line, got.status, native.status, got.stdout[:200], native.stdout[:200], got.stderr[-500:]))
    assert not wrong


def test_write(vigil, files, tmp_path):
    for index, name in enumerate(WRITE):
        if not in_turn(vigil, index % 4):
            continue
        copies = [tmp_path / name / "native", tmp_path / name / "enclave"]
        for copy in copies:
            shutil.copytree(files, copy, symlinks=True)
        for line in WRITE[name]:
            native = execute(program(line), stdin=b"to the tee\n", env=vigil.env, cwd=copies[0])
            assert_same(vigil.run(*program(line), stdin=b"to the tee\n", cwd=copies[1], options=SIZE), native)
            ours, theirs = (corpus.state(copy) for copy in reversed(copies))
            assert ours == theirs, line


@pytest.mark.outside
def test_enough_tools():
    tried = {line.split()[0] for line in READ} | {line.split()[0] for lines in WRITE.values() for line in lines}
    missing = [name for name in tried if not tool(name)]
    assert not missing and len(tried) >= 30
