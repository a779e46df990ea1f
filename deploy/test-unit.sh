#!/bin/sh
# Tries deploy/reelmill.service under a real systemd: Debian 12 is booted in namespaces of its own, with the package in it.
# A film is worked within the unit's confinement; reload, watchdog, drain and stop are looked at. Needs root and a Debian
# mirror, and a kernel with cgroup2, so it is run by hand and not by CI.
#
#   deploy/test-unit.sh PACKAGE.deb [DIR]        DIR as in deploy/test-deb.sh
set -eu

if [ $# -lt 1 ] || [ "$(id -u)" -ne 0 ]; then
  echo "usage, as root: deploy/test-unit.sh PACKAGE.deb [DIR]" >&2
  exit 64
fi
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/deploy/packages.sh"
deb=$1
work=${2:-/var/tmp/reelmill-deb}
base=$work/base
root=$work/booted

install_packages debootstrap $REELMILL_TEST_PACKAGES
mkdir -p "$work"
if [ ! -e "$base/etc/debian_version" ]; then
  echo "==> A plain Debian 12 in $base"
  debootstrap --variant=minbase bookworm "$base" >"$work/debootstrap.log"
fi
rm -rf "$root"
cp -a "$base" "$root"
cp "$deb" "$root/root/reelmill.deb"
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=640x360:rate=25:duration=60 -pix_fmt yuv420p -c:v libx264 \
  -preset ultrafast "$root/root/long.mp4"
ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -pix_fmt yuv420p -c:v libx264 \
  "$root/root/short.mp4"

echo "==> Installing"
chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -c '
  apt-get update -qq && apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 systemd /root/reelmill.deb
' >"$work/booted.log" 2>&1
cp "$here/deploy/reelmill.service" "$root/usr/lib/systemd/system/reelmill.service"
if ! chroot "$root" systemd-analyze security --offline=true --threshold=20 /usr/lib/systemd/system/reelmill.service \
  >"$work/security.log" 2>&1; then
  echo "    NOT SO: the unit's exposure is below 2.0; see $work/security.log" >&2
  exit 1
fi
tail -n 1 "$work/security.log"
cp "$root/usr/share/doc/reelmill/examples/web.toml" "$root/etc/reelmill/rules/web.toml"
sed -i 's/veryfast/veryslow/' "$root/etc/reelmill/rules/web.toml"
sed -i 's/^drain.*/drain = "10s"/' "$root/etc/reelmill/reelmill.toml"
mkdir -p "$root/etc/systemd/system/reelmill.service.d" "$root/srv/reelmill/inbox/incoming"
# Inside a container the limit cannot be raised; a short watchdog keeps the test short.
printf '[Service]\nLimitNOFILE=\nWatchdogSec=8s\nTimeoutStopSec=3s\n' >"$root/etc/systemd/system/reelmill.service.d/test.conf"

echo "==> Booting"
# The child that unshare makes is systemd; it tells its number as seen from here.
cat >"$work/boot.sh" <<END
set -e
mount --make-rprivate /
mount --bind $root $root
cd $root
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs dev
mkdir dev/pts dev/shm dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mknod dev/null c 1 3; mknod dev/zero c 1 5; mknod dev/full c 1 7; mknod dev/random c 1 8; mknod dev/urandom c 1 9
mknod dev/tty c 5 0
chmod 666 dev/null dev/zero dev/full dev/random dev/urandom dev/tty
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=chroot PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --show-status=no \
  --unit=multi-user.target
END
unshare -m -p -f -u -i -C --kill-child sh "$work/boot.sh" >>"$work/booted.log" 2>&1 </dev/null &
outer=$!
clean_up() {
  code=$?
  trap - EXIT INT TERM
  kill -KILL "$outer" 2>/dev/null || true
  [ "$code" -eq 0 ] || echo "FAILED; see $work/booted.log and $root" >&2
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

inside() {
  nsenter -t "$(cat "/proc/$outer/task/$outer/children" | tr -d ' ')" -m -p -u -i -C -r -w \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}
wait_until() {
  what=$1
  shift
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ]; then
      echo "    NOT SO: $what" >&2
      inside systemctl status reelmill --no-pager >&2 || true
      inside journalctl -u reelmill --no-pager -n 30 >&2 || true
      exit 1
    fi
    sleep 0.2
  done
  echo "    ok: $what"
}
show() {
  inside systemctl show reelmill --value -p "$1"
}
logged() {
  inside journalctl -u reelmill --no-pager | grep -q "$1"
}
daemon_is_confined() {
  inside sh -c 'grep -q "^NoNewPrivs:.1" /proc/$(systemctl show reelmill --value -p MainPID)/status &&
    grep -q "^CapEff:.0000000000000000" /proc/$(systemctl show reelmill --value -p MainPID)/status &&
    grep -q "^Seccomp:.2" /proc/$(systemctl show reelmill --value -p MainPID)/status'
}
says() {
  case "$(show StatusText)" in *"$1"*) ;; *) return 1 ;; esac
}
restarted() {
  [ "$(show NRestarts)" -ge 1 ] && [ "$(show SubState)" = running ]
}
warned() {
  inside journalctl -u reelmill -p warning --no-pager | grep -q broken.toml
}

wait_until "systemd says that the daemon is ready" inside systemctl is-active reelmill
wait_until "the daemon is confined" daemon_is_confined
wait_until "the rule is armed" logged "what was there before is written down"
cp "$root/root/short.mp4" "$root/srv/reelmill/inbox/incoming/short.mp4"
wait_until "a film is worked and published" test -e "$root/srv/reelmill/published/web/short_web.mp4"

echo 'enabled = maybe' >"$root/etc/reelmill/rules/broken.toml"
inside systemctl reload reelmill
wait_until "journalctl -p shows the broken rule" warned
wait_until "systemctl status tells of it" says "not well: rules"
rm "$root/etc/reelmill/rules/broken.toml"

inside systemctl kill -s STOP --kill-whom=main reelmill
wait_until "a daemon that hangs is started again" restarted

cp "$root/root/long.mp4" "$root/srv/reelmill/inbox/incoming/long.mp4"
wait_until "a long job runs" says "1 job running"
inside systemctl stop reelmill
wait_until "it was let run for longer than TimeoutStopSec, and given back" logged "job given back"
wait_until "the stop was a clean one" test "$(show Result)" = success
inside systemctl start reelmill
wait_until "it is taken up again" says "1 job running"
echo "All well."
