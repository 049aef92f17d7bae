#!/bin/sh
# Succeeds when the given Python can build .venv; otherwise names the one command that mends it.
python=${1:-python3}

mend() {
    echo "$1 This mends it:" >&2
    echo "    $2" >&2
    exit 1
}

sudo=''
[ "$(id -u)" -eq 0 ] || sudo='sudo '

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    for newer in python3.13 python3.12 python3.11; do
        command -v "$newer" >/dev/null && mend "loyalty needs Python 3.11 or newer." "make setup PYTHON=$newer"
    done
    [ "$(uname)" = Darwin ] && mend "loyalty needs Python 3.11 or newer." \
        "brew install python@3.13 && make setup PYTHON=python3.13"
    mend "loyalty needs Python 3.11 or newer." \
        "${sudo}apt-get install -y python3.11 python3.11-venv && make setup PYTHON=python3.11"
}

"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    package=python3-venv
    [ "$(basename "$python")" = python3 ] || package="python$version-venv"
    mend "$python cannot make a virtual environment." "${sudo}apt-get install -y $package"
}
