#!/bin/sh
# Makes the Debian package: builds the program, its manual pages and completions, and packs them with cargo-deb.
#
#   deploy/package-deb.sh [--debug] [--version VERSION] [--out DIR]
#
# --debug packs the debug build, for trials of the packaging. The package lands in DIR, target/debian unless said.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/deploy/packages.sh"

profile=release
version=""
out=""
while [ $# -gt 0 ]; do
  case "$1" in
  --debug) profile=dev ;;
  --version)
    version=${2:?"--version needs a version"}
    shift
    ;;
  --out)
    out=${2:?"--out needs a directory"}
    shift
    ;;
  *)
    echo "usage: deploy/package-deb.sh [--debug] [--version VERSION] [--out DIR]" >&2
    exit 64
    ;;
  esac
  shift
done

# Words are packages.
install_packages $REELMILL_PACKAGES $REELMILL_DEB_PACKAGES
find_cargo
if ! cargo deb --version >/dev/null 2>&1; then
  echo "==> Installing cargo-deb"
  cargo install cargo-deb --locked </dev/null
fi
if [ -n "$out" ]; then
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
fi
cd "$here"

target=${CARGO_TARGET_DIR:-$here/target}
echo "==> Building ($profile)"
cargo build --profile "$profile" --locked --bin reelmill </dev/null
folder=$profile
if [ "$profile" = dev ]; then
  folder=debug
fi
program=$target/$folder/reelmill

echo "==> Manual and completions"
rm -rf "$target/deb"
mkdir -p "$target/deb"
strip -o "$target/deb/reelmill" "$program"
"$program" man --out "$target/deb/man"
for shell in bash zsh fish; do
  "$program" completions "$shell" >"$target/deb/reelmill.$shell"
done

echo "==> Packing"
set -- --no-build --no-strip
if [ -n "$version" ]; then
  set -- "$@" --deb-version "$version"
fi
if [ -n "$out" ]; then
  set -- "$@" --output "$out"
fi
cargo deb "$@" </dev/null
