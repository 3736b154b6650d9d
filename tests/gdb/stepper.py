# SPDX-License-Identifier: Apache-2.0
"""For gdb: steps(n) prints the addresses that n instructions lead to."""
import gdb


def steps(n):
    addresses = []
    for _ in range(n):
        gdb.execute("stepi", to_string=True)
        addresses.append("%#x" % gdb.selected_frame().pc())
    print("STEPS", " ".join(addresses))
