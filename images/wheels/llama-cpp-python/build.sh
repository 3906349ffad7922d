#!/usr/bin/env bash
# build.sh SOURCES OUT: compile llama-cpp-python from its source distribution in SOURCES into one wheel in OUT.
#
# SOURCES also holds the wheels of the build tools (requirements.txt); nothing else is fetched. Needs g++ and python3 with pip.
# The wheel runs on every x86-64 processor: see CMakeLists.txt.
set -euo pipefail

recipe=$(cd "$(dirname "$0")" && pwd)
sources=$(cd "$1" && pwd)
out=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tar -xzf "$sources"/llama_cpp_python-*.tar.gz -C "$work" --strip-components=1
cp "$recipe/CMakeLists.txt" "$work/"

# ggml lists 14 generations of x86-64 processors; six are compiled, and each processor runs the best that it can. Ice Lake and
# Zen 4 have more than Cascade Lake and Cooper Lake (VBMI), which no kernel uses.
sed -i -E '/ggml_add_cpu_backend_variant\((sse42|sandybridge|ivybridge|piledriver|cannonlake|icelake|zen4|alderlake) /d' \
  "$work/vendor/llama.cpp/ggml/src/CMakeLists.txt"

# GCC 12 takes the tile configuration for 8 bytes and drops the rest as never read, and then every AMX instruction is an
# illegal one (llama.cpp, pull request 26954). Told the whole operand, it keeps it.
amx=$work/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp
sed -i 's/_tile_loadconfig(&tc);/__asm__ volatile("ldtilecfg %0" :: "m"(tc));/' "$amx"
grep -q ldtilecfg "$amx" # else its source has changed: see whether it still needs this

# Left to itself ggml looks for its kernels beside the Python interpreter and in the working directory.
sed -i 's/^_lib = load_shared_library.*/&\n_lib.ggml_backend_load_all_from_path(str(_base_path).encode())/' \
  "$work/llama_cpp/llama_cpp.py"

CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) python3 -m pip wheel --no-index --find-links "$sources" --no-deps --no-cache-dir \
  --disable-pip-version-check --verbose --wheel-dir "$out" "$work"
