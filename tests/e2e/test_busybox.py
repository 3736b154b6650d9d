# SPDX-License-Identifier: Apache-2.0
"""Debian's static busybox, unmodified: its applets over real files print what they print natively, and leave the same
files behind."""
import os
import shutil
import subprocess

import pytest

import corpus
from conftest import BUSYBOX, assert_same, execute

OFTEN = pytest.mark.rates(1000)  # an applet is over after a few milliseconds

# Only reading.
READ = """
sha256sum text binary empty
sha1sum text binary
sha512sum binary
md5sum text table
crc32 text
wc text table empty no-newline long-line
wc -L -w long-line
cat text empty no-newline
tac table
rev table2
nl -b a table2
head -n 50 text
head -c 1000 binary
tail -n 40 text
tail -c 500 text
sort table
sort -n -r -k 1 table
sort -u -k 2,3 table
sort -n numbers
uniq -c numbers
cut -f 2,3 table
cut -c 1-10 text
paste table2 numbers
grep -n static text
grep -c -v e text
grep -r -l include tree
grep -E ^[a-z]+_[a-z]+\\( text
grep -F no-such-thing-at-all text
sed -n s/static/STATIC/p text
sed -e 1,20d -e s/[0-9]/#/g table
sed -n $p text
awk {s+=$1;n[$2]++}END{print(s);for(k=1;k<=8;k++)print(k,length(n))} table
awk -F\\t $4>500{printf("%s-%s:%.1f\\n",$2,$3,$4)} table
tr a-z A-Z
tr -d \\n
tr -s e
fold -w 40 text
fold -s -w 60 long-line
expand text
unexpand -a text
od -A d -t x1z -N 3000 binary
od -c table2
hexdump -C -n 2000 binary
xxd -l 1000 binary
strings binary
base64 binary
uuencode text name
gzip -c text
gzip -1 -c binary
gunzip -c text.gz
bzip2 -c table
bunzip2 -c text.bz2
unxz -c text.xz
tar tvf archive.tar
tar xOf archive.tar
tar cf - tree
cpio -t
cmp start other
cmp text text
diff start other
diff -u start other
diff -r tree/d0 tree/d1
ls -l
ls -la tree
ls -lR tree
ls -l -i text
ls no-such-file
stat -c %n,%s,%a,%F,%h,%Y text tree empty
find tree
find tree -type f -name *1*
find tree -type l
find tree -newer text
du -a tree
du -s tree
readlink tree/link
realpath tree/link
basename /a/b/c.txt .txt
dirname /a/b/c.txt
expr 12345 * 678
expr length abcdefgh
seq 1 3 100
seq -w 5 15
factor 1234567890 97
echo -e a\\tb\\n
printf %5d|%-8s|%x\\n 42 text 255
date -u -d @1700000000
date -u -d @1234567890 +%Y-%m-%dT%H:%M:%S
cal 2 2024
env
pwd
whoami
id -u
uname -s -m
true
false
test -f text
test -d text
[ 3 -lt 4 ]
sleep 0
usleep 1000
nproc
tty
logname
which cat
dc -e 2p
bc
""".strip().splitlines()


SHELL = r"""
x=0; i=1
while [ $i -le 200 ]; do x=$((x + i * i)); i=$((i + 1)); done
echo "sum $x"
for word in one two three; do printf '%s-' "$word"; done; echo
f() { local n=$1; if [ $n -le 1 ]; then r=1; else f $((n - 1)); r=$((r * n)); fi; }
f 12; echo "12! = $r"
case abc in a*) echo matched;; *) echo not;; esac
while read -r a b c d; do [ "$b" = echo ] && echo "$a $c"; done < table2
echo ${PATH%%:*} ${#LANG} ${NO_SUCH:-default}
trap 'echo trapped' USR1; kill -USR1 $$
exit 7
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return corpus.make(tmp_path_factory.mktemp("busybox") / "corpus")


def applets():
    return set(subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True, timeout=20).stdout.split())


@OFTEN
@pytest.mark.parametrize("line", READ)
def test_read(vigil, files, line, hz):
    argv = [word.replace("\\t", "\t") if word.startswith("-F") else word for word in line.split(" ")]
    if argv[0] not in applets():
        pytest.skip("this busybox has no %s" % argv[0])
    if argv[-1] in ("text.xz", "text.bz2") and not (files / argv[-1]).exists():
        pytest.skip("this machine has no tool to make %s" % argv[-1])
    stdin = {"tr": (files / "text").read_bytes(), "bc": b"2^100\n10/3\n", "cpio": b""}.get(argv[0], b"")
    native = vigil.compare(BUSYBOX, *argv, stdin=stdin, cwd=files, hz=hz)
    assert native.status < 128


@OFTEN
def test_shell(vigil, files, hz):
    native = vigil.compare(BUSYBOX, "sh", "-c", SHELL, cwd=files, hz=hz)
    assert native.status == 7 and b"trapped" in native.stdout and b"12! = 479001600" in native.stdout


@pytest.mark.xfail(strict=True, reason="fork is not there yet")
@pytest.mark.parametrize("line", ["zcat text.gz", "sh -c (exit@3);echo@$?"])
def test_needs_fork(vigil, files, line):
    vigil.compare(BUSYBOX, *(word.replace("@", " ") for word in line.split()), cwd=files)


def test_enough_applets():
    tried = {line.split()[0] for line in READ} & applets()
    assert len(tried) >= 60, sorted(tried)


# Changing files: each list of commands runs on a copy of its own.
WRITE = {
    "copy": ["cp text copy", "cp -a tree tree2", "cp -r tree/d0 tree/d9"],
    "move": ["mv text moved", "mv tree/d1 tree/d2/", "mv -f start other"],
    "remove": ["rm text", "rm -r tree/d0", "rm -f no-such-file", "rm no-such-file", "rmdir tree"],
    "make": ["mkdir -p a/b/c", "mkdir a", "touch -d 2020-01-02 a/new", "ln -s new a/link", "ln text a/hard", "mkdir -m 700 private"],
    "modes": ["chmod 600 text", "chmod -R u+rwx,go-rwx tree", "chmod a-w table"],
    "dd": ["dd if=binary of=part bs=1000 skip=3 count=20", "dd if=/dev/zero of=zero bs=4096 count=16",
           "dd if=text of=table bs=10 seek=5 conv=notrunc count=3"],
    "tee": ["tee one two"],
    "compress": ["gzip table", "gzip -k -9 binary", "gunzip text.gz"],
    "unpack": ["tar xf archive.tar -C tree/d0", "tar cf new.tar tree table", "tar tf new.tar"],
    "edit": ["sed -i s/static/STATIC/g text", "patch --help", "truncate -s 1234 binary", "sort -o sorted numbers",
             "shuf -i 1-1", "split -l 500 table part-", "install -m 640 table2 installed", "unlink empty"],
}


def same_times(*trees):
    """A tar holds them, and the two runs may be on both sides of a second's end."""
    for tree in trees:
        for path in [tree, *tree.rglob("*")]:
            os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)


@OFTEN
@pytest.mark.parametrize("name", WRITE)
def test_write(vigil, files, tmp_path, name, hz):
    copies = [tmp_path / "same" / "native", tmp_path / "same" / "enclave"]
    copies[0].parent.mkdir()
    for copy in copies:
        shutil.copytree(files, copy, symlinks=True)
    for line in WRITE[name]:
        same_times(*copies)
        native = execute([BUSYBOX, *line.split()], stdin=b"to the tee\n", env=vigil.env, cwd=copies[0])
        assert_same(vigil.run(BUSYBOX, *line.split(), stdin=b"to the tee\n", cwd=copies[1], hz=hz), native)
        ours, theirs = (corpus.state(copy) for copy in reversed(copies))
        packed = [path for path in theirs if path.endswith(".gz")]  # holds the time of packing
        for path in packed:
            assert (path in ours) and len(ours[path][1]) == len(theirs[path][1])
            del ours[path], theirs[path]
        assert ours == theirs, line


@OFTEN
@pytest.mark.parametrize("pipeline", [
    "$run cat text | $run sort | $run uniq -c | $run sort -rn | $run head -20",
    "$run gzip -c binary | $run gunzip -c | $run sha256sum",
    "$run tar cf - tree | $run tar tf -",
    "$run seq 1 2000 | $run awk '{s += $1} END {print s}'",
    "$run base64 binary | $run base64 -d | $run cmp - binary; echo $?",
    "$run yes | $run head -3",
    "$run cat text | head -1; echo ${PIPESTATUS[0]}",
])
def test_pipelines(vigil, files, pipeline, hz):
    native = execute(["bash", "-c", pipeline], env=dict(vigil.env, run=BUSYBOX), cwd=files)
    run = " ".join(vigil.argv(BUSYBOX, hz=hz))
    assert_same(execute(["bash", "-c", pipeline], env=dict(vigil.env, run=run), cwd=files), native)
