#!/bin/sh
# Lets a bucket of Ceph's gateway tell Reelmill of new objects by requests. --help says how.
set -eu

usage() {
  cat <<'EOF'
usage: ceph.sh --endpoint-url URL --bucket BUCKET --url URL --secret-file FILE [options]

Makes a topic that sends requests to Reelmill, and adds a notification about new objects to those that the bucket has. What
is there already stays; running it again changes nothing. Ceph can send no header, so the secret stands in the topic's URL:
whoever may read the topic can read it. Needs `aws` and `python3`.

  --endpoint-url URL    the gateway
  --bucket BUCKET       the bucket, as the gateway knows it
  --url URL             where Reelmill takes requests: http://HOST:PORT/hooks/NAME, with NAME as in [bucket.NAME]
  --secret-file FILE    the secret of `webhook` in reelmill.toml
  --prefix PREFIX       only keys that begin so, as "incoming/"; default: all
  --topic NAME          the topic's name; default: reelmill-NAME
  --zonegroup NAME      the region that topics are made in; default: default
  --persistent          the gateway keeps what cannot be delivered, and delivers later, if up to half a minute
  --profile PROFILE     whose credentials; default: as `aws` is set up
  --dry-run             print what would be changed, and change nothing
EOF
}

die() {
  echo "ceph.sh: $*" >&2
  exit 64
}

endpoint="" bucket="" url="" secret_file="" prefix="" topic="" zonegroup="default" persistent="" profile="" dry=""
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --dry-run) dry=1; shift; continue ;;
    --persistent) persistent=1; shift; continue ;;
    --endpoint-url | --bucket | --url | --secret-file | --prefix | --topic | --zonegroup | --profile)
      [ $# -ge 2 ] || die "$1 needs a value"
      ;;
    *) die "unknown: $1 (--help says more)" ;;
  esac
  case "$1" in
    --endpoint-url) endpoint=$2 ;;
    --bucket) bucket=$2 ;;
    --url) url=$2 ;;
    --secret-file) secret_file=$2 ;;
    --prefix) prefix=$2 ;;
    --topic) topic=$2 ;;
    --zonegroup) zonegroup=$2 ;;
    --profile) profile=$2 ;;
  esac
  shift 2
done
[ -n "$endpoint" ] || die "--endpoint-url is missing (--help says more)"
[ -n "$bucket" ] || die "--bucket is missing"
[ -n "$url" ] || die "--url is missing"
[ -r "$secret_file" ] || die "--secret-file must name a file that can be read"
case "$url" in
  http://*/hooks/?* | https://*/hooks/?*) ;;
  *) die "--url should look like http://HOST:PORT/hooks/NAME" ;;
esac
for tool in aws python3; do
  command -v "$tool" >/dev/null || { echo "ceph.sh: $tool is not installed" >&2; exit 69; }
done
name=${url##*/hooks/}
topic=${topic:-reelmill-$(printf '%s' "$name" | tr . -)}

aws_() {
  aws --endpoint-url "$endpoint" --region "$zonegroup" ${profile:+--profile "$profile"} --output json "$@"
}

# What changes something: printed, and left out in a dry run. No file that is named in it is shown.
change() {
  echo "+ aws $*" >&2
  if [ -z "$dry" ]; then aws_ "$@"; fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
umask 077

# The same call makes a topic and changes one. By a file, since everybody sees what a command is given.
python3 - "$url" "$secret_file" "$persistent" "$work/attributes.json" <<'EOF'
import json, sys
url, secret, persistent, out = sys.argv[1:]
attributes = {"push-endpoint": url.rstrip("/") + "/" + open(secret).read().strip()}
if url.startswith("https://"):
    attributes["verify-ssl"] = "true"
if persistent:
    attributes["persistent"] = "true"
json.dump(attributes, open(out, "w"))
EOF
arn=$(change sns create-topic --name "$topic" --attributes "file://$work/attributes.json" |
  python3 -c 'import json, sys; text = sys.stdin.read(); print(json.loads(text)["TopicArn"] if text.strip() else "")')
# Why, `aws` has said.
[ -n "$arn" ] || [ -n "$dry" ] || exit 1
arn=${arn:-arn:aws:sns:$zonegroup::$topic}

# The call replaces all notifications of the bucket, so those that are there are written again.
aws_ s3api get-bucket-notification-configuration --bucket "$bucket" >"$work/before.json"
if python3 - "$work/before.json" "$work/after.json" "$topic" "$arn" "$prefix" <<'EOF'
import json, sys
before, after, name, topic, prefix = sys.argv[1:]
text = open(before).read().strip()
known = json.loads(text) if text else {}
known.pop("ResponseMetadata", None)
ours = {"Id": name, "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
if prefix:
    ours["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}

def plain(route):
    rules = route.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    rules = sorted((rule["Name"].lower(), rule["Value"]) for rule in rules)
    return (route.get("Id"), route.get("TopicArn"), sorted(route.get("Events", [])), rules)

topics = known.get("TopicConfigurations", [])
if any(plain(route) == plain(ours) for route in topics):
    sys.exit(1)
known["TopicConfigurations"] = [route for route in topics if route.get("Id") != name] + [ours]
json.dump(known, open(after, "w"), indent=2)
EOF
then
  echo "the bucket's notifications will be:" >&2
  cat "$work/after.json" >&2
  echo >&2
  change s3api put-bucket-notification-configuration --bucket "$bucket" \
    --notification-configuration "file://$work/after.json"
fi
