# SPDX-License-Identifier: Apache-2.0
"""examples/: the line that each README gives, from a copy of the repository's examples whose servers listen elsewhere."""
import re
import shutil
import subprocess
import urllib.request

import pytest

import services
from conftest import BUSYBOX, ROOT, VIGIL, execute, once

HERE = ROOT / "examples"
NAMES = ["busybox", "lua", "nginx", "openssl", "python", "redis", "sqlite"]


def readme_line(name):
    """(arguments of vigil run, file for standard input or None)"""
    found = re.search(r"`build/cli/vigil run (examples/[^`<]+?)(?: < ([^`]+))?`", (HERE / name / "README.md").read_text())
    assert found, "examples/%s/README.md has no line to run it" % name
    return found.group(1).split(), found.group(2)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(HERE, tmp_path / "examples")
    return tmp_path


def command(vigil, name):
    words, stdin = readme_line(name)
    return [VIGIL, "run", *vigil.cell(), *words], stdin


def run(vigil, copy, name):
    argv, stdin = command(vigil, name)
    return execute(argv, stdin=(copy / stdin).read_bytes() if stdin else b"", cwd=copy, env=vigil.env)


@pytest.mark.outside
def test_all_are_tested():
    """And each has a manifest that says which Debian package the program is of."""
    assert sorted(path.name for path in HERE.iterdir() if (path / "README.md").exists()) == sorted([*NAMES, "aex-handler"])
    for name in NAMES:
        text = (HERE / name / (name + ".manifest")).read_text()
        assert "libos.entrypoint" in text and "experimental_enable_aex_notify = true" in text


WANT = {
    "lua": (b"92 ways for 8 queens, Lua 5.4\n", 0), "python": (b"9592 primes up to 100000, Python 3.", 0),
    "sqlite": (b"Ada|70\nGrace|80\nok\n", 0), "openssl": (b"sha256", 0),
}


@once
@pytest.mark.parametrize("name", WANT)
def test_program(vigil, copy, name):
    if name == "sqlite":  # the database of the example is in /tmp
        text = (copy / "examples/sqlite/sqlite.manifest").read_text()
        (copy / "tmp").mkdir()
        (copy / "examples/sqlite/sqlite.manifest").write_text(text.replace("file:/tmp", "file:%s/tmp" % copy))
    done = run(vigil, copy, name)
    assert WANT[name][0] in done.stdout and done.status == WANT[name][1], done
    if name == "sqlite":
        native = subprocess.run(["sqlite3", copy / "tmp/example.db", "SELECT sum(balance) FROM account"], capture_output=True, timeout=20)
        assert native.stdout == b"150\n"


@once
def test_busybox(vigil, copy):
    done = run(vigil, copy, "busybox")
    assert done.stdout == execute([BUSYBOX, "sha256sum", "/bin/busybox"]).stdout and done.status == 0, done


def listening_elsewhere(copy, name, file, port):
    changed = services.free_port()
    path = copy / "examples" / name / file
    text = path.read_text()
    assert str(port) in text
    path.write_text(text.replace(str(port), str(changed)).replace("/tmp", str(copy)))
    manifest = copy / "examples" / name / (name + ".manifest")
    manifest.write_text(manifest.read_text().replace("/tmp", str(copy)))
    return changed


@once
def test_redis(vigil, copy):
    port = listening_elsewhere(copy, "redis", "redis.conf", 6379)
    with services.Service(command(vigil, "redis")[0], port, copy, vigil.env) as server:
        assert services.redis_cli(port, "set", "greeting", "hello") == "OK\n"
        assert services.redis_cli(port, "get", "greeting") == "hello\n"
        assert services.redis_cli(port, "save") == "OK\n"
    assert server.process.returncode == 0 and (copy / "vigil-redis.rdb").exists(), server.output()


@once
def test_nginx(vigil, copy):
    port = listening_elsewhere(copy, "nginx", "nginx.conf", 8080)
    with services.Service(command(vigil, "nginx")[0], port, copy, vigil.env) as server:
        with urllib.request.urlopen("http://127.0.0.1:%d/" % port, timeout=20) as answer:
            assert answer.read() == (HERE / "nginx/www/index.html").read_bytes()
    assert server.process.returncode == 0, server.output()
