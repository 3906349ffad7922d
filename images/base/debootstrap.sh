#!/bin/sh
# Make the base image from Debian packages, for places where no image registry answers.
#
#   sudo images/base/debootstrap.sh        (or: nox -s base)
#
# Needs root, debootstrap, tar and a Docker Engine. Packages come from the mirror that this machine's apt uses for
# Debian bookworm, through apt's proxy; MIRROR=<url> and http_proxy=<url> say otherwise. The result is tagged
# compression-matrix/base:<hash> and :latest, where <hash> stands for the contents of this folder, so that
# the harness finds it and builds nothing anew. About one minute; nothing of this machine's configuration
# enters the image but the mirror's address, without a user name or a password.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=bookworm
hash=$(cat "$here/Dockerfile" "$here/debootstrap.sh" | sha256sum | cut -c1-12)
tag="compression-matrix/base:$hash"

fail() { echo "debootstrap.sh: $1" >&2; exit 3; }
[ "$(id -u)" -eq 0 ] || fail "must run as root: use sudo"
for tool in debootstrap tar docker; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install debootstrap tar docker.io"
done
docker info >/dev/null 2>&1 || fail "no Docker Engine answers: start it first"

if [ -z "${MIRROR:-}" ] && command -v apt-get >/dev/null; then
  MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 2>/dev/null | head -n 1)
fi
if [ -z "${http_proxy:-}" ] && command -v apt-config >/dev/null; then
  eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
  [ -z "${http_proxy:-}" ] || export http_proxy
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/compression-matrix-base.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM
mkdir -m 0755 "$root/system"
system="$root/system"

debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates,libgomp1 \
  "$suite" "$system" ${MIRROR:+"$MIRROR"} >"$root/log" 2>&1 ||
  { tail -n 20 "$root/log" >&2; fail "debootstrap failed: does the mirror answer? Set MIRROR=<url of a Debian mirror>"; }

# Dependencies stay marked, so that apt works in images built on this one; what no program reads is removed.
chroot "$system" groupadd --gid 10001 matrix
chroot "$system" useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin matrix
find "$system/usr/share/doc" -type f ! -name copyright -delete
find "$system/usr/share/doc" -type d -empty -delete
rm -rf "$system"/usr/share/man/* "$system"/usr/share/info/* "$system"/usr/share/locale/* "$system"/usr/share/lintian \
  "$system"/var/cache/apt/* "$system"/var/cache/debconf/*-old "$system"/var/lib/apt/lists/* "$system"/var/log/* \
  "$system"/usr/lib/udev/hwdb.bin "$system"/tmp/* "$system"/root/.cache "$system"/etc/resolv.conf "$system"/etc/hostname
find "$system/usr/lib/python3" "$system/usr/lib/python3.11" -name __pycache__ -type d -exec rm -rf {} +
chroot "$system" python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.11 >/dev/null 2>&1 || true
printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\npath-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n' \
  >"$system/etc/dpkg/dpkg.cfg.d/slim"
sed -i -E 's#(://)[^/@ ]*@#\1#' "$system/etc/apt/sources.list"
chroot "$system" python3 -c 'import ctypes, sys; ctypes.CDLL("libgomp.so.1"); assert sys.version_info[:2] == (3, 11), sys.version'

tar -C "$system" --numeric-owner -c . | docker import \
  --change 'ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1' \
  --change 'CMD ["python3"]' \
  --change 'LABEL org.compression-matrix.image=base' \
  --change "LABEL org.compression-matrix.base-hash=$hash" \
  --change 'LABEL org.compression-matrix.base-origin=debootstrap' \
  - "$tag" >/dev/null
docker tag "$tag" compression-matrix/base:latest
echo "$tag"
