# SPDX-License-Identifier: Apache-2.0
"""Real programs of Debian, unmodified, natively and in an enclave, in the cells of the matrix. What tests/e2e/conftest.py has
is here too. VIGIL_REAL=full (`make real`) takes everything; without it `make test` takes short versions."""
import importlib.util
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
E2E = HERE.parent / "e2e"

spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
e2e = importlib.util.module_from_spec(spec)
sys.modules["e2e_conftest"] = e2e
spec.loader.exec_module(e2e)
globals().update({name: value for name, value in vars(e2e).items() if not name.startswith("__")})
sys.path[:0] = [str(HERE), str(E2E)]

FULL = os.environ.get("VIGIL_REAL") == "full"
SIZE = ["--enclave-size", "1G" if FULL else "512M"]
# In short runs only where everything is on; in full ones in every cell.
once = (lambda test: test) if FULL else pytest.mark.cells(edmm=0, aexnotify=1)


@pytest.fixture
def inside(vigil):
    """What stands before a program and its arguments to run it in an enclave."""
    return vigil.argv(options=[*SIZE, "--log-level", "warning"])
