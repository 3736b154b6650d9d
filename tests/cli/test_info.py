# SPDX-License-Identifier: Apache-2.0
"""vigil info."""
import re


def test_info_says_what_is_there_and_what_will_be_used(vigil):
    result = vigil("info")
    assert result.returncode == 0 and not result.stderr
    for name in ("software", "hardware"):
        assert re.search(rf"^[* ] {name} SGX: .+", result.stdout, re.M)
    assert len(re.findall(r"^\*", result.stdout, re.M)) == 1
    for feature in ("SGX1", "SGX2", "AEX-Notify", "EDECCSSA", "EXINFO", "XFRM"):
        assert len(re.findall(feature + " ", result.stdout)) >= 2
    chosen = re.search(r"^\* (\w+) SGX", result.stdout, re.M).group(1)
    assert f"{chosen} SGX will be used: " in result.stdout
    assert ("PROTECTS NOTHING" in result.stdout) == (chosen == "software")


def test_info_of_a_manifest(vigil):
    result = vigil("info", vigil.manifest(sgx__experimental_enable_aex_notify="true", sgx__use_exinfo="true"))
    assert result.returncode == 0
    assert re.search(r"^MRENCLAVE +[0-9a-f]{64}$", result.stdout, re.M)
    assert re.search(r"^ATTRIBUTES .*DEBUG AEXNOTIFY$", result.stdout, re.M)
    assert re.search(r"^MISCSELECT .*EXINFO$", result.stdout, re.M)
    assert not list(vigil.directory.glob("*.vigil"))
