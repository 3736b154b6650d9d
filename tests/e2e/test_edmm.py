# SPDX-License-Identifier: Apache-2.0
"""Dynamic memory (EDMM): programs see nothing of it, pages that are given back are gone, threads are not limited by what was
there at the start, and when no page is left it is the program that hears of it."""
import re
from dataclasses import dataclass

import pytest

import corpus
from conftest import BUSYBOX, EVERY_RATE, PROGRAMS, assert_same

EDMM = ["--enclave-size", "4G", "--max-threads", "4"]

pytestmark = pytest.mark.cells(edmm=1)


@pytest.fixture(scope="module")
def edmm(vigil):
    """For tests of the cells with EDMM 1."""
    return vigil


@dataclass
class Pages:
    start: int
    most: int
    exit: int
    added: int
    removed: int
    epc: dict


def numbers(text, pattern):
    found = re.findall(pattern, text)
    assert len(found) == 1, "not once: %s\n%s" % (pattern, text)
    return [int(n) for n in found[0]]


def run(vigil, name, *args, options=EDMM, **more):
    done = vigil.run(PROGRAMS / name, *args, options=["--stats", *options], **more)
    assert_same(done, vigil.native(str(PROGRAMS / name), *map(str, args)))
    assert done.status == 0, done
    return pages(done)


def pages(done):
    enclave = numbers(done.stderr, r"vigil: stats: memory: pages committed (\d+) at start, (\d+) at most, (\d+) at exit; "
                                   r"added (\d+), removed (\d+)")
    epc = numbers(done.stderr, r"vigil: stats: EPC: valid (\d+), pending (\d+), trimmed (\d+), added (\d+), removed (\d+)")
    return Pages(*enclave, epc=dict(zip(("valid", "pending", "trimmed", "added", "removed"), epc)))


def check_balance(p):
    """Enclave and processor have counted the same, and nothing is left half-way."""
    assert p.added - p.removed == p.exit, p
    assert p.start <= p.most <= p.added and p.exit <= p.most, p
    assert (p.epc["added"], p.epc["removed"]) == (p.added, p.removed), p
    assert p.epc["pending"] == 0 and p.epc["trimmed"] == 0, p


# ---- as natively ----

PROGRAM_ARGS = {"edmm_memory": [], "edmm_access": [], "threads_256": [], "sparse": [0.25, 4, 2]}


@EVERY_RATE
@pytest.mark.parametrize("name", PROGRAM_ARGS)
def test_as_natively(edmm, name, hz):
    check_balance(run(edmm, name, *PROGRAM_ARGS[name], hz=hz))


@pytest.mark.parametrize("name,args", [("edmm_memory_pie", []), ("edmm_access_pie", []), ("threads_256_musl", []),
                                       ("sparse_musl", [0.25, 3, 2]), ("malloc_stress", []), ("memory", []), ("threads_many", []),
                                       ("bad_pointers", []), ("signals", []), ("fault_context", []), ("storm", [])])
def test_others(edmm, name, args):
    check_balance(run(edmm, name, *args, hz=5000))


def test_pages_and_events(edmm):
    """A thread that takes a page as an event comes for it. It did not in every fifth run, when that was wrong."""
    for _ in range(12):
        check_balance(run(edmm, "storm", hz=5000))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return corpus.make(tmp_path_factory.mktemp("files") / "corpus")


@pytest.mark.rates(5000)
@pytest.mark.parametrize("command", ["sort -n -r table", "gzip -c binary", "gunzip -c text.gz", "awk {n[$1]++}END{print(length(n))} table",
                                     "tar -c -f - tree", "sha256sum binary text", "grep -r -c file tree", "sed s/e/E/g text"])
def test_busybox(edmm, files, command, hz):
    native = edmm.compare(BUSYBOX, *command.split(), cwd=files, hz=hz, options=EDMM)
    assert native.status == 0 and native.stdout, native


@pytest.mark.cells(edmm=0)
@pytest.mark.parametrize("name", PROGRAM_ARGS)
def test_without_dynamic_memory(vigil, name):
    native = vigil.compare(PROGRAMS / name, *PROGRAM_ARGS[name],
                           options=["--enclave-size", "4G", "--max-threads", "300"])
    assert native.status == 0


def test_eight_gigabytes(edmm):
    p = run(edmm, "sparse", 8, 8, 1, hz=5000, options=["--enclave-size", "16G"])
    check_balance(p)
    assert p.most - p.start > 32768 // 2 and p.most < (8 << 18) // 2, "one page in 64 was used: %s" % p
    assert p.exit - p.start < 2000, "all was unmapped: %s" % p


@pytest.mark.parametrize("name,how", [("edmm_memory", "unmapped"), ("edmm_memory", "protected"), ("edmm_memory", "code"),
                                      ("edmm_access", "stack"), ("edmm_access", "frame")])
def test_still_dies(edmm, name, how):
    native = edmm.compare(PROGRAMS / name, "--die", how, options=EDMM)
    assert native.status == 139


# Interrupted every now and then, counted in instructions: first uses by the program, by system calls, by signal frames. The
# way back to the program is longer with AEX-Notify, and starts again; so it is interrupted less often, and the times of the
# two are not compared.
SECTIONS = pytest.mark.parametrize("section", ["atomic operations", "stack instructions", "races"])


def interrupted(edmm, section, mean):
    native = edmm.compare(PROGRAMS / "edmm_access", "--thread", "--raced", 40, "--only", section, hz=0,
                          options=[*EDMM, "--aex", "threads:7,%d" % mean])
    assert native.status == 0


@SECTIONS
@pytest.mark.cells(edmm=1, aexnotify=1)
def test_interrupted_and_notified(edmm, section):
    interrupted(edmm, section, 600)


@SECTIONS
@pytest.mark.cells(edmm=1, aexnotify=0)
def test_interrupted(edmm, section):
    interrupted(edmm, section, 60)


# ---- pages come and go ----

def test_nothing_is_committed_that_is_not_used(edmm):
    small, large = (run(edmm, "hello", options=["--enclave-size", size]) for size in ("256M", "64G"))
    for p in (small, large):
        check_balance(p)
        assert p.most < 2048, p
    assert large.start == small.start and large.epc["valid"] <= small.epc["valid"] + 64, (small, large)


def test_moving_commits_nothing(edmm):
    native = edmm.native(str(PROGRAMS / "edmm_memory"), "--only", "moved")
    done = edmm.run(PROGRAMS / "edmm_memory", "--only", "moved", options=["--stats", *EDMM])
    assert_same(done, native)
    p = pages(done)
    assert p.most - p.start < 4000, "the area has 49152 pages, of which a few are used: %s" % p


@pytest.mark.parametrize("name,once,often", [("sparse", [0.25, 4, 1], [0.25, 4, 3]), ("sparse", [0.125, 1, 1], [0.125, 1, 7]),
                                             ("threads_256", [40, 1], [40, 4])])
def test_no_page_stays(edmm, name, once, often):
    a, b = run(edmm, name, *once), run(edmm, name, *often)
    for p in (a, b):
        check_balance(p)
    assert b.added > a.added or name == "threads_256", (a, b)  # there was something to give back
    assert a.exit == b.exit and a.epc["valid"] == b.epc["valid"], (a, b)


# ---- threads ----

def test_threads_beyond_the_start_value(edmm):
    p = run(edmm, "threads_256", 300, options=["--max-threads", "1", "--enclave-size", "4G"])
    check_balance(p)


@pytest.mark.cells(edmm=0)
def test_static_threads_are_limited(vigil):
    done = vigil.run(PROGRAMS / "threads_256", options=["--max-threads", "4"])
    assert (done.status, done.stdout) == (11, b"all at once: 3, then EAGAIN\n"), done


# ---- nothing left ----

@pytest.fixture(scope="module")
def base(edmm):
    """Megabytes of EPC that the program needs before it begins."""
    return (run(edmm, "epc_exhaust", "populate", 1, 1).epc["valid"] >> 8) + 2


def exhaust(edmm, base, how, amount, room, **more):
    return edmm.run(PROGRAMS / "epc_exhaust", how, amount, 4,
                     options=["--stats", *EDMM, "--epc-size", "%dM" % (base + room)], **more)


@pytest.mark.parametrize("how,amount,says", [("populate", 64, b"populate: done"), ("advise", 64, b"advise: ENOMEM"),
                                             ("mlock", 64, b"mlock: ENOMEM"), ("lazy", 64, b"lazy: SIGBUS"),
                                             ("threads", 128, b"threads: EAGAIN")])
def test_exhaustion(edmm, base, how, amount, says):
    done = exhaust(edmm, base, how, amount, 10)
    assert (done.status, done.stdout) == (0, how.encode() + b"\n" + says + b"\ngoes on\n"), done
    p = pages(done)
    check_balance(p)
    assert p.most > 10 << 8 and p.epc["valid"] <= base + 10 << 8, p


@pytest.mark.parametrize("how,amount", [("populate", 4), ("advise", 4), ("mlock", 4), ("lazy", 4), ("threads", 4)])
def test_enough_is_enough(edmm, base, how, amount):
    done = exhaust(edmm, base, how, amount, 10)
    assert_same(done, edmm.native(str(PROGRAMS / "epc_exhaust"), how, str(amount), "4"))
    assert done.status == 0, done


def test_unhandled_exhaustion_ends_the_program(edmm, base):
    done = exhaust(edmm, base, "die", 64, 10)
    assert (done.status, done.stdout) == (128 + 7, b"die\n"), done  # SIGBUS


@pytest.mark.parametrize("kilobytes", [512, 768, 1024, 1200])
def test_too_little_to_begin(edmm, kilobytes):
    """Refused by the machine, or too little to load the program: it says that memory is what is missing."""
    done = edmm.run(PROGRAMS / "hello", options=[*EDMM, "--epc-size", kilobytes << 10])
    assert done.status in (4, 126) and not done.stdout, done
    assert re.search("memory|EPC", done.stderr.split("software SGX: this run", 1)[-1]), done


# ---- manifest ----

MANIFEST = """\
loader.entrypoint = "file:{hello}"
libos.entrypoint = "{hello}"
fs.mounts = [ {{ path = "{hello}", uri = "file:{hello}" }} ]
sgx.allowed_files = [ "file:{hello}" ]
sgx.debug = true
sgx.use_exinfo = true
sgx.enclave_size = "1G"
sgx.max_threads = 2
{more}
"""


def manifest(tmp_path, name, more):
    path = tmp_path / (name + ".manifest")
    path.write_text(MANIFEST.format(hello=PROGRAMS / "hello", more=more))
    return path


def test_manifest(edmm, tmp_path):
    measured = set()
    for value in ("true", "false"):
        path = manifest(tmp_path, value, "sgx.edmm_enable = " + value)
        done = edmm.command("run", "--stats", path)
        assert_same(done, edmm.native(str(PROGRAMS / "hello")))
        if value == "true":
            check_balance(pages(done))
        info = edmm.command("info", path)
        measured.add(re.search(r"(?i)mrenclave\D*?([0-9a-f]{64})", info.stdout.decode() + info.stderr).group(1))
    assert len(measured) == 2
    done = edmm.command("run", manifest(tmp_path, "bad", 'sgx.edmm_enable = "yes"'))
    assert done.status == 3 and "sgx.edmm_enable" in done.stderr, done


def test_a_signed_image_keeps_it(edmm, tmp_path):
    path = manifest(tmp_path, "signed", "sgx.edmm_enable = true")
    assert edmm.command("sign", path).status == 0
    assert edmm.command("run", path).status == 0
    done = edmm.command("run", "--edmm=off", path)
    assert done.status == 2 and "signed" in done.stderr, done


def test_bad_option(edmm):
    done = edmm.command("run", "--edmm=maybe", "--", PROGRAMS / "hello")
    assert done.status == 2 and "--edmm" in done.stderr, done
