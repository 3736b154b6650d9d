# SPDX-License-Identifier: Apache-2.0
"""How many primes there are up to a number, found by two threads."""
import sys
import threading

limit = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
sieve = bytearray([1]) * (limit + 1)
sieve[:2] = b"\0\0"
for i in range(2, int(limit ** 0.5) + 1):
    if sieve[i]:
        sieve[i * i::i] = bytes(len(range(i * i, limit + 1, i)))
counts = [0, 0]


def count(half):
    middle = limit // 2
    counts[half] = sum(sieve[:middle] if half == 0 else sieve[middle:])


threads = [threading.Thread(target=count, args=(half,)) for half in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("%d primes up to %d, Python %d.%d" % (sum(counts), limit, *sys.version_info[:2]))
