# SPDX-License-Identifier: Apache-2.0
"""Bad manifests, as the command reports them. Every row once through `run` and once through `sign`."""
import re

import pytest

from conftest import ROOT

BAD_INPUT = 3

ROWS = {
    "syntax": ("libos.entrypoint = \n", ["bad.manifest:1:", "TOML"]),
    "unknown key": ('libos.entrypoint = "/x"\nsgx.enclave_sice = "64M"\n', ["bad.manifest:2:", "sgx.enclave_size"]),
    "wrong type": ('libos.entrypoint = "/x"\nsgx.debug = "yes"\n', ["bad.manifest:2:", "sgx.debug", "a string"]),
    "no program": ("sgx.debug = true\n", ["bad.manifest", "libos.entrypoint"]),
    "not a power of two": ('libos.entrypoint = "/x"\nsgx.enclave_size = "96M"\n', ["bad.manifest:2:", "power of two"]),
    "too small": ('libos.entrypoint = "/x"\nsgx.enclave_size = "1M"\n', ["bad.manifest:2:", "too small"]),
    "too many threads": ('libos.entrypoint = "/x"\nsgx.enclave_size = "64M"\nsgx.max_threads = 4000\n'
                         "sgx.debug = true\n",
                         ["4000 threads", "sgx.enclave_size"]),
    "not text": ("\x00\x01\x02", ["bad.manifest:1:"]),
    "empty": ("", ["libos.entrypoint"]),
}


@pytest.mark.parametrize("command", ["run", "sign", "info"])
@pytest.mark.parametrize("name", ROWS)
def test_bad_manifests(vigil, command, name):
    text, says = ROWS[name]
    (vigil.directory / "bad.manifest").write_text(text)
    vigil.refuses(BAD_INPUT, command, "bad.manifest", says=says)
    assert [path.name for path in vigil.directory.iterdir()] == ["bad.manifest"]


@pytest.mark.parametrize("command", ["run", "sign", "info"])
def test_manifests_that_are_not_there(vigil, command):
    vigil.refuses(BAD_INPUT, command, "none.manifest", says=["none.manifest", "No such file"])
    vigil.refuses(BAD_INPUT, command, ".", says=["directory"])


def test_program_that_is_not_there(vigil):
    result = vigil("run", vigil.manifest(libos__entrypoint='"/no/such/program"'))
    assert result.returncode not in (0, 2) and not result.stdout
    assert "/no/such/program" in result.stderr and "libos.entrypoint" in result.stderr


def test_log_file_that_cannot_be_written(vigil):
    result = vigil("run", vigil.manifest(loader__log_file='"/no/such/log"'))
    assert result.returncode == 4 and not result.stdout and "/no/such/log" in result.stderr


BAD = """libos.entrypoint = 5
loader.argvv = ["a"]
sgx.enclave_size = "65M"
sgx.trusted_files = ["file:/nowhere", { uri = "file:/x", sha256 = "12" }, 7]
sgx.remote_attestation = "dcap"
"""


def test_check_says_everything(vigil, tmp_path):
    manifest = tmp_path / "bad.manifest"
    manifest.write_text(BAD)
    done = vigil("manifest", "check", manifest)
    lines = done.stderr.splitlines()
    assert done.returncode == 3 and len(lines) == 7, done.stderr
    for place, what in (("1:20", "libos.entrypoint must be a string"), ("2:8", "did you mean loader.argv?"),
                        ("3:20", "must be a power of two"), ("4:22", "/nowhere: No such file"),
                        ("4:67", "64 hexadecimal digits"), ("4:75", "must be a string, not an integer"),
                        ("5:26", "no remote attestation")):
        assert any(line.startswith("vigil: %s:%s: " % (manifest, place)) and what in line for line in lines), (place, lines)


def test_check_of_a_good_one(vigil, tmp_path):
    manifest = tmp_path / "good.manifest"
    manifest.write_text('libos.entrypoint = "/bin/true"\nsys.disallow_subprocesses = true\nfs.root.uri = "file:/"\n'
                        'sgx.trusted_files = ["file:/bin/true"]\n')
    done = vigil("manifest", "check", manifest)
    assert (done.returncode, done.stdout, done.stderr) == (0, "%s: no errors\n" % manifest, "")
    assert vigil("manifest", "check", tmp_path / "missing").returncode == 3
    assert vigil("manifest", "check").returncode == 2
    assert vigil("manifest", "chekc").returncode == 2


def test_render(vigil, tmp_path):
    template = tmp_path / "x.manifest.template"
    template.write_text('libos.entrypoint = "{{ program }}"\n{% for n in range(2) %}loader.env.V{{ n }} = "{{ arch_libdir }}"\n'
                        '{% endfor %}')
    done = vigil("manifest", "render", template, "-D", "program=/bin/true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("/lib/x86_64-linux-gnu") == 2 and '"/bin/true"' in done.stdout
    done = vigil("manifest", "render", template)
    assert done.returncode == 3 and "'program' is undefined" in done.stderr
    template.write_text("{% if %}")
    assert "%s:1: " % template in vigil("manifest", "render", template).stderr


GRAMINES = """libos.entrypoint = "{{ entrypoint }}"
loader.entrypoint.uri = "file:{{ gramine.libos }}"
loader.env.LD_LIBRARY_PATH = "/lib:{{ arch_libdir }}"
sgx.edmm_enable = {{ 'true' if env.get('EDMM', '0') == '1' else 'false' }}
fs.mounts = [
  { path = "/lib", uri = "file:{{ gramine.runtimedir() }}" },
{% for path in python.get_sys_path(entrypoint) %}
  { path = "{{ path }}", uri = "file:{{ path }}" },
{% endfor %}
]
sgx.trusted_files = [ "file:{{ gramine.libos }}", "file:{{ entrypoint }}", "file:{{ python.stdlib }}/json/" ]
"""


def test_a_template_as_gramines(vigil, tmp_path):
    template, manifest = tmp_path / "p.manifest.template", tmp_path / "p.manifest"
    template.write_text(GRAMINES)
    python = "/usr/bin/python3"
    done = vigil("manifest", "render", "-Dentrypoint=" + python, template, env={"EDMM": "1"})
    assert done.returncode == 0, done.stderr
    assert "edmm_enable = true" in done.stdout and 'path = "/usr/lib/python3' in done.stdout
    manifest.write_text(done.stdout)
    done = vigil("manifest", "check", manifest)
    assert done.returncode == 0, done.stderr
    assert "loader.entrypoint has no effect" in done.stderr
    done = vigil("manifest", "render", "-Dentrypoint=/no/such/python", template)
    assert done.returncode == 3 and not done.stdout and "get_sys_path(/no/such/python)" in done.stderr


REMARKS = """libos.entrypoint = "/bin/true"
sgx.debug = true
loader.insecure__use_cmdline_argv = true
loader.insecure__use_host_env = false
sgx.preheat_enclave = true
fs.root.uri = "file:/"
fs.mounts = [{ path = "/a", uri = "file:/no/such/place" }]
sgx.allowed_files = []
sgx.file_check_policy = "allow_all_but_log"
"""


def test_warnings_and_notes(vigil, tmp_path):
    """In the order of the file; what is turned off is not spoken of."""
    manifest = tmp_path / "r.manifest"
    manifest.write_text(REMARKS)
    done = vigil("manifest", "check", manifest)
    said = [line.replace(str(manifest), "M") for line in done.stderr.splitlines()]
    assert done.returncode == 0 and done.stdout == "%s: no errors\n" % manifest
    expected = ["warning: M:1:20: libos.entrypoint is not in sgx.trusted_files", "warning: M:2:13: sgx.debug: ",
                "warning: M:3:37: loader.insecure__use_cmdline_argv: ", "note: M:5:23: sgx.preheat_enclave has no effect: ",
                "warning: M:7:14: fs.mounts[]: /no/such/place: No such file", "warning: M:9:25: sgx.file_check_policy: "]
    assert len(said) == len(expected), said
    for line, start in zip(said, expected):
        assert line.startswith("vigil: " + start), line
    done = vigil("sign", manifest)  # says the same, without looking for files
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 4, done.stderr


def test_keys_are_documented(vigil):
    """docs/manifest.md holds the table that the command makes of its own; `vigil manifest keys` prints it."""
    table = vigil("manifest", "keys").stdout
    keys = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(keys) > 60 and len(set(keys)) == len(keys)
    assert all(line.count(" | ") == 3 for line in table.splitlines()), "a cell holds a bar"
    assert table in (ROOT / "docs/manifest.md").read_text(), "replace the table in docs/manifest.md by `vigil manifest keys`"


WRONG = {
    "sys.fds.limit = 2": "between 3 and 1048576",
    "loader.uid = -1": "between 0 and 4294967294",
    "loader.gid = \"root\"": "must be an integer",
    "sgx.isvprodid = 65536": "between 0 and 65535",
    "sgx.isvsvn = 65536": "between 0 and 65535",
    "sgx.cpu_features.avx = \"yes\"": "unspecified, disabled or required",
    "sgx.cpu_features.amx = \"required\"": "must be disabled",
    "sgx.cpu_features = { avx = \"disabled\", avx512 = \"required\" }": "choose one of them",
    "fs.mounts = [{ type = \"encrypted\", path = \"/a\", uri = \"file:/a\" }]": "not supported",
    "fs.insecure__keys.default = \"00\"": "encrypted mounts, which are not supported",
    "sys.debug__mock_syscalls = [{ name = \"eventfd2\", return = 0 }]": "cannot be mocked",
    "sys.disallow_subprocesses = false": "cannot be turned off",
    "sgx.preheat_enclave = \"yes\"": "must be true or false",
    "loader.pal_internal_mem_size = \"lots\"": "not a size",
    "loader.argv_src_file = \"file:a\"\nloader.argv = [\"a\"]": "cannot be together",
    "loader.argv_src_file = \"dev:tty\"": "only file: URIs",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_values(vigil, line):
    (vigil.directory / "w.manifest").write_text('libos.entrypoint = "/bin/true"\n' + line + "\n")
    vigil.refuses(BAD_INPUT, "sign", "w.manifest", says=["w.manifest", WRONG[line]])
