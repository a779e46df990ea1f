#!/bin/sh
# A Ceph of one node with its S3 gateway, for tests: everything on 127.0.0.1, in memory, nothing kept.
#
#   tests/servers/ceph.sh DIR
#
# Makes DIR, which must not be there, says "ready URL" once the gateway answers, and ends, removing DIR, when its standard
# input ends: so it goes away with whoever started it. Who asks is test with test-secret.
# Needs the packages of REELMILL_CEPH_PACKAGES in deploy/packages.sh.
set -eu

dir=${1:?usage: ceph.sh DIR}
mkdir "$dir" "$dir/mon" "$dir/osd" "$dir/mgr" "$dir/gateway" "$dir/log"
dir=$(cd "$dir" && pwd)

daemons=""
stop() {
  trap - EXIT INT TERM
  # They hold nothing that is worth an orderly end.
  for daemon in $daemons; do
    kill -9 "$daemon" 2>/dev/null || true
  done
  wait 2>/dev/null
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 1' INT TERM

# Starts a daemon of Ceph in the background; $1 names its log.
start() {
  name=$1
  shift
  "$@" >"$dir/log/$name.out" 2>&1 </dev/null &
  daemons="$! $daemons"
}

ports=$(python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in sockets])')
set -- $ports

id=$(cat /proc/sys/kernel/random/uuid)
cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $id
mon host = [v2:127.0.0.1:$1,v1:127.0.0.1:$2]
mon initial members = a
keyring = $dir/keyring
public addr = 127.0.0.1
cluster addr = 127.0.0.1
public network = 127.0.0.0/8
ms bind ipv6 = false
run dir = $dir
admin socket = $dir/\$name.asok
log file = $dir/log/\$name.log
crash dir = $dir
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 1000
mon data avail crit = 0
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[mgr.x]
mgr data = $dir/mgr
[client.rgw.a]
rgw data = $dir/gateway
keyring = $dir/keyring
rgw frontends = beast endpoint=127.0.0.1:$3
rgw dns name = localhost
CONF
gateway="http://127.0.0.1:$3"

as() {
  program=$1
  shift
  "$program" -c "$dir/ceph.conf" "$@"
}

ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon "allow *" >/dev/null
for who in client.admin client.rgw.a osd.0 mgr.x; do
  mon="allow *"
  case $who in osd.0) mon="allow profile osd" ;; mgr.x) mon="allow profile mgr" ;; esac
  ceph-authtool "$dir/keyring" --gen-key -n $who --cap mon "$mon" --cap osd "allow *" --cap mgr "allow *" \
    >/dev/null
done
monmaptool --create --fsid "$id" --addv a "[v2:127.0.0.1:$1,v1:127.0.0.1:$2]" "$dir/monmap" >/dev/null
as ceph-mon -i a --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring" >"$dir/log/mkfs.out" 2>&1
start mon ceph-mon -c "$dir/ceph.conf" -i a -f
start mgr ceph-mgr -c "$dir/ceph.conf" -i x -f
disk=$(cat /proc/sys/kernel/random/uuid)
as ceph osd new "$disk" 0 >/dev/null
as ceph osd crush add osd.0 1.0 root=default host=here 2>/dev/null
as ceph-osd -i 0 --mkfs --osd-uuid "$disk" >"$dir/log/mkfs.out" 2>&1
start osd ceph-osd -c "$dir/ceph.conf" -i 0 -f
start gateway radosgw -c "$dir/ceph.conf" -n client.rgw.a -f
as radosgw-admin user create --uid=test --display-name=test --access-key=test --secret-key=test-secret >/dev/null 2>"$dir/log/user.out"
for second in $(seq 120); do
  if curl -fs "$gateway/" >/dev/null; then break; fi
  sleep 0.5
done
curl -fsS "$gateway/" >/dev/null
echo "ready $gateway"
cat >/dev/null
