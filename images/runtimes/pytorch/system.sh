# torch.compile writes C++ and compiles it where it runs. Left out again, for size: link-time optimization, the C front end,
# sanitizers, the static Python.
set -euo pipefail
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ libpython3.11-dev
cd /usr/lib/gcc/x86_64-linux-gnu/12
rm -f lto1 lto-wrapper cc1 lib*san*.a
cd /usr/lib/x86_64-linux-gnu
rm -f lib*san.so* libgprofng* libc.a libm-2.36.a libmvec.a
rm -f /usr/lib/python3.11/config-*/libpython*.a
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
