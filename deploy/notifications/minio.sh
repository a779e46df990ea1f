#!/bin/sh
# Lets a bucket of MinIO tell Reelmill of new objects by requests. --help says how.
set -eu

usage() {
  cat <<'EOF'
usage: minio.sh --alias ALIAS --bucket BUCKET --url URL --secret-file FILE [options]

Adds a webhook to a MinIO server and lets the bucket tell it of new objects. Running it again changes nothing. The server
is restarted where the webhook is new: uploads that are under way then are cut off.
Needs `mc`. (watch = ["listen"] needs none of this, and no restart.)

  --alias ALIAS         the server, as `mc alias list` has it; its user must be an administrator
  --bucket BUCKET       the bucket, as the server knows it
  --url URL             where Reelmill takes requests: http://HOST:PORT/hooks/NAME, with NAME as in [bucket.NAME]
  --secret-file FILE    the secret of `webhook` in reelmill.toml
  --prefix PREFIX       only keys that begin so, as "incoming/"; default: all
  --target NAME         the webhook's name; default: reelmill_NAME
  --no-restart          leave the restart to somebody else
  --dry-run             print what would be changed, and change nothing
EOF
}

die() {
  echo "minio.sh: $*" >&2
  exit 64
}

alias="" bucket="" url="" secret_file="" prefix="" target="" restart=1 dry=""
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --dry-run) dry=1; shift; continue ;;
    --no-restart) restart=""; shift; continue ;;
    --alias | --bucket | --url | --secret-file | --prefix | --target)
      [ $# -ge 2 ] || die "$1 needs a value"
      ;;
    *) die "unknown: $1 (--help says more)" ;;
  esac
  case "$1" in
    --alias) alias=$2 ;;
    --bucket) bucket=$2 ;;
    --url) url=$2 ;;
    --secret-file) secret_file=$2 ;;
    --prefix) prefix=$2 ;;
    --target) target=$2 ;;
  esac
  shift 2
done
[ -n "$alias" ] || die "--alias is missing (--help says more)"
[ -n "$bucket" ] || die "--bucket is missing"
[ -n "$url" ] || die "--url is missing"
[ -r "$secret_file" ] || die "--secret-file must name a file that can be read"
case "$url" in
  http://*/hooks/?* | https://*/hooks/?*) ;;
  *) die "--url should look like http://HOST:PORT/hooks/NAME" ;;
esac
command -v mc >/dev/null || { echo "minio.sh: mc is not installed" >&2; exit 69; }
name=${url##*/hooks/}
target=${target:-reelmill_$(printf '%s' "$name" | tr -c 'A-Za-z0-9' '_')}

# Printed without the secret, and left out in a dry run.
change() {
  shown=$1
  shift
  echo "+ mc $shown" >&2
  if [ -z "$dry" ]; then mc "$@"; fi
}

secret=$(tr -d '\r\n' <"$secret_file")
known=$(mc admin config get "$alias" "notify_webhook:$target" 2>/dev/null || true)
case "$known" in
  *"endpoint=$url "* | *"endpoint=\"$url\" "*) echo "the webhook $target is there" >&2 ;;
  *)
    change "admin config set $alias notify_webhook:$target endpoint=$url auth_token=(the secret)" \
      admin config set "$alias" "notify_webhook:$target" "endpoint=$url" "auth_token=$secret"
    if [ -n "$restart" ]; then
      change "admin service restart $alias" admin service restart "$alias"
    else
      echo "restart the server before the bucket can tell the webhook: mc admin service restart $alias" >&2
    fi
    ;;
esac
# `--ignore-existing`: what is there already is no error.
change "event add $alias/$bucket arn:minio:sqs::$target:webhook --event put --ignore-existing${prefix:+ --prefix $prefix}" \
  event add "$alias/$bucket" "arn:minio:sqs::$target:webhook" --event put --ignore-existing ${prefix:+--prefix "$prefix"}
