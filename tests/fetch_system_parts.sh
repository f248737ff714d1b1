#!/bin/sh
# What pip can't give: a PostgreSQL server for the store's tests and Chromium for the pages'. On Debian as root both are
# installed; elsewhere one line says how to get what is missing, and the tests that need it are left out. In CI nothing is
# left out.
set -eu
missing=""
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="postgresql"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:" $missing
    apt-get update -qq
    # shellcheck disable=SC2086 # words are meant
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $missing fonts-dejavu-core >/dev/null
    exit 0
fi
for part in $missing; do
    case $part in
    postgresql) echo "left out: tests on PostgreSQL; install the package postgresql (Debian, Fedora) or postgresql@15 (Homebrew)" ;;
    chromium) echo "left out: tests of the pages in a browser; install the package chromium (Debian, Fedora, Homebrew)" ;;
    esac
done
[ "${CI:-}" != true ]
