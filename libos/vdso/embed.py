#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file as the elements of a C array."""
import sys


def main(source, target):
    with open(source, "rb") as file:
        content = file.read()
    with open(target, "w", encoding="ascii") as file:
        for at in range(0, len(content), 16):
            file.write("".join("%d," % byte for byte in content[at:at + 16]) + "\n")


main(*sys.argv[1:])
