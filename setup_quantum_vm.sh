#!/usr/bin/env bash
# Sets qvirt up for one user, then runs `qvirt COMMAND...`. Written for bash 3.2, which macOS has.
# All messages go to stderr, so that stdout holds only what COMMAND prints.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: ./setup_quantum_vm.sh [OPTION...] [-- COMMAND...]

Makes a virtual environment, installs qvirt and what this machine can use of its
engines, measures the machine once, and then runs `qvirt COMMAND...`. It changes
nothing where there is nothing to do, and needs root only for what --with installs.

  --with LIST      also set up, comma-separated: docker, qemu (with libvirt), torch.
                   docker and qemu: on Debian and Ubuntu what is missing is installed
                   and started, the guest image is built, and a circuit is run there
  --venv DIR       the virtual environment (default: $QVIRT_VENV, else .venv here)
  --python PYTHON  the Python to use, 3.10 to 3.13 (default: the first one found)
  --dev            also install what the tests need
  --no-calibrate   do not measure this machine (or set QVIRT_NO_CALIBRATE=1)
  -h, --help       show this

examples:
  ./setup_quantum_vm.sh -- run examples/bell.qasm
  ./setup_quantum_vm.sh --with docker,qemu -- vm create lab --runtime docker
EOF
}

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'setup_quantum_vm.sh: %s\n' "$*" >&2; exit 1; }
misuse() { printf 'setup_quantum_vm.sh: %s\n' "$*" >&2; exit 2; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
venv=${QVIRT_VENV:-$root/.venv}
asked_python=
want_dev=
want_torch=
want_docker=
want_qemu=
calibrate=yes
[ -z "${QVIRT_NO_CALIBRATE:-}" ] || calibrate=

choose() {
    local name
    for name in $(printf '%s' "$1" | tr ',' ' '); do
        case $name in
            torch) want_torch=yes ;;
            docker) want_docker=yes ;;
            qemu | libvirt) want_qemu=yes ;;
            *) misuse "--with $name: there is no such part; there are docker, qemu and torch" ;;
        esac
    done
}

while [ $# -gt 0 ]; do
    case $1 in
        --with | --venv | --python) [ $# -gt 1 ] || misuse "$1 needs a value" ;;
    esac
    case $1 in
        --with) choose "$2"; shift ;;
        --venv) venv=$2; shift ;;
        --python) asked_python=$2; shift ;;
        --dev) want_dev=yes ;;
        --no-calibrate) calibrate= ;;
        -h | --help) usage; exit ;;
        --) shift; break ;;
        *) misuse "there is no option $1; --help shows what there is" ;;
    esac
    shift
done
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
stamp=$venv/.qvirt-setup
python=$venv/bin/python

how_to_get_python() {
    if [ "$(uname -s)" = Darwin ]; then echo "brew install python@3.13"
    elif command -v apt-get >/dev/null; then echo "sudo apt-get install python3 python3-venv"
    elif command -v dnf >/dev/null; then echo "sudo dnf install python3.13"
    else echo "by your system's package manager"
    fi
}

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Prints the first Python of a good version that can make virtual environments, else the first of a good version.
find_python() {
    local candidate lacking=
    for candidate in ${asked_python:-python3 python3.13 python3.12 python3.11 python3.10}; do
        is_supported "$candidate" || continue
        if has_venv "$candidate"; then
            echo "$candidate"
            return
        fi
        lacking=${lacking:-$candidate}
    done
    [ -n "$lacking" ] || fail "found no Python 3.10 to 3.13 (looked for ${asked_python:-python3 and python3.10 to python3.13}).
Install one: $(how_to_get_python)
or name one: ./setup_quantum_vm.sh --python /path/to/python3"
    echo "$lacking"
}

make_venv() {
    local base version
    base=$(find_python)
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "making a virtual environment with Python $version in $venv"
    if has_venv "$base"; then
        "$base" -m venv ${1:+"$1"} "$venv" >&2
    elif command -v virtualenv >/dev/null; then
        virtualenv ${1:+"$1"} --python "$base" "$venv" >&2
    elif command -v apt-get >/dev/null; then
        fail "Python $version is here without its venv module. Install it: sudo apt-get install python$version-venv"
    else
        fail "Python $version is here without its venv module. Install it, or virtualenv: $(how_to_get_python)"
    fi
}

ensure_venv() {
    if [ ! -e "$venv" ]; then
        make_venv
    elif [ ! -e "$venv/pyvenv.cfg" ]; then
        [ -z "$(ls -A "$venv")" ] || fail "$venv is no virtual environment; name another folder with --venv"
        make_venv
    elif ! is_supported "$python"; then
        # Only what this script made may be emptied.
        [ -e "$stamp" ] || fail "the Python of $venv does not start or is not 3.10 to 3.13; remove it or name another with --venv"
        make_venv --clear
    elif ! "$python" -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
}

# What an installation depends on; another value means that it is done again.
fingerprint() { printf '%s; %s; %s\n' "$(cksum <"$root/pyproject.toml")" "$root" "$("$python" -V)"; }

is_done() { [ "$(head -n 1 "$stamp" 2>/dev/null)" = "$(fingerprint)" ] && grep -qx "$1" "$stamp"; }

mark_done() {
    [ "$(head -n 1 "$stamp" 2>/dev/null)" = "$(fingerprint)" ] || fingerprint >"$stamp"
    echo "$1" >>"$stamp"
}

pip() { "$python" -m pip --disable-pip-version-check "$@"; }

pip_install() {
    local quiet=--quiet
    [ ! -t 2 ] || quiet=
    pip install ${quiet:+"$quiet"} "$@" >&2
}

install_qvirt() {
    if is_done qvirt && "$python" -c 'import qvirt' 2>/dev/null; then
        return
    fi
    say "installing qvirt and its engines (some 200 MB to download, 700 MB on disk)"
    # Older ones cannot install a project without setup.py for development.
    pip_install "pip>=22.3"
    pip_install --editable "$root" || fail "the installation failed; pip's reason is above"
    say "installing the engine qsim"
    pip_install --only-binary qsimcirq --editable "${root}[qsim]" ||
        say "qsim could not be installed; qvirt works without it. To try again: $python -m pip install -e '${root}[qsim]'"
    mark_done qvirt
}

install_dev() {
    is_done dev && return
    say "installing what the tests need"
    pip_install --editable "${root}[dev]" || fail "the installation failed; pip's reason is above"
    mark_done dev
}

has_package() { "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

# The packages of NVIDIA that pip would install along with $1.
cuda_packages() {
    local report
    report=$(pip install --dry-run --quiet --report - "$1") || return
    printf '%s' "$report" | "$python" -c '
import json, sys
names = [item["metadata"]["name"].lower() for item in json.load(sys.stdin)["install"]]
print(" ".join(name for name in names if name.startswith(("nvidia-", "cuda-"))))'
}

install_torch() {
    local wanted=${QVIRT_TORCH_SPEC:-} cuda
    has_package torch && return
    if [ "$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1; then
        [ -n "$wanted" ] || fail "--with torch: there is no NVIDIA GPU here, and the usual torch for Linux brings gigabytes of CUDA
packages. Name a build for CPUs (or for AMD GPUs), for example QVIRT_TORCH_SPEC='torch==2.13.0+cpu' or
the path of a wheel; where pip is to look for it goes into PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS."
        say "looking at what '$wanted' would bring"
        cuda=$(cuda_packages "$wanted") || fail "pip finds no $wanted; its reason is above"
        [ -z "$cuda" ] || fail "$wanted would bring CUDA packages that this machine cannot use: $cuda"
    fi
    say "installing ${wanted:=torch>=2.4,<3}"
    pip_install "$wanted" || fail "torch could not be installed; pip's reason is above"
}

# A torch for CPUs brings none; the tests of the GPU kernels run them in its interpreter.
install_triton() {
    [ "$(uname -sm)" = "Linux x86_64" ] && ! has_package triton || return 0
    say "installing Triton for the tests of the GPU kernels"
    pip_install "triton>=3.5,<4" || fail "Triton could not be installed; pip's reason is above"
}

calibrate_once() {
    [ -n "$calibrate" ] && [ ! -e "$venv/.qvirt-calibrated" ] || return 0
    say "measuring this machine once (about half a minute), so that run times can be predicted"
    "$venv/bin/qvirt" bench --calibrate </dev/null >&2 ||
        say "that failed; qvirt works with its built-in figures. To try again: qvirt bench --calibrate"
    touch "$venv/.qvirt-calibrated"
}

next_steps() {
    cat >&2 <<EOF
qvirt is ready.
  run a circuit:     $venv/bin/qvirt run $root/examples/bell.qasm
  have it as qvirt:  source $venv/bin/activate
  shell completion:  eval "\$(qvirt completion bash)"   (or zsh, fish)
  what is here:      qvirt probe, qvirt doctor
EOF
}

# shellcheck source=scripts/engines.sh
. "$root/scripts/engines.sh"

ensure_venv
install_qvirt
[ -z "$want_dev" ] || install_dev
[ -z "$want_torch" ] || install_torch
[ -z "$want_torch" ] || [ -z "$want_dev" ] || install_triton
[ -z "$want_docker$want_qemu" ] || set_up_engines
calibrate_once
if [ $# -gt 0 ]; then
    exec "$venv/bin/qvirt" "$@"
fi
next_steps
