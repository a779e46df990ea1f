#!/bin/sh
# Shows Reelmill at work: installs what is missing, builds it, starts it on an example rule, drops a film into the
# watched directory and waits for the results. May be run again and again.
#
#   deploy/try-it.sh [FILE]        with a film of yours, or with one that is made here
#   REELMILL_PLAY=DIR              where to play; default: play/ beside the sources
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/deploy/packages.sh"

given=${1:-}
if [ -n "$given" ]; then
  if [ ! -f "$given" ] || [ ! -r "$given" ]; then
    echo "There is no file $given that can be read." >&2
    exit 66
  fi
  given=$(cd "$(dirname "$given")" && pwd)/$(basename "$given")
fi

# Word splitting makes packages of it.
install_packages $REELMILL_PACKAGES
find_cargo

echo "==> Building (some minutes the first time)"
(cd "$here" && cargo build --release --locked --bin reelmill </dev/null)
program=${CARGO_TARGET_DIR:-$here/target}/release/reelmill

mkdir -p "${REELMILL_PLAY:-$here/play}"
play=$(cd "${REELMILL_PLAY:-$here/play}" && pwd)
echo "==> Playing in $play"
mkdir -p "$play/inbox/incoming" "$play/published" "$play/rules"
if [ ! -e "$play/reelmill.toml" ]; then
  cat >"$play/reelmill.toml" <<'TOML'
# Where everything is. Paths are relative to this file.
rules = "rules"
state = "state"

[bucket.inbox]
path = "inbox"

[bucket.published]
path = "published"
TOML
fi
if [ ! -e "$play/rules/web.toml" ]; then
  cp "$here/rules/web.toml" "$play/rules/web.toml"
fi
export REELMILL_CONFIG="$play/reelmill.toml"
log="$play/daemon.log"

daemon=""
fed=""
work=$(mktemp -d)
clean_up() {
  code=$?
  trap - EXIT INT TERM
  if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$work"
  if [ "$code" -ne 0 ] && [ -n "$fed" ]; then
    echo >&2
    echo "That did not work. The end of $log:" >&2
    tail -n 20 "$log" >&2 || true
  fi
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$program" check
"$program" rules enable web >/dev/null 2>&1 || true

if "$program" status >/dev/null 2>&1; then
  echo "==> A daemon runs on this folder already; using it"
else
  echo "==> Starting the daemon (its log: $log)"
  fed=yes
  "$program" run >"$log" 2>&1 </dev/null &
  daemon=$!
  tries=0
  until "$program" status >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ] || ! kill -0 "$daemon" 2>/dev/null; then
      echo "The daemon did not start." >&2
      exit 1
    fi
    sleep 0.2
  done
fi
fed=yes

if [ -n "$given" ]; then
  name=$(basename "$given")
  echo "==> Copying $name into the watched directory inbox/incoming"
  cp -- "$given" "$work/film"
else
  name="first-film.mp4"
  echo "==> Making a film of 10 seconds and copying it into the watched directory inbox/incoming"
  gst-launch-1.0 -q mp4mux name=mux ! filesink location="$work/film" \
    videotestsrc num-buffers=300 pattern=ball animation-mode=frames motion=sweep background-color=0xff204060 \
    ! video/x-raw,width=1280,height=720,framerate=30/1 \
    ! x264enc speed-preset=veryfast ! h264parse ! queue ! mux. \
    audiotestsrc num-buffers=430 samplesperbuffer=1024 wave=ticks ! audio/x-raw,rate=44100,channels=2 \
    ! audioconvert ! avenc_aac ! aacparse ! queue ! mux. </dev/null
fi
# A new copy is a new object, even of the same bytes: the rule runs each time. The time of a copy is now, and
# finding the job of this run needs its beginning.
before=$("$program" jobs list --limit 1 --json | sed -n 's/^ *"id": "\([^"]*\)".*/\1/p' | head -n 1)
cp -- "$work/film" "$play/inbox/incoming/$name"

newest() {
  "$program" jobs list --limit 1 --json
}
field() {
  sed -n "s/^    \"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1
}
shown=""
waited=0
while :; do
  answer=$(newest)
  id=$(printf '%s\n' "$answer" | field id)
  if [ -n "$id" ] && [ "$id" != "$before" ]; then
    state=$(printf '%s\n' "$answer" | field state)
    part=$(printf '%s\n' "$answer" | field progress | awk '$1 ~ /^[0-9.]+$/ { printf "%d %%", $1 * 100 }')
    line="    job $id: $state $part"
    if [ "$line" != "$shown" ]; then
      echo "$line"
      shown=$line
    fi
    case "$state" in
    succeeded) break ;;
    failed | cancelled)
      "$program" jobs show "$id"
      exit 1
      ;;
    esac
  else
    waited=$((waited + 1))
    if [ "$waited" -gt 100 ]; then
      echo "No job started. What the rules say:" >&2
      "$program" explain inbox "incoming/$name" >&2 || true
      exit 1
    fi
  fi
  sleep 0.3
done

echo
echo "==> Published:"
"$program" jobs show "$id" | sed -n 's/^  output  /    /p'
fed=""
cat <<END

The folder is yours to play with:
    $play/inbox/incoming    drop films here
    $play/published         results appear here, whole or not at all
    $play/rules             one TOML file for each rule

Start the daemon again with
    $program run --config $play/reelmill.toml
and look at it from another terminal with
    $program --config $play/reelmill.toml status
END
