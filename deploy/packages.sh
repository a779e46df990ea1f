# Which Debian packages Reelmill needs, and how they are installed. Sourced by try-it.sh, tests/run.sh and .ci/run.

# To build it and to run it.
REELMILL_PACKAGES="build-essential pkg-config
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gstreamer1.0-libav fonts-dejavu-core"

# To test it: ffmpeg is the second opinion on every output, groff reads the manual pages, curl asks the daemon as the README says,
# and Python runs a server that speaks S3.
REELMILL_TEST_PACKAGES="ffmpeg groff-base curl openssl python3 python3-venv"

# To make the Debian package: dpkg-shlibdeps names the libraries.
REELMILL_DEB_PACKAGES="dpkg-dev"

# For the long tests: real camera footage.
REELMILL_FOOTAGE_PACKAGES="opencv-doc"

# For them, too: a real server that speaks S3, with all that it is made of.
REELMILL_CEPH_PACKAGES="radosgw ceph-mon ceph-osd ceph-mgr ceph-common"

# Installs those of the named packages that are missing, and says which.
install_packages() {
  if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "This is not Debian: install what corresponds to: $*" >&2
    return 0
  fi
  missing=""
  for package in "$@"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing="$missing $package"
    fi
  done
  if [ -z "$missing" ]; then
    echo "==> Packages: all there"
    return 0
  fi
  echo "==> Packages: installing$missing"
  as_root=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "Installing needs root, and there is no sudo. As root, run: apt-get install --no-install-recommends$missing" >&2
      return 1
    fi
    as_root="sudo"
  fi
  # Package lists are fetched only where something is missing. $missing is a list of words.
  $as_root apt-get update -qq </dev/null &&
    $as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $missing </dev/null
}

# Finds cargo, also where a login shell would have.
find_cargo() {
  if ! command -v cargo >/dev/null 2>&1; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
  fi
  if ! command -v cargo >/dev/null 2>&1; then
    echo "Rust is missing: install it from https://rustup.rs and come back." >&2
    return 1
  fi
}
