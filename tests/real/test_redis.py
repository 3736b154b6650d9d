# SPDX-License-Identifier: Apache-2.0
"""redis-server: the whole of redis-benchmark, commands that answer as natively, persistence by snapshot and by log, from which
the native server reads the same data and the other way round."""
import csv
import signal
import subprocess
import threading
import time

import pytest

import services
from conftest import FULL, once
from services import redis, redis_cli


REQUESTS = 100000 if FULL else 300


def benchmark(port, requests):
    done = subprocess.run(["redis-benchmark", "-p", str(port), "-n", str(requests), "-c", "50", "--csv"], capture_output=True, text=True,
                          timeout=900, check=False)
    assert done.returncode == 0 and "rror" not in done.stdout + done.stderr, done
    return {row["test"]: float(row["rps"]) for row in csv.DictReader(done.stdout.splitlines())}


def left_behind(port):
    """What the benchmark's commands have made, which does not depend on time."""
    return [redis_cli(port, *words.split()) for words in (
        "get counter:__rand_int__", "llen mylist", "scard myset", "hlen myhash", "zcard myzset", "dbsize")]


def test_benchmark(inside, vigil, tmp_path):
    made = {}
    for name, prefix in (("native", []), ("inside", inside)):
        (tmp_path / name).mkdir()
        with redis(prefix, tmp_path / name, env=vigil.env) as server:
            rates = benchmark(server.port, REQUESTS)
            made[name] = left_behind(server.port), sorted(rates)
            assert min(rates.values()) > 0 and len(rates) >= 20
            assert server.process.poll() is None
        assert server.process.returncode == 0, server.output()
    assert made["inside"] == made["native"]


COMMANDS = """
SET a 1
INCRBY a 41
APPEND a xyz
GETRANGE a 0 -1
INCR a
LPUSH l 1 2 3 4
LRANGE l 0 -1
LINSERT l BEFORE 2 middle
HSET h f 1 g 2 h 3
HINCRBYFLOAT h f 0.5
HGETALL h
SADD s a b c
SADD t b c d
SINTERCARD 2 s t
SMISMEMBER s a d
ZADD z 1 one 2 two 3 three
ZRANGEBYSCORE z 1 (3 WITHSCORES
ZINCRBY z 10 one
XADD x 1-1 k v
XADD x 1-2 k w
XRANGE x - +
XGROUP CREATE x g 0
XREADGROUP GROUP g me COUNT 1 STREAMS x >
SETBIT b 100 1
BITCOUNT b
PFADD p a b c d
PFCOUNT p
GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEODIST geo Palermo Catania km
EXPIRE a 1000
TTL a
OBJECT ENCODING l
EVAL "local n = 0 for i = 1, 1000 do n = n + redis.call('INCR', KEYS[1]) end return n" 1 counter
MULTI
INCR counter
GET counter
EXEC
CONFIG GET save
DEBUG DIGEST
SORT l ALPHA DESC
COPY z z2
DUMP a
NOSUCHCOMMAND
GET l
""".strip()


@once
def test_commands(inside, vigil, tmp_path):
    answers = []
    for name, prefix in (("native", []), ("inside", inside)):
        (tmp_path / name).mkdir()
        with redis(prefix, tmp_path / name, "--enable-debug-command", "local", "--save", "", env=vigil.env) as server:
            answers.append(redis_cli(server.port, stdin=COMMANDS))
    assert answers[1] == answers[0] and "166.2742" in answers[0] and "500500" in answers[0]


def fill(port, keys):
    redis_cli(port, "debug", "populate", keys, "key", 200)
    redis_cli(port, stdin="".join("RPUSH list %d\nZADD zset %d m%d\nHSET hash f%d %d\nSADD set %d\n" % (i, i * 7 % 101, i, i, i, i * 3)
                                  for i in range(300)))


def digest(port):
    services.redis_loaded(port)
    return redis_cli(port, "debug", "digest"), redis_cli(port, "dbsize")


DEBUG = ["--enable-debug-command", "local", "--save", ""]


@once
def test_snapshot(inside, vigil, tmp_path):
    keys = 50000 if FULL else 2000
    with redis(inside, tmp_path, *DEBUG, env=vigil.env) as server:
        fill(server.port, keys)
        redis_cli(server.port, "save")
        digests = [digest(server.port)]
    assert server.process.returncode == 0 and str(keys + 4) in digests[0][1]
    for prefix in (inside, []):
        with redis(prefix, tmp_path, *DEBUG, env=vigil.env) as server:
            digests.append(digest(server.port))
    with redis([], tmp_path, *DEBUG, env=vigil.env) as server:
        redis_cli(server.port, "set", "from", "outside")
        redis_cli(server.port, "save")
        outside = digest(server.port)
    with redis(inside, tmp_path, *DEBUG, env=vigil.env) as server:
        assert digest(server.port) == outside != digests[0]
    assert digests[0] == digests[1] == digests[2]


@once
@pytest.mark.parametrize("fsync", ["always", "everysec"] if FULL else ["always"])
def test_log(inside, vigil, tmp_path, fsync):
    """Append-only file; the server is killed, so what is there is what was written."""
    options = ["--enable-debug-command", "local", "--save", "", "--appendonly", "yes", "--appendfsync", fsync]
    with redis(inside, tmp_path, *options, env=vigil.env) as server:
        fill(server.port, 0)
        redis_cli(server.port, stdin="SET a 1\nINCR a\nDEL set\n")
        want = digest(server.port)
        time.sleep(1.5 if fsync == "everysec" else 0)
        server.kill()
    for prefix in (inside, []):
        with redis(prefix, tmp_path, *options, env=vigil.env) as server:
            assert digest(server.port) == want and redis_cli(server.port, "get", "a") == "2\n"


@once
def test_background_save_is_refused_and_says_why(inside, vigil, tmp_path):
    """It needs fork, which an enclave cannot have. The server goes on."""
    with redis(inside, tmp_path, *DEBUG, env=vigil.env) as server:
        redis_cli(server.port, "set", "a", "1")
        assert "ERR" in redis_cli(server.port, "bgsave")
        assert redis_cli(server.port, "get", "a") == "1\n"
        assert "Can't save in background: fork" in server.output()


@once
def test_blocking_and_published(inside, vigil, tmp_path):
    """Clients that wait are woken, and in order."""
    with redis(inside, tmp_path, env=vigil.env) as server:
        taken = []
        waiting = [threading.Thread(target=lambda: taken.append(redis_cli(server.port, "blpop", "queue", 20))) for _ in range(3)]
        for thread in waiting:
            thread.start()
        deadline = time.monotonic() + 20
        while "blocked_clients:3" not in redis_cli(server.port, "info", "clients") and time.monotonic() < deadline:
            time.sleep(0.05)
        redis_cli(server.port, "rpush", "queue", "a", "b", "c")
        for thread in waiting:
            thread.join(30)
        assert sorted(taken) == ["queue\na\n", "queue\nb\n", "queue\nc\n"]
        with subprocess.Popen(["redis-cli", "-p", str(server.port), "subscribe", "news"], stdout=subprocess.PIPE, text=True) as reader:
            for _ in range(3):
                reader.stdout.readline()
            assert redis_cli(server.port, "publish", "news", "hello") == "1\n"
            assert [reader.stdout.readline() for _ in range(3)] == ["message\n", "news\n", "hello\n"]
            reader.kill()


@once
def test_idle(vigil, tmp_path):
    """A server that has nothing to do wakes up for its own ten timer events a second and for nothing else."""
    used = {}
    for name, prefix in (("native", []), ("inside", vigil.argv(hz=0, options=["--enclave-size", "1G"]))):
        (tmp_path / name).mkdir()
        with redis(prefix, tmp_path / name, env=vigil.env) as server:
            time.sleep(0.5)
            begin = services.cpu_seconds(server.pid)
            time.sleep(2)
            used[name] = services.cpu_seconds(server.pid) - begin
    assert used["inside"] < used["native"] + 0.05, used


@once
def test_ends_by_signal(inside, vigil, tmp_path):
    """SIGTERM is the program's: it saves and leaves by itself."""
    with redis(inside, tmp_path, "--save", "3600 1", "--enable-debug-command", "local", env=vigil.env) as server:
        redis_cli(server.port, "set", "kept", "yes")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert "DB saved on disk" in server.output() and (tmp_path / "dump.rdb").exists()
