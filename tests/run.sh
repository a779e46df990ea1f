#!/bin/sh
# Installs what tests need and runs them.
#
#   tests/run.sh          the tests for every change
#   tests/run.sh --all    the long ones too
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/deploy/packages.sh"
. "$here/tests/servers/install.sh"

all=""
case "${1:-}" in
"") ;;
--all) all=yes ;;
*)
  echo "usage: tests/run.sh [--all]" >&2
  exit 64
  ;;
esac

if [ -n "$all" ]; then
  install_packages $REELMILL_PACKAGES $REELMILL_TEST_PACKAGES $REELMILL_FOOTAGE_PACKAGES $REELMILL_CEPH_PACKAGES
  export REELMILL_TESTS=all
  echo "==> Testing, the long tests too"
else
  install_packages $REELMILL_PACKAGES $REELMILL_TEST_PACKAGES
  echo "==> Testing (--all adds the long tests)"
fi
find_cargo
install_moto "$here"
cd "$here"
# A snapshot that differs is a failure, never a new file.
INSTA_UPDATE=no exec cargo test --locked </dev/null
