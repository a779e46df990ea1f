#!/bin/sh
# Tries the Debian package in a fresh Debian 12: installs it with all it needs, works a film with it, upgrades, removes and
# purges it. Needs root, a Debian mirror and some minutes, so it is run by hand and not by CI.
#
#   deploy/test-deb.sh PACKAGE.deb HIGHER-VERSION.deb [DIR]
#   (deploy/package-deb.sh --out /tmp/a; deploy/package-deb.sh --version 999 --out /tmp/b)
#
# DIR (default /var/tmp/reelmill-deb) keeps the plain Debian between runs; the one that is tried in is made anew each time.
set -eu

if [ $# -lt 2 ] || [ "$(id -u)" -ne 0 ]; then
  echo "usage, as root: deploy/test-deb.sh PACKAGE.deb HIGHER-VERSION.deb [DIR]" >&2
  exit 64
fi
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/deploy/packages.sh"
first=$1
second=$2
work=${3:-/var/tmp/reelmill-deb}
base=$work/base
root=$work/root

install_packages debootstrap $REELMILL_TEST_PACKAGES
mkdir -p "$work"
if [ ! -e "$base/etc/debian_version" ]; then
  echo "==> A plain Debian 12 in $base"
  debootstrap --variant=minbase bookworm "$base" >"$work/debootstrap.log"
fi

daemon=""
clean_up() {
  code=$?
  trap - EXIT INT TERM
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  umount "$root/proc" 2>/dev/null || true
  [ "$code" -eq 0 ] || echo "FAILED; all is left in $root" >&2
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

umount "$root/proc" 2>/dev/null || true
if mountpoint -q "$root/proc" 2>/dev/null; then
  echo "$root/proc is mounted and cannot be unmounted." >&2
  exit 1
fi
rm -rf "$root"
cp -a "$base" "$root"
mount -t proc proc "$root/proc"
cp "$first" "$root/tmp/first.deb"
cp "$second" "$root/tmp/second.deb"
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
# The mirror and proxy that this machine uses.
if [ -d /etc/apt/apt.conf.d ]; then
  grep -l -s -r -i -e proxy -e "::Verify" /etc/apt/apt.conf /etc/apt/apt.conf.d 2>/dev/null |
    while read -r file; do cp "$file" "$root/etc/apt/apt.conf.d/"; done
fi

inside() {
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}
holds() {
  what=$1
  shift
  if "$@"; then
    echo "    ok: $what"
  else
    echo "    NOT SO: $what" >&2
    exit 1
  fi
}
lacks() {
  ! has "$1"
}
# Links point into the other root.
has() {
  test -e "$root$1" || test -h "$root$1"
}
start_daemon() {
  inside setpriv --reuid reelmill --regid reelmill --init-groups \
    env REELMILL_CONFIG=/etc/reelmill/reelmill.toml reelmill run 2>>"$work/daemon.log" &
  daemon=$!
  tries=0
  until inside reelmill status >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ]; then
      tail "$work/daemon.log" >&2
      exit 1
    fi
    sleep 0.2
  done
}
stop_daemon() {
  inside sh -c 'kill "$(cat /var/lib/reelmill/lock)"'
  wait "$daemon" || true
  daemon=""
}
wait_for() {
  tries=0
  until has "$1"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 600 ]; then
      tail "$work/daemon.log" >&2
      exit 1
    fi
    sleep 0.2
  done
}

: >"$work/daemon.log"
echo "==> Installing"
inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 /tmp/first.deb >"$work/install.log" 2>&1 || {
  tail "$work/install.log" >&2
  exit 1
}
holds "the user reelmill is there" inside getent passwd reelmill
holds "the service is enabled" has /etc/systemd/system/multi-user.target.wants/reelmill.service
holds "the shipped config is good" inside reelmill check
holds "the state directory is closed to others" [ "$(stat -c %a "$root/var/lib/reelmill")" = 750 ]
holds "the inbox takes files of the group" [ "$(stat -c %a:%G "$root/srv/reelmill/inbox")" = 2775:"$(stat -c %G "$root/srv/reelmill/published")" ]
for page in "$root"/usr/share/man/man1/reelmill*.1.gz; do
  holds "$(basename "$page") is a page" gzip -t "$page"
done
holds "bash reads its completions" inside bash -n /usr/share/bash-completion/completions/reelmill
inside dpkg-reconfigure reelmill
inside dpkg-reconfigure reelmill
holds "the maintainer script may run again" true

echo "==> Working"
ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -f lavfi -i sine=duration=2 \
  -pix_fmt yuv420p -c:v libx264 -c:a aac "$root/tmp/film.mp4"
inside reelmill try /usr/share/doc/reelmill/examples/web.toml /tmp/film.mp4 --out /tmp/look
for result in "$root"/tmp/look/web/film_web.mp4 "$root"/tmp/look/web/film_poster.jpg; do
  holds "$(basename "$result") plays" ffmpeg -nostdin -v error -xerror -i "$result" -f null -
done
cp "$root/usr/share/doc/reelmill/examples/web.toml" "$root/etc/reelmill/rules/"
start_daemon
mkdir -p "$root/srv/reelmill/inbox/incoming"
cp "$root/tmp/film.mp4" "$root/srv/reelmill/inbox/incoming/one.mp4"
wait_for /srv/reelmill/published/web/one_web.mp4
holds "a dropped film is published" true
holds "others may read it" [ "$(stat -c %a "$root/srv/reelmill/published/web/one_web.mp4")" = 644 ]
holds "an ordinary user is told what is missing to ask the daemon" \
  inside sh -c 'setpriv --reuid nobody --regid nogroup --clear-groups reelmill status 2>/dev/null; test $? = 77'
stop_daemon

echo "==> Upgrading"
echo "# mine" >>"$root/etc/reelmill/reelmill.toml"
inside apt-get install -y -qq -o Dpkg::Use-Pty=0 /tmp/second.deb >>"$work/install.log" 2>&1
holds "the new version is there" [ "$(inside dpkg-query -W -f '${Version}' reelmill)" = "$(dpkg-deb -f "$second" Version)" ]
holds "a changed config is kept" grep -q "# mine" "$root/etc/reelmill/reelmill.toml"
start_daemon
cp "$root/tmp/film.mp4" "$root/srv/reelmill/inbox/incoming/two.mp4"
wait_for /srv/reelmill/published/web/two_web.mp4
holds "the queue's history is kept" [ "$(inside reelmill jobs list --json | grep -c '"succeeded"')" -ge 2 ]
stop_daemon

echo "==> Removing"
inside apt-get remove -y -qq -o Dpkg::Use-Pty=0 reelmill >>"$work/install.log" 2>&1
holds "the program is gone" lacks /usr/bin/reelmill
holds "the queue stays" has /var/lib/reelmill/reelmill.db
holds "the config stays" has /etc/reelmill/reelmill.toml
inside apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 /tmp/second.deb >>"$work/install.log" 2>&1
start_daemon
holds "installed again it knows its jobs" [ "$(inside reelmill jobs list --json | grep -c '"succeeded"')" -ge 2 ]
stop_daemon

echo "==> Purging"
inside apt-get purge -y -qq -o Dpkg::Use-Pty=0 reelmill >>"$work/install.log" 2>&1
holds "the state is gone" lacks /var/lib/reelmill
holds "the config is gone" lacks /etc/reelmill/reelmill.toml
holds "the service's links are gone" lacks /etc/systemd/system/multi-user.target.wants/reelmill.service
holds "rules that people wrote stay" has /etc/reelmill/rules/web.toml
holds "sources stay" has /srv/reelmill/inbox/incoming/one.mp4
holds "results stay" has /srv/reelmill/published/web/two_web.mp4
inside sh -c 'set -- purge; . /dev/stdin' <"$here/deploy/debian/postrm"
holds "the purge may run again" true
holds "dpkg knows it no more" [ -z "$(inside dpkg-query -W -f '${Status}' reelmill 2>/dev/null | grep -v "not-installed" || true)" ]
echo "All well."
