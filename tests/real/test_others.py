# SPDX-License-Identifier: Apache-2.0
"""Other programs of Debian (docs/programs.md): output, exit status and the files they leave are those of a native run. Short
runs take those that packages.txt has; full ones all that are installed."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import urllib.request

import pytest

import corpus
import services
from conftest import FULL, SIZE, VIGIL, assert_same, execute, once

# Of large packages: in no cell of a short run.
large = once if FULL else pytest.mark.cells(edmm=None)
LARGE = ["--enclave-size", "4G", "--max-threads", "64"]  # runtimes that reserve much, or start many threads
POSTGRES = "/usr/lib/postgresql/15/bin/"
BC = "scale = 30\ndefine f(n) { if (n < 2) return 1; return n * f(n - 1) }\nf(60); sqrt(2); 4 * a(1)\n"
SQL = "create database t;\nuse t;\ncreate table a(i int primary key, s text) engine=innodb;\ninsert into a values (1,'first'),(2,'other');\n" \
      "begin;\nupdate a set s='gone' where i=1;\nrollback;\nselect i,s from a into outfile '%s';\n"
RUBY = """require 'json'; require 'digest'
h = Hash.new(0); File.foreach('table') { |l| f = l.split("\\t"); h[f[1]] += f[0].to_i }
puts h.sort.to_json, Digest::SHA256.file('text').hexdigest, 4.times.map { |i| Thread.new { (1..20000).inject(:+) + i } }.map(&:value).inspect
f = Fiber.new { 3.times { |i| Fiber.yield i }; :end }; p 4.times.map { f.resume }, 2**200
begin; raise ArgumentError, 'x'; rescue => e; p e; end; GC.start; sleep 0.05; File.write('out', h.inspect)"""
NODE = """let m = new Map(); for (let i = 0; i < 300000; i++) m.set(i % 97, (m.get(i % 97) || 0) + i); console.log(m.get(5), 2n ** 200n);
const fs = require('fs'), z = require('zlib');
fs.readFile('text', (e, d) => { console.log(require('crypto').createHash('sha256').update(d).digest('hex'));
z.gzip(d, (e, g) => z.gunzip(g, (e, u) => { console.log(u.equals(d)); fs.writeFileSync('out', 'written'); setTimeout(() => process.exit(4), 20); })) })"""
PHP = """$a = []; for ($i = 0; $i < 100000; $i++) $a[] = $i * $i % 97; sort($a); echo array_sum($a), md5(implode(',', $a)), json_encode(['x' => preg_match('/(\\d+)/', 'ab12', $m), 'm' => $m]);
file_put_contents('out', strrev(file_get_contents('text'))); exit(3);"""
GUILE = """(use-modules (ice-9 threads)) (define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2)))))
(display (list (fib 22) (expt 2 300) (par-map fib '(10 11 12)) (call/cc (lambda (k) (+ 1 (k 42))))))"""
OCAML = """let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2);;
let () = Printf.printf "%d\\n" (fib 24); Printf.printf "%d\\n" (List.nth (List.sort compare (List.init 100000 (fun i -> i * 7919 mod 10007))) 5000); Gc.full_major ();;"""
PERL = """use POSIX; use List::Util 'sum'; use Socket; my %h; while (<>) { my @f = split; $h{$f[1]} += $f[0] } print map { "$_ $h{$_}\\n" } sort keys %h;
printf "%s %.10f %d\\n", POSIX::floor(3.7), sin(1), sum(1..1000); socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0); syswrite $a, 'hello'; sysread $b, my $x, 9; print "$x\\n";
$SIG{ALRM} = sub { print "alarm\\n" }; alarm 1; sleep 3; eval { die { c => 3 } }; print $@->{c}, "\\n"; open my $o, '>', 'out'; print $o reverse 1..99; close $o; exit 5"""
TCL = "set s 0; for {set i 0} {$i < 50000} {incr i} {incr s [expr {$i * $i % 7}]}; puts \"$s [lsort {c a b}] [expr {2 ** 100}]\"; after 20 {set x 1}; vwait x; exit 3\n"
JAVA = """import java.util.concurrent.*; import java.util.stream.*;
public class A { static int deep(int n) { return deep(n + 1) + 1; }
public static void main(String[] a) throws Exception { ExecutorService e = Executors.newFixedThreadPool(4);
for (Future<Long> f : e.invokeAll(IntStream.range(2, 10).mapToObj(k -> (Callable<Long>) () -> LongStream.range(0, 200000).map(x -> x * x % k).sum()).collect(Collectors.toList()))) System.out.println(f.get());
e.shutdown(); try { ((Object) null).toString(); } catch (NullPointerException x) { System.out.println("null"); } try { deep(0); } catch (StackOverflowError x) { System.out.println("deep"); }
byte[] junk = null; for (int i = 0; i < 2000; i++) junk = new byte[100000]; System.gc(); java.nio.file.Files.write(java.nio.file.Path.of("out"), "x".getBytes()); System.exit(7); } }"""

# name: (program, arguments, options of the enclave or None, standard input)
PROGRAMS = {
    "bash": ("bash", ["-c", "for ((i = 0; i < 3000; i++)); do a[i]=$((i * i)); done; echo ${a[77]} ${#a[@]}; mapfile -t l < table; "
                      "echo ${#l[@]} \"${l[7]/[ae]/X}\"; cd tree; echo */*; [[ abc =~ b(.) ]] && echo ${BASH_REMATCH[1]} > out; exit 9"]),
    "dash": ("dash", ["-c", "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; while read a b; do n=$a; done < table; echo $i $n; exec ls tree"]),
    "bc": ("bc", ["-l", "-q"], None, BC.encode()),
    "dc": ("dc", ["-e", "20k 2v p 2 300^ p"]),
    "jq": ("jq", ["-R", "-s", 'split("\n") | map(split("\t") | select(length == 4) | {n: .[0] | tonumber, w: .[1]}) | group_by(.w) | '
                  'map({(.[0].w): (map(.n) | add)}) | add', "table"]),
    "perl": ("perl", ["-e", PERL, "table"]),
    "mawk": ("mawk", ["{ s[$2] += $1 } END { for (i = 0; i < 1; i++) print s[\"echo\"], s[\"golf\"], exp(1); print NR > \"out\" }", "table"]),
    "gawk": ("gawk", ["{ s[$2] += $1 } END { n = asorti(s, k); for (i = 1; i <= n; i++) print k[i], s[k[i]]; print strftime(\"%Y\", 0, 1) }", "table"]),
    "sed": ("sed", ["-i.old", "-E", "s/([a-z]+) ([a-z]+)/\\2 \\1/g;1,20d", "text"]),
    "grep": ("grep", ["-rnE", "(file 1+|int .*;)", "tree", "text"]),
    "grep -P": ("grep", ["-cP", "^(\\w)\\w+\\s.*\\1", "text"]),
    "find": ("find", [".", "-type", "f", "-size", "+1k", "-newermt", "2020-01-01", "-printf", "%p %s %m\n", "-delete"]),
    "diff": ("diff", ["-ru", "start", "other"]),
    "tar -c": ("tar", ["-cvf", "new.tar", "--mtime=@0", "--owner=0", "--group=0", "--sort=name", "tree", "text"]),
    "tar -x": ("tar", ["-xvf", "archive.tar", "--transform", "s,tree,other-tree,"]),
    "gzip": ("gzip", ["-9n", "text"]),
    "gunzip": ("gzip", ["-dfN", "text.gz"]),
    "bzip2": ("bzip2", ["-k", "binary"]),
    "xz": ("xz", ["-T2", "-k", "binary"]),
    "unxz": ("xz", ["-dcf", "text.xz"]),
    "zstd": ("zstd", ["-q", "-T2", "-12", "binary"]),
    "make": ("make", ["-n", "-f", "/usr/share/doc/no-such", "x"]),
    "as": ("as", ["-o", "out.o", "-"], None, b".globl f\nf: mov $1, %eax\n ret\n"),
    "objdump": ("objdump", ["-d", "/bin/true"]),
    "git status": ("git", ["status"]),
    "git log": ("git", ["--no-pager", "log", "--stat", "-p"]),
    "git grep": ("git", ["--no-pager", "grep", "-n", "file 3"]),
    "git add": ("git", ["add", "-A"]),
    "git fsck": ("git", ["-c", "core.commitGraph=false", "-c", "core.multiPackIndex=false", "fsck", "--full", "--strict", "--verbose"]),
    "git checkout": ("git", ["checkout", "-q", "-b", "other", "HEAD~1"]),
    "vim": ("vim", ["-u", "NONE", "-i", "NONE", "-n", "-es", "text", "-c", "%s/int/INT/g", "-c", "1,10d", "-c", "g/5/m0", "-c", "w out", "-c", "q!"]),
    "zsh": ("zsh", ["-c", "a=(3 1 2); print ${(o)a}; zmodload zsh/mathfunc; print $((sqrt(2))) tree/*/*(/N)"]),
    "file": ("file", ["text", "text.gz", "archive.tar", "/bin/ls"]),
    "curl": ("curl", ["-s", "file:///etc/debian_version", "-o", "out"]),
    "sqlite3": ("sqlite3", [":memory:", "with recursive c(x) as (select 1 union all select x+1 from c where x<100000) select sum(x), json_object('n', count(*)) from c"]),
    "ssh-keygen": ("ssh-keygen", ["-l", "-f", "key.pub"]),
    "ruby": ("ruby", ["-e", RUBY]),
    "php": ("php", ["-r", PHP]),
    "tcl": ("tclsh8.6", [], None, TCL.encode()),
    "guile": ("guile", ["--no-auto-compile", "-c", GUILE], LARGE),
    "ocaml": ("ocaml", ["program.ml"], LARGE),
    "node": ("node", ["-e", NODE], LARGE),
    "java": ("java", ["-Xmx256m", "-cp", ".", "A"], LARGE),
    "java -Xint": ("java", ["-Xint", "-Xmx128m", "-XX:+UseSerialGC", "-cp", ".", "A"], LARGE),
    "gnuplot": ("gnuplot", ["-e", "set term svg; set output 'out.svg'; plot 'table' using 1:4 every 50, sin(x/100.); set term dumb 60 20; set output; plot sin(x)"]),
    "convert": ("/usr/bin/convert", ["-size", "200x200", "gradient:red-blue", "-rotate", "30", "-resize", "50%", "ppm:out"], LARGE),
    "ffmpeg": ("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", "testsrc2=duration=1:size=320x240:rate=25", "-c:v", "mpeg4", "-bitexact", "out.avi"], LARGE),
    "ffmpeg x264": ("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", "testsrc2=duration=1:size=320x240:rate=25", "-c:v", "libx264", "-x264-params", "threads=2:deterministic=1", "-f", "md5", "-"], LARGE),
    "tshark": ("tshark", ["-n", "-r", "packets.pcap", "-T", "fields", "-e", "frame.number", "-e", "ip.src", "-e", "udp.srcport"], LARGE),
}
SHORT = ["bash", "dash", "bc", "jq", "perl", "mawk", "sed", "grep", "grep -P", "find", "diff", "tar -c", "tar -x", "gzip", "gunzip", "xz", "unxz", "zstd", "as"]


def capture():
    """UDP packets as tcpdump would have them."""
    packets = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
    for i in range(20):
        ip = struct.pack(">BBHHHBBH4s4sHHHH", 69, 0, 32, i, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\2", 1000 + i, 53, 12, 0) + b"abcd"
        frame = bytes(12) + b"\x08\0" + ip
        packets += struct.pack("<IIII", 1700000000 + i, 0, len(frame), len(frame)) + frame
    return packets


def prepare(directory, env):
    """What only some programs have need of, where they are installed."""
    run = lambda *argv: subprocess.run(argv, cwd=directory, env=dict(env, GIT_COMMITTER_DATE="1700000000 +0000"), check=True, timeout=60, capture_output=True)
    (directory / "program.ml").write_text(OCAML)
    (directory / "packets.pcap").write_bytes(capture())
    if shutil.which("javac"):
        (directory / "A.java").write_text(JAVA)
        run("javac", "A.java")
    if shutil.which("ssh-keygen"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
    if shutil.which("git"):
        for words in (["init", "-q", "."], ["config", "user.email", "a@b"], ["config", "user.name", "x"], ["config", "gc.auto", "0"], ["add", "tree", "start"],
                      ["commit", "-qm", "one", "--date", "1700000000 +0000"], ["add", "table"], ["commit", "-qm", "two", "--date", "1700000000 +0000"]):
            run("git", *words)
        (directory / "start").write_text("changed\n")


@pytest.fixture(scope="module")
def files(tmp_path_factory, vigil):
    directory = corpus.make(tmp_path_factory.mktemp("others") / "corpus")
    if FULL:
        prepare(directory, vigil.env)
    return directory


def state(directory):
    """Git's index has the times of the files."""
    return {name: value for name, value in corpus.state(directory).items() if not name.endswith(".git/index")}


def need(program):
    path = shutil.which(program, path="/usr/bin:/bin:/usr/sbin")
    if not path and not FULL:
        pytest.fail("%s is not installed; packages.txt should have it" % program)
    if not path:
        pytest.skip("%s is not installed" % program)
    return path


@once
@pytest.mark.parametrize("name", PROGRAMS if FULL else SHORT)
def test_program(vigil, files, tmp_path, name):
    program, arguments, options, stdin = (*PROGRAMS[name], None, None)[:4] if len(PROGRAMS[name]) < 4 else PROGRAMS[name]
    path, home, results = need(program), tmp_path / "work", []
    env = {"GIT_COMMITTER_DATE": "1700000000 +0000"}  # else git notes when it was done
    for inside in (False, True):  # in the same place, since some of them say where they are
        shutil.copytree(files, home, symlinks=True)
        if inside:
            done = vigil.run(path, *arguments, options=options or SIZE, cwd=home, stdin=stdin or b"", env=env, timeout=120)
        else:
            with vigil.apart():
                done = execute([path, *arguments], env=dict(vigil.env, **env), cwd=home, stdin=stdin or b"")
        results.append((done, state(home)))
        shutil.rmtree(home)
    (native, left), (done, left_inside) = results
    assert native.status < 124 and (native.stdout or left != state(files) or native.stderr), native
    assert_same(done, native)
    assert left_inside == left


# ---- databases and servers ----

@large
def test_mariadb(vigil, tmp_path):
    """Its storage engine makes a database; what it holds is the same. It reserves 8 TiB of addresses unless told otherwise."""
    path, answers = need("mariadbd"), []
    for inside in (False, True):
        home = tmp_path / ("inside" if inside else "native")
        (home / "data").mkdir(parents=True)
        argv = [path, "--no-defaults", "--bootstrap", "--user=root", "--datadir=%s/data" % home, "--innodb-buffer-pool-size-max=128M",
                "--lc-messages-dir=/usr/share/mysql"]
        sql = (SQL % (home / "rows")).encode()
        done = vigil.run(*argv, options=LARGE, stdin=sql, timeout=120) if inside else execute(argv, stdin=sql, env=vigil.env)
        assert done.status == 0, done
        answers.append((home / "rows").read_text())
    assert answers[0] == answers[1] == "1\tfirst\n2\tother\n"


POSTGRES_SCRIPT = b"""create table a(i int primary key, s text)
insert into a select g, md5(g::text) from generate_series(1,20000) g
select count(*), max(s), sum(hashtext(s)) from a
begin
delete from a where i < 100
rollback
select count(*) from a where i < 200
create index on a(s)
vacuum a
checkpoint
"""


@large
def test_postgres(vigil, tmp_path):
    """One backend, without its server. It does not run as root."""
    if not os.path.exists(POSTGRES + "initdb"):
        pytest.skip("postgresql-15 is not installed")
    user = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    base = pathlib.Path(execute([*user, "mktemp", "-d", "/tmp/vigil-postgres-XXXXXX"]).stdout.decode().strip())
    env, answers = dict(vigil.env, HOME=str(base), XDG_CONFIG_HOME=str(base)), []
    if execute([*user, VIGIL, "--version"]).status:
        pytest.skip("%s cannot be run by another user than root" % VIGIL)
    try:
        done = execute([*user, POSTGRES + "initdb", "-D", base / "first", "-A", "trust", "--no-locale"], env=env)
        assert done.status == 0, done
        for name in ("native", "inside"):
            shutil.copytree(base / "first", base / name)
            if user:
                for path in [base / name, *(base / name).rglob("*")]:
                    os.chown(path, 65534, -1)
            argv = [POSTGRES + "postgres", "--single", "-D", base / name, "postgres"]
            prefix = vigil.argv(options=LARGE) if name == "inside" else []
            for script in (POSTGRES_SCRIPT, b"select count(*), max(s) from a\n"):
                done = execute([*user, *prefix, *argv], stdin=script, env=env, cwd=base, timeout=120)
                answers.append((name, done.status, done.stdout))
                assert done.status == 0 and b"20000" in done.stdout, done
    finally:
        shutil.rmtree(base)
    assert [answer[1:] for answer in answers[:2]] == [answer[1:] for answer in answers[2:]]


def memcached(prefix, directory, env):
    port, said = services.free_port(), []
    argv = [*prefix, need("memcached"), "-u", "root", "-l", "127.0.0.1", "-p", port, "-t", "4"]
    with services.Service(argv, port, directory, env) as server:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, connection.makefile("rwb") as stream:
            for i in range(200):
                stream.write(b"set k%d 0 0 %d\r\n%s\r\nget k%d\r\nincr n 1\r\n" % (i, i * 10, b"x" * (i * 10), i))
                stream.flush()
                said += [stream.readline() for _ in range(5)]
        said.append(server.end())
    return said


def pages(server, port, *names):
    with server:
        found = [urllib.request.urlopen("http://127.0.0.1:%d/%s" % (port, name), timeout=20).read() for name in names for _ in range(5)]
        server.end()
    return found, server.process.returncode


def lighttpd(prefix, directory, env):
    """SIGINT lets it finish; its status after SIGTERM depends on whether a connection is still being closed."""
    port, configuration = services.free_port(), pathlib.Path(directory) / "lighttpd.conf"
    configuration.write_text('server.document-root="/usr/include/linux"\nserver.port=%d\nserver.bind="127.0.0.1"\n' % port)
    return pages(services.Service([*prefix, need("lighttpd"), "-D", "-f", configuration], port, directory, env, signal.SIGINT), port, "shm.h", "bpf.h")


def haproxy(prefix, directory, env):
    port, behind, configuration = services.free_port(), services.free_port(), pathlib.Path(directory) / "haproxy.conf"
    configuration.write_text("global\n nbthread 2\n maxconn 200\ndefaults\n mode http\n timeout connect 9s\n timeout client 9s\n timeout server 9s\n"
                             "listen f\n bind 127.0.0.1:%d\n server s 127.0.0.1:%d\n" % (port, behind))
    with services.Service([sys.executable, "-m", "http.server", behind, "--bind", "127.0.0.1", "--directory", "/usr/include/linux"], behind, directory):
        return pages(services.Service([*prefix, need("haproxy"), "-db", "-f", configuration], port, directory, env), port, "shm.h", "bpf.h")


def node(prefix, directory, env):
    port = services.free_port()
    text = "require('http').createServer((q, r) => r.end('path ' + q.url)).listen(%d, '127.0.0.1'); process.on('SIGTERM', () => process.exit(3))" % port
    return pages(services.Service([*prefix, need("node"), "-e", text], port, directory, env), port, "a", "b")


def php(prefix, directory, env):
    port = services.free_port()
    (pathlib.Path(directory) / "a.php").write_text("<?php echo md5($_SERVER['REQUEST_URI']);")
    argv = [*prefix, need("php"), "-S", "127.0.0.1:%d" % port, "-t", directory]
    return pages(services.Service(argv, port, directory, env), port, "a.php", "a.php?x")


def curl(prefix, directory, env):
    port = services.free_port()
    with services.Service([sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", "/usr/include/linux"], port, directory):
        return execute([*prefix, need("curl"), "-s", "http://127.0.0.1:%d/bpf.h" % port], env=env).stdout


def redis_cli(prefix, directory, env):
    with services.redis([], directory) as server:
        return execute([*prefix, need("redis-cli"), "-p", server.port, "eval", "return {1, redis.call('set', 'a', 'b'), 'x'}", "0"], env=env).stdout


NETWORK = {function.__name__: function for function in (memcached, lighttpd, haproxy, node, php, curl, redis_cli)}


@once
@pytest.mark.parametrize("name", NETWORK if FULL else ["redis_cli"])
def test_network(vigil, tmp_path, name):
    found = [NETWORK[name](prefix, tmp_path, vigil.env) for prefix in ([], vigil.argv(options=LARGE))]
    assert found[0] and found[1] == found[0]
