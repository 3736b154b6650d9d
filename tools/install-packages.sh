#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what packages.txt names and this machine lacks. Debian 12; as root, or with sudo that asks for nothing.
set -eu
cd "$(dirname "$0")/.."
missing=
for package in $(grep -v '^#' packages.txt); do
    dpkg-query -W -f '${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep -q '^ii' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
# Servers among them are for tests: installing them must not start them.
quietly="env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "vigil: these packages are missing; install them as root and try again:" >&2
    echo "  apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
$as_root $quietly apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
    $as_root $quietly apt-get update -q
    $as_root $quietly apt-get install -y -q --no-install-recommends $missing
}
