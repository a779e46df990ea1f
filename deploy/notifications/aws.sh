#!/bin/sh
# Lets a bucket of AWS tell Reelmill of new objects by a queue. --help says how.
set -eu

usage() {
  cat <<'EOF'
usage: aws.sh --bucket BUCKET --queue NAME [options]

Makes an SQS queue with a queue of dead letters, lets this bucket (and nothing else) write to it, and adds a notification
about new objects to those that the bucket has. What is there already stays; running it again changes nothing.
Needs `aws` and `python3`.

  --bucket BUCKET       the bucket, as AWS knows it
  --queue NAME          the queue to make or use; its dead letters go to NAME-dead
  --prefix PREFIX       only keys that begin so, as "incoming/"; default: all
  --id ID               the notification's name; default: reelmill-NAME
  --region REGION       where both are; default: as `aws` is set up
  --profile PROFILE     whose credentials; default: as `aws` is set up
  --endpoint-url URL    another server than AWS
  --dry-run             print what would be changed, and change nothing
EOF
}

die() {
  echo "aws.sh: $*" >&2
  exit 64
}

bucket="" queue="" prefix="" id="" dry=""
region="" profile="" endpoint=""
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --dry-run) dry=1; shift; continue ;;
    --bucket | --queue | --prefix | --id | --region | --profile | --endpoint-url)
      [ $# -ge 2 ] || die "$1 needs a value"
      ;;
    *) die "unknown: $1 (--help says more)" ;;
  esac
  case "$1" in
    --bucket) bucket=$2 ;;
    --queue) queue=$2 ;;
    --prefix) prefix=$2 ;;
    --id) id=$2 ;;
    --region) region=$2 ;;
    --profile) profile=$2 ;;
    --endpoint-url) endpoint=$2 ;;
  esac
  shift 2
done
[ -n "$bucket" ] || die "--bucket is missing (--help says more)"
[ -n "$queue" ] || die "--queue is missing (--help says more)"
id=${id:-reelmill-$queue}
for tool in aws python3; do
  command -v "$tool" >/dev/null || { echo "aws.sh: $tool is not installed" >&2; exit 69; }
done

aws_() {
  aws ${region:+--region "$region"} ${profile:+--profile "$profile"} ${endpoint:+--endpoint-url "$endpoint"} \
    --output json "$@"
}

# What changes something: printed with the files that it names, and left out in a dry run.
change() {
  echo "+ aws $*" >&2
  for word in "$@"; do
    case "$word" in file://*) sed 's/^/    /' "${word#file://}" >&2; echo >&2 ;; esac
  done
  if [ -z "$dry" ]; then aws_ "$@"; fi
}

# A value out of JSON on standard input: its path in dots.
value() {
  python3 -c '
import json, sys
text = sys.stdin.read()
found = json.loads(text) if text.strip() else {}
for part in sys.argv[1].split("."):
    found = found.get(part, {}) if isinstance(found, dict) else {}
print(found if isinstance(found, str) else "")' "$1"
}

# The URL of a queue, which is made where it is not there.
queue_url() {
  if found=$(aws_ sqs get-queue-url --queue-name "$1" 2>"$work/error"); then
    printf '%s' "$found" | value QueueUrl
  elif grep -q "NonExistentQueue\|QueueDoesNotExist" "$work/error"; then
    change sqs create-queue --queue-name "$1" --attributes "$2" | value QueueUrl
  else
    cat "$work/error" >&2
    return 1
  fi
}

attribute() {
  aws_ sqs get-queue-attributes --queue-url "$1" --attribute-names All | value "Attributes.$2"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# Dead letters stay for 14 days. Long polling is cheaper, and no slower.
dead_url=$(queue_url "$queue-dead" MessageRetentionPeriod=1209600)
url=$(queue_url "$queue" ReceiveMessageWaitTimeSeconds=20,VisibilityTimeout=60,MessageRetentionPeriod=1209600)
if [ -z "$url" ] || [ -z "$dead_url" ]; then
  # Why, `aws` has said.
  [ -n "$dry" ] || exit 1
  echo "A dry run ends here: what comes next needs the queues. It would set the queue's RedrivePolicy and Policy, and add the" >&2
  echo "notification \"$id\" to those of the bucket." >&2
  exit 0
fi
arn=$(attribute "$url" QueueArn)
dead_arn=$(attribute "$dead_url" QueueArn)

# A message that cannot be made durable ten times over is set aside.
if [ -z "$(attribute "$url" RedrivePolicy)" ]; then
  python3 -c '
import json, sys
policy = {"deadLetterTargetArn": sys.argv[1], "maxReceiveCount": "10"}
print(json.dumps({"RedrivePolicy": json.dumps(policy)}))' "$dead_arn" >"$work/redrive.json"
  change sqs set-queue-attributes --queue-url "$url" --attributes "file://$work/redrive.json"
fi

# Who else may write to the queue stays; see queue-policy.json.
account=$(printf '%s' "$arn" | cut -d: -f5)
part=$(printf '%s' "$arn" | cut -d: -f2)
attribute "$url" Policy >"$work/policy-before.json"
if python3 - "$work/policy-before.json" "$work/policy.json" "$arn" "arn:$part:s3:::$bucket" "$account" "$id-$bucket" <<'EOF'
import json, re, sys
before, after, queue, bucket, account, name = sys.argv[1:]
text = open(before).read().strip()
policy = json.loads(text) if text else {"Version": "2012-10-17", "Statement": []}
statements = policy["Statement"]
if isinstance(statements, dict):
    statements = [statements]
ours = {
    "Sid": re.sub("[^A-Za-z0-9]", "", name),
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": queue,
    "Condition": {
        "ArnEquals": {"aws:SourceArn": bucket},
        "StringEquals": {"aws:SourceAccount": account},
    },
}
if ours in statements:
    sys.exit(1)
policy["Statement"] = [one for one in statements if one.get("Sid") != ours["Sid"]] + [ours]
json.dump({"Policy": json.dumps(policy)}, open(after, "w"))
EOF
then
  change sqs set-queue-attributes --queue-url "$url" --attributes "file://$work/policy.json"
fi

# The call replaces all notifications of the bucket, so those that are there are written again.
aws_ s3api get-bucket-notification-configuration --bucket "$bucket" >"$work/before.json"
if python3 - "$work/before.json" "$work/after.json" "$id" "$arn" "$prefix" <<'EOF'
import json, sys
before, after, name, queue, prefix = sys.argv[1:]
text = open(before).read().strip()
known = json.loads(text) if text else {}
known.pop("ResponseMetadata", None)
ours = {"Id": name, "QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}
if prefix:
    ours["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}

def plain(route):
    rules = route.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    rules = sorted((rule["Name"].lower(), rule["Value"]) for rule in rules)
    return (route.get("Id"), route.get("QueueArn"), sorted(route.get("Events", [])), rules)

queues = known.get("QueueConfigurations", [])
if any(plain(route) == plain(ours) for route in queues):
    sys.exit(1)
known["QueueConfigurations"] = [route for route in queues if route.get("Id") != name] + [ours]
json.dump(known, open(after, "w"), indent=2)
EOF
then
  change s3api put-bucket-notification-configuration --bucket "$bucket" \
    --notification-configuration "file://$work/after.json"
fi

[ -n "$dry" ] || cat <<EOF
The bucket $bucket tells the queue $queue of new objects${prefix:+ below $prefix}. In reelmill.toml:

watch = ["sqs"]
sqs = { queue = "$url" }
EOF
