# Installs the servers that tests talk to, below target/test-servers. Sourced by tests/run.sh.

# Written down where an installation is complete; another version is installed anew.
MOTO_VERSION="5.2.5"

# $1: the checkout.
install_moto() {
  servers="$1/target/test-servers"
  stamp="$servers/moto/installed-$MOTO_VERSION"
  if [ -e "$stamp" ] && "$servers/moto/bin/python" -c "" 2>/dev/null; then
    echo "==> moto $MOTO_VERSION: there"
    return 0
  fi
  echo "==> moto $MOTO_VERSION, a server that speaks S3 and SQS: installing"
  rm -rf "$servers/moto"
  mkdir -p "$servers"
  python3 -m venv "$servers/moto" &&
    "$servers/moto/bin/pip" install -q --disable-pip-version-check "moto[server]==$MOTO_VERSION" </dev/null &&
    : >"$stamp"
}
