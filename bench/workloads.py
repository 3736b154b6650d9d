# SPDX-License-Identifier: Apache-2.0
"""What bench/real.py measures: for each workload a function that runs it once in one place, natively or in an enclave, and
returns {figure: value}; and for each figure its unit and its limit. Figures without a limit explain those that have one."""
import csv
import os
import pathlib
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "real"))
import services  # noqa: E402


@dataclass
class Figure:
    """at_most, at_least: of the ratio to native. most: of the value itself. most_more: over the native value.
    notify: the time with AEX-Notify on is compared with the time with it off."""
    unit: str
    higher_is_better: bool = False
    at_most: float = None
    at_least: float = None
    most: float = None
    most_more: float = None
    notify: bool = True

    def limit(self):
        for value, form in ((self.at_most, "<= %.2fx"), (self.at_least, ">= %.2fx"), (self.most, "<= %g " + self.unit),
                            (self.most_more, "<= +%g " + self.unit)):
            if value is not None:
                return form % value
        return ""

    def over(self, native, value):
        return (self.at_most is not None and value > native * self.at_most
                or self.at_least is not None and value < native * self.at_least
                or self.most is not None and value > self.most
                or self.most_more is not None and value > native + self.most_more)


@dataclass
class Place:
    """Natively, or in an enclave: what stands before a program and its arguments."""
    name: str
    vigil: list = None  # vigil run and its options
    build: pathlib.Path = None
    work: pathlib.Path = None  # a directory that nobody else uses
    quick: bool = False
    env: dict = field(default_factory=dict)

    def prefix(self, *options):
        return [] if self.vigil is None else [*map(str, self.vigil), *options, "--"]

    def run(self, *program, options=(), pinned=False, stdin="", timeout=240):
        """(standard output, wall seconds, CPU seconds) of a program that must succeed."""
        cpu = min(os.sched_getaffinity(0))
        argv = [*self.prefix(*options), *map(str, program)]
        begin, before = time.perf_counter(), os.times()
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, env=self.env, cwd=self.work,
                              preexec_fn=(lambda: os.sched_setaffinity(0, {cpu})) if pinned else None, check=False)
        wall, after = time.perf_counter() - begin, os.times()
        if done.returncode:
            raise services.ServiceError("status %d: %s\n%s" % (done.returncode, " ".join(argv), done.stderr[-1500:]))
        return done.stdout, wall, after.children_user + after.children_system - before.children_user - before.children_system


# ---- the processor alone ----

PYTHON_LOOP = """
import time
begin = time.perf_counter()
total, table, text = 0, {}, []
for i in range(%d):
    total = (total * 31 + i) & 0xffffffff
    if not i & 15:
        table[total & 4095] = text
        text = [str(i), total]
print(time.perf_counter() - begin)
"""

LUA_LOOP = """
local begin = os.clock()
local total, t = 0, {}
for i = 1, %d do
  total = (total * 31 + i) & 0xffffffff
  if i & 15 == 0 then t[total & 4095] = tostring(i) end
end
print(os.clock() - begin)
"""


def python_loop(place):
    out, _, cpu = place.run("/usr/bin/python3", "-c", PYTHON_LOOP % (1_500_000 if place.quick else 12_000_000))
    return {"python loop": float(out), "python loop, CPU of the process": cpu}


def lua_loop(place):
    out, _, cpu = place.run("/usr/bin/lua5.4", "-e", LUA_LOOP % (8_000_000 if place.quick else 60_000_000))
    return {"lua loop": float(out), "lua loop, CPU of the process": cpu}


def sha256(place):
    seconds = 1 if place.quick else 3
    out, _, cpu = place.run(services.OPENSSL, "speed", "-elapsed", "-seconds", seconds, "-bytes", 16384, "sha256")
    rate = re.search(r"^sha256\s+([\d.]+)k", out, re.M)
    return {"openssl speed sha256, a block of 16 KiB": 16384e6 / (float(rate.group(1)) * 1000)}


# ---- servers ----

def redis_requests(port, *options, requests):
    """Requests a second, as redis-benchmark counts them."""
    done = subprocess.run(["redis-benchmark", "-p", str(port), "-n", str(requests), "--csv", *options], capture_output=True,
                          text=True, timeout=240, check=False)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    if done.returncode or not rows:
        raise services.ServiceError("redis-benchmark: status %d: %s%s" % (done.returncode, done.stdout, done.stderr))
    return float(rows[0]["rps"])


STATISTICS = re.compile(r"system calls (\d+), of them (\d+) without leaving the enclave, OCALLs (\d+)")


def counted(place, server, requests, what):
    """What the enclave counted of its system calls. The figures are left out where it does not count."""
    found = STATISTICS.search(server.output())
    if place.vigil is None or not found:
        return {}
    calls, inside, ocalls = map(int, found.groups())
    return {what + ", system calls per request": calls / requests, what + ", OCALLs per request": ocalls / requests,
            what + ", system calls served inside": 100 * inside / calls}


def redis_pipeline(place):
    requests = 200_000 if place.quick else 1_000_000
    with services.redis(place.prefix("--stats"), place.work, env=place.env) as server:
        services.redis_cli(server.port, "set", "key:__rand_int__", "xxx")
        redis_requests(server.port, "-t", "get", "-P", "16", "-c", "50", requests=requests // 10)
        begin = services.cpu_seconds(server.pid)
        rate = redis_requests(server.port, "-t", "get", "-P", "16", "-c", "50", requests=requests)
        cpu = services.cpu_seconds(server.pid) - begin
    return {"redis GET -P 16": rate, "redis GET -P 16, CPU per request": cpu * 1e6 / requests, **counted(place, server, requests * 1.1, "redis GET -P 16")}


def redis_cpu(place):
    requests = 20_000 if place.quick else 100_000
    with services.redis(place.prefix("--stats"), place.work, env=place.env) as server:
        redis_requests(server.port, "-t", "get", "-c", "20", requests=requests // 10)
        begin = services.cpu_seconds(server.pid)
        rate = redis_requests(server.port, "-t", "get", "-c", "20", requests=requests)
        cpu = services.cpu_seconds(server.pid) - begin
    return {"redis GET -c 20, CPU per request": cpu * 1e6 / requests, "redis GET -c 20": rate,
            **counted(place, server, requests * 1.1, "redis GET -c 20")}


def wrk(url, seconds, connections=16):
    """Requests a second; an error of any kind is an exception."""
    done = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, url], capture_output=True, text=True,
                          timeout=seconds + 30, check=False)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if done.returncode or not rate or "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
        raise services.ServiceError("wrk %s: status %d\n%s%s" % (url, done.returncode, done.stdout, done.stderr))
    return float(rate.group(1))


def nginx(place):
    figures = {}
    with services.nginx(place.prefix(), place.work, env=place.env) as server:
        for name, what in (("1k", "nginx 1 KB"), ("100k", "nginx 100 KB")):
            url = "http://127.0.0.1:%d/%s" % (server.port, name)
            wrk(url, 1)
            begin = services.cpu_seconds(server.pid)
            seconds = 1 if place.quick else 3
            figures[what] = wrk(url, seconds)
            figures[what + ", CPU per request"] = (services.cpu_seconds(server.pid) - begin) * 1e6 / (figures[what] * seconds)
    return figures


# ---- sqlite ----

SQLITE = """
CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
CREATE INDEX i ON t(a);
BEGIN;
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %(rows)d)
  INSERT INTO t SELECT n, (n * 7919) %% 10007, printf('row %%d of the table', n) FROM c;
COMMIT;
SELECT count(*), sum(a), max(length(b)) FROM t;
SELECT a, count(*) FROM t GROUP BY a ORDER BY 2 DESC, 1 LIMIT 5;
UPDATE t SET b = b || '!' WHERE a %% 7 = 0;
DELETE FROM t WHERE a %% 11 = 0;
%(transactions)s
SELECT count(*) FROM t x JOIN t y ON x.a = y.id WHERE y.a < 500;
PRAGMA integrity_check;
"""


def sqlite(place, database):
    script = SQLITE % {"rows": 30_000 if place.quick else 200_000, "transactions": "".join(
        "BEGIN; INSERT INTO t(a, b) VALUES(%d, 'single'); UPDATE t SET a = a + 1 WHERE id = %d; COMMIT;\n" % (i, i + 1)
        for i in range(40 if place.quick else 200))}
    out, wall, _ = place.run("/usr/bin/sqlite3", database, stdin=script)
    if not out.endswith("ok\n"):
        raise services.ServiceError("sqlite3 says " + out[-300:])
    return wall * 1000


def sqlite_file(place):
    database = place.work / "database"
    for name in ("database", "database-journal"):
        (place.work / name).unlink(missing_ok=True)
    return {"sqlite script on a file": sqlite(place, database)}


def sqlite_memory(place):
    return {"sqlite script in memory": sqlite(place, ":memory:")}


# ---- single operations ----

FREE = ("getppid", "syscall", "numbered", "clock_gettime", "read", "open", "pread", "poll", "epoll", "pipe", "thread", "mmap")
PINNED = ("thread", "eventfd")


def micro(place, program, label):
    figures = {}
    for names, pinned in ((FREE, False), (PINNED, True)):
        out, _, _ = place.run(place.build / "bench" / program, *names, pinned=pinned)
        for line in out.splitlines():
            name, ns = line.split()
            figures[label + MICRO[name + "/1" if pinned else name][0]] = float(ns)
    return figures


def micro_dynamic(place):
    return micro(place, "micro", "")


def micro_static(place):
    return micro(place, "micro_static", "static: ")


MICRO = {
    "getppid": ("getppid by libc", {"most": 60}), "syscall": ("a bare syscall instruction", {"at_most": 1}),
    "numbered": ("the same, its number in front", {"at_most": 1}),
    "clock_gettime": ("clock_gettime", {"at_most": 2}), "read": ("read 1 byte of /dev/zero", {"at_most": 1}),
    "open": ("open and close", {"at_most": 2.5}), "pread": ("pread 4 KiB", {"at_most": 2}),
    "poll": ("poll, one ready", {"at_most": 4}), "epoll": ("epoll_wait, one ready", {"at_most": 4}),
    "pipe": ("pipe write and read", {"at_most": 4}), "thread": ("thread create and join", {"at_most": 4}),
    "mmap": ("mmap, touch, munmap 64 KiB", {"at_most": 2}),
    "thread/1": ("thread create and join, one CPU", {"at_most": 5}), "eventfd/1": ("eventfd ping-pong, one CPU", {"at_most": 5}),
}


# ---- start and memory ----

def start(place, what, *program):
    size = ("--enclave-size", "256M")
    place.run(*program, options=size)
    times = sorted(place.run(*program, options=size)[1] * 1000 for _ in range(3 if place.quick else 7))
    return {what: times[len(times) // 2]}


def start_static(place):
    return start(place, "start a static hello world", place.build / "tests/programs/hello")


def start_dynamic(place):
    return start(place, "start a dynamic hello world", place.build / "bench/hello_dynamic")


def start_python(place):
    return start(place, "start python3 -c pass", "/usr/bin/python3", "-c", "pass")


def memory_kib(pid, name):
    """From smaps_rollup. Rss counts a page as often as it is mapped (the software SGX maps the enclave twice), Pss once."""
    text = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
    return int(re.search(r"^%s:\s+(\d+) kB" % name, text, re.M).group(1))


def redis_memory(place):
    keys = 10_000 if place.quick else 100_000
    with services.redis(place.prefix(), place.work, "--save", "", "--enable-debug-command", "yes", env=place.env) as server:
        time.sleep(0.3)
        rest = {name: memory_kib(server.pid, name) / 1024 for name in ("Pss", "Rss")}
        services.redis_cli(server.port, "debug", "populate", keys, "key", 1000)
        full = {name: memory_kib(server.pid, name) / 1024 for name in ("Pss", "Rss")}
    figures = {"redis at rest, %s" % name: value for name, value in rest.items()}
    figures.update({"redis with %d MB of data, %s" % (keys // 1000, name): value for name, value in full.items()})
    return figures


def figures():
    """{name: Figure}"""
    table = {
        "python loop": Figure("s", at_most=1.03), "python loop, CPU of the process": Figure("s"),
        "lua loop": Figure("s", at_most=1.03), "lua loop, CPU of the process": Figure("s"),
        "openssl speed sha256, a block of 16 KiB": Figure("us", at_most=1.03),
        "redis GET -P 16": Figure("/s", True, at_least=0.70),
        "redis GET -P 16, CPU per request": Figure("us"),
        "redis GET -c 20, CPU per request": Figure("us", at_most=1.25), "redis GET -c 20": Figure("/s", True),
        "nginx 1 KB": Figure("/s", True, at_least=0.80), "nginx 1 KB, CPU per request": Figure("us"),
        "nginx 100 KB": Figure("/s", True, at_least=0.70), "nginx 100 KB, CPU per request": Figure("us"),
        "sqlite script on a file": Figure("ms", at_most=1.10), "sqlite script in memory": Figure("ms", at_most=1.05),
        "start a static hello world": Figure("ms", most=10), "start a dynamic hello world": Figure("ms", most=20),
        "start python3 -c pass": Figure("ms", most_more=40),
        "redis at rest, Pss": Figure("MiB", most_more=20), "redis at rest, Rss": Figure("MiB"),
        "redis with 10 MB of data, Pss": Figure("MiB"), "redis with 10 MB of data, Rss": Figure("MiB"),
        "redis with 100 MB of data, Pss": Figure("MiB", at_most=1.3), "redis with 100 MB of data, Rss": Figure("MiB"),
    }
    for name, limit in MICRO.values():
        table[name] = Figure("ns", **limit)
        table["static: " + name] = Figure("ns", **limit)
    for name in ("redis GET -P 16", "redis GET -c 20"):
        table[name + ", system calls per request"] = Figure("", notify=False)
        table[name + ", OCALLs per request"] = Figure("", notify=False)
        table[name + ", system calls served inside"] = Figure("%", notify=False)
    return table


WORKLOADS = {
    "python": python_loop, "lua": lua_loop, "openssl": sha256, "redis-pipeline": redis_pipeline, "redis-cpu": redis_cpu,
    "nginx": nginx, "sqlite-file": sqlite_file, "sqlite-memory": sqlite_memory, "micro": micro_dynamic,
    "micro-static": micro_static, "start-static": start_static, "start-dynamic": start_dynamic, "start-python": start_python,
    "redis-memory": redis_memory,
}
