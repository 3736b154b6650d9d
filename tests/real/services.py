# SPDX-License-Identifier: Apache-2.0
"""Servers of Debian for tests and benchmarks: started on 127.0.0.1, waited for, stopped by their process id.

A `prefix` is what stands before the program: nothing natively, `vigil run OPTIONS --` for an enclave."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

REDIS = "/usr/bin/redis-server"
NGINX = "/usr/sbin/nginx"
OPENSSL = "/usr/bin/openssl"


class ServiceError(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    """CPU time that a process with all its threads has used, to the nanosecond."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


class Service:
    """A server that listens on a TCP port. Use it in a with statement, which ends it."""

    def __init__(self, argv, port, directory, env=None, stop=signal.SIGTERM, start_timeout=30):
        self.argv, self.port, self.stop = [str(word) for word in argv], port, stop
        self.log = pathlib.Path(directory) / ("log-%d" % port)
        self.start_timeout = start_timeout
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=directory, env=env)
        self.pid = self.process.pid

    def __enter__(self):
        try:
            self.wait_until_it_listens()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *exception):
        self.end()

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_until_it_listens(self):
        deadline = time.monotonic() + self.start_timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServiceError("ended with status %d before it listened: %s\n%s" % (
                    self.process.returncode, " ".join(self.argv), self.output()[-3000:]))
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.01)
        raise ServiceError("does not listen on %d after %d s: %s\n%s" % (
            self.port, self.start_timeout, " ".join(self.argv), self.output()[-3000:]))

    def end(self, timeout=20):
        """Asks it to end; returns its exit status. One that does not end is killed, and that is an error."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServiceError("no end %d s after signal %d: %s\n%s" % (
                timeout, self.stop, " ".join(self.argv), self.output()[-3000:])) from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def redis(prefix, directory, *options, port=None, env=None):
    port = port or free_port()
    options = options or ("--save", "")
    return Service([*prefix, REDIS, "--port", port, "--bind", "127.0.0.1", "--daemonize", "no", "--dir", directory, *options],
                   port, directory, env)


def redis_cli(port, *words, stdin=None, timeout=60):
    done = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(port), *map(str, words)], capture_output=True, errors="backslashreplace",
                          input=stdin, timeout=timeout, check=False)
    if done.returncode:
        raise ServiceError("redis-cli %s: status %d\n%s%s" % (" ".join(map(str, words)), done.returncode, done.stdout, done.stderr))
    return done.stdout


def redis_loaded(port, timeout=30):
    """It listens before it has read its files."""
    deadline = time.monotonic() + timeout
    while "loading:0" not in redis_cli(port, "info", "persistence"):
        if time.monotonic() > deadline:
            raise ServiceError("redis on port %d is still loading after %d s" % (port, timeout))
        time.sleep(0.02)


NGINX_CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
error_log stderr notice;
pid %(directory)s/nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path %(directory)s/t1;
    proxy_temp_path %(directory)s/t2;
    fastcgi_temp_path %(directory)s/t3;
    uwsgi_temp_path %(directory)s/t4;
    scgi_temp_path %(directory)s/t5;
    server { listen 127.0.0.1:%(port)d; root %(directory)s/www; }
}
"""


def nginx(prefix, directory, env=None):
    """Serves /1k and /100k, of random bytes."""
    directory, port = pathlib.Path(directory), free_port()
    www = directory / "www"
    www.mkdir(exist_ok=True)
    for name, size in (("1k", 1024), ("100k", 100 * 1024)):
        if not (www / name).exists():
            (www / name).write_bytes(os.urandom(size))
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION % {"directory": directory, "port": port})
    return Service([*prefix, NGINX, "-p", directory, "-c", configuration, "-e", "stderr"], port, directory, env, signal.SIGQUIT)
