# SPDX-License-Identifier: Apache-2.0
"""nginx with master_process off: under wrk without an error, and with the answers of a native one."""
import hashlib
import http.client
import re
import subprocess
import time

import pytest

import services
from conftest import FULL, once
from services import nginx


SECONDS = 10 if FULL else 1


def wrk(port, name, connections):
    done = subprocess.run(["wrk", "-t2", "-c%d" % connections, "-d%ds" % SECONDS, "http://127.0.0.1:%d/%s" % (port, name)],
                          capture_output=True, text=True, timeout=SECONDS + 40, check=False)
    assert done.returncode == 0 and "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))


def test_under_load(inside, vigil, tmp_path):
    with nginx(inside, tmp_path, env=vigil.env) as server:
        for name, connections in (("1k", 64), ("100k", 16)):
            assert wrk(server.port, name, connections) > 0
    assert server.process.returncode == 0, server.output()
    bad = [line for line in server.output().splitlines() if re.search(r"\[(error|crit|alert|emerg)\]", line)]
    assert not bad, bad


def answers(port):
    """Status, some headers and a digest of the body, of several requests over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    found = []
    for method, path, headers in (
            ("GET", "/1k", {}), ("HEAD", "/100k", {}), ("GET", "/100k", {}), ("GET", "/no-such", {}), ("GET", "/100k", {"Range": "bytes=1000-70000"}),
            ("GET", "/100k", {"Range": "bytes=0-9,50000-50009"}), ("POST", "/1k", {}), ("GET", "/../etc/passwd", {}), ("GET", "/1k?x=%20", {}),
            ("GET", "/1k", {"If-None-Match": "*"})):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        multipart = "multipart" in (answer.getheader("Content-Type") or "")  # with a random boundary
        found.append((method, path, answer.status, answer.getheader("Content-Length"), answer.getheader("Content-Range"),
                      None if multipart else hashlib.sha256(body).hexdigest()))
    connection.close()
    return found


@once
def test_answers(inside, vigil, tmp_path):
    found = []
    for prefix in ([], inside):
        with nginx(prefix, tmp_path, env=vigil.env) as server:
            found.append(answers(server.port))
    assert found[1] == found[0]
    assert found[0][2][5] == hashlib.sha256((tmp_path / "www" / "100k").read_bytes()).hexdigest()
    assert [row[2] for row in found[0]][:6] == [200, 200, 200, 404, 206, 206]


@once
def test_idle(vigil, tmp_path):
    """Nothing to do, no CPU time: it waits in one epoll_wait, outside."""
    with nginx(vigil.argv(hz=0, options=["--enclave-size", "1G"]), tmp_path, env=vigil.env) as server:
        time.sleep(0.5)
        begin = services.cpu_seconds(server.pid)
        time.sleep(1.5)
        assert services.cpu_seconds(server.pid) - begin < 0.005


@once
@pytest.mark.parametrize("connections", [200])
def test_many_connections(inside, vigil, tmp_path, connections):
    """All open at the same time, each answered twice."""
    with nginx(inside, tmp_path, env=vigil.env) as server:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(connections)]
        for client in clients:
            client.connect()
        for _ in range(2):
            for client in clients:
                client.request("GET", "/1k")
            for client in clients:
                answer = client.getresponse()
                assert answer.status == 200 and len(answer.read()) == 1024
        for client in clients:
            client.close()
