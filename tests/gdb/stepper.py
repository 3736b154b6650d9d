# SPDX-License-Identifier: Apache-2.0
"""For gdb: steps(n) prints the addresses that n instructions lead to; fewer if they lead into the function until."""
import gdb


def steps(n, until=None):
    addresses = []
    for _ in range(n):
        gdb.execute("stepi", to_string=True)
        addresses.append("%#x" % gdb.selected_frame().pc())
        if until and gdb.execute("info symbol $pc", to_string=True).startswith(until):
            break
    print("STEPS", " ".join(addresses))
