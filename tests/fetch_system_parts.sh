#!/bin/sh
# What pip can't give: a PostgreSQL server for the store's tests. On Debian as root it is installed; elsewhere one line
# says how to get it, and the tests that need it are left out. In CI nothing is left out.
set -eu
if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing PostgreSQL for the store's tests"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends postgresql >/dev/null
    exit 0
fi
echo "left out: the store's tests on PostgreSQL; install the package postgresql (Debian, Fedora) or postgresql@15 (Homebrew)"
[ "${CI:-}" != true ]
