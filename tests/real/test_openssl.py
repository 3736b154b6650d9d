# SPDX-License-Identifier: Apache-2.0
"""openssl: digests, ciphers and keys natively and inside; TLS handshakes with either end in an enclave, and with both."""
import re

import pytest

import services
from conftest import FULL, SIZE, assert_same, execute, once
from services import OPENSSL

LIST = [
    "dgst -sha256 data", "dgst -sha3-512 data", "dgst -blake2b512 data", "dgst -hmac key data",
    "enc -aes-256-ctr -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff -iv 000102030405060708090a0b0c0d0e0f -in data",
    "enc -chacha20 -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff -iv 000102030405060708090a0b0c0d0e0f -in data",
    "enc -aes-128-cbc -pbkdf2 -iter 2000 -S 0102030405060708 -k secret -in data", "prime 1000003", "list -digest-algorithms",
    "x509 -in cert.pem -noout -text", "pkey -in key.pem -pubout", "verify -CAfile cert.pem cert.pem",
    "dgst -sha256 -sign rsa.pem data", "pkeyutl -derive -inkey key.pem -peerkey peer.pem", "ciphers -v ECDHE+AESGCM",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("openssl")
    (directory / "data").write_bytes(bytes(i * 7919 & 255 for i in range(100000)))
    for line in ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem", "pkey -in key.pem -pubout -out peer.pem",
                 "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem",
                 "req -x509 -new -key key.pem -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost -out cert.pem"):
        done = execute([OPENSSL, *line.split()], cwd=directory)
        assert done.status == 0, done
    return directory


def test_commands(vigil, files):
    for index, line in enumerate(LIST):
        if FULL or index % 4 == 2 * vigil.edmm + vigil.aexnotify:
            native = execute([OPENSSL, *line.split()], env=vigil.env, cwd=files)
            assert native.status == 0, (line, native)
            assert_same(vigil.run(OPENSSL, *line.split(), options=SIZE, cwd=files), native)


@once
def test_keys_made_inside(vigil, files, tmp_path):
    """Of randomness that the enclave has, valid natively, and never the same."""
    keys = []
    for name in ("one", "two"):
        done = vigil.run(OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", tmp_path / name, options=SIZE)
        assert done.status == 0, done
        assert execute([OPENSSL, "pkey", "-in", tmp_path / name, "-noout", "-check"]).status in (0, 1)
        keys.append(execute([OPENSSL, "pkey", "-in", tmp_path / name, "-noout", "-text"]).stdout)
    assert b"ED25519" in keys[0] and keys[0] != keys[1]


@once
def test_speed(vigil):
    algorithms = ["sha256", "sha512", "aes-128-gcm", "rsa2048", "ecdsap256", "ed25519"] if FULL else ["sha256"]
    for algorithm in algorithms:
        words = ["-evp", algorithm] if "aes" in algorithm else [algorithm]
        done = vigil.run(OPENSSL, "speed", "-seconds", "1", "-bytes", "16384", *words, options=SIZE, timeout=120)
        assert done.status == 0 and re.search(rb"\d+\.\d", done.stdout), done


def handshake(prefix_server, prefix_client, files, version, env):
    port = services.free_port()
    argv = [*prefix_server, OPENSSL, "s_server", "-accept", "127.0.0.1:%d" % port, "-key", "key.pem", "-cert", "cert.pem", "-www", "-quiet"]
    with services.Service(argv, port, files, env) as server:
        done = execute([*prefix_client, OPENSSL, "s_client", "-connect", "127.0.0.1:%d" % port, "-servername", "localhost", "-CAfile",
                        "cert.pem", "-verify_return_error", version, "-ign_eof"], stdin=b"GET / HTTP/1.0\r\n\r\n", cwd=files, env=env,
                       timeout=60)
        text = done.stdout.decode(errors="replace")
        assert done.status == 0 and "Verify return code: 0 (ok)" in text and "HTTP/1.0 200 ok" in text, (done, server.output())
        server.process.kill()
    return re.search(r"Cipher is (\S+)", text).group(1)


@once
@pytest.mark.parametrize("ends", ["server", "client", "both"])
def test_handshake(vigil, inside, files, ends):
    for version in ("-tls1_3", "-tls1_2"):
        native = handshake([], [], files, version, vigil.env)
        assert handshake(inside if ends != "client" else [], inside if ends != "server" else [], files, version, vigil.env) == native
