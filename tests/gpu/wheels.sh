#!/usr/bin/env bash
# Make FOLDER: the wheels of wheels.txt and mpidl's own with its native kernel, for Python 3.12.
#
#   tests/gpu/wheels.sh FOLDER [PYTHON]     PYTHON: a Python 3.12 (python3.12)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?the folder to make}
python=${2:-python3.12}

mkdir -p "$folder"
rm -f "$folder"/*.whl
"$python" -c 'import sys; assert sys.version_info[:2] == (3, 12), sys.version'
"$python" -m pip download --no-deps --only-binary=:all: --dest "$folder" \
    --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_5_x86_64 --platform manylinux1_x86_64 \
    --requirement "$here/wheels.txt"
"$python" -m pip wheel --no-deps --wheel-dir "$folder" "$here/../.."

bytes=$(cat "$folder"/*.whl | wc -c)
echo "$folder: $(find "$folder" -name '*.whl' | wc -l) wheels, $((bytes >> 20)) MiB"
# The tree itself, of some 8 MiB, travels with them.
[ "$bytes" -le $((56 << 20)) ] || { echo "more than 56 MiB" >&2; exit 1; }
