# Part of setup_quantum_vm.sh: Docker, QEMU and libvirt on Debian and Ubuntu, with systemd or without.
# shellcheck shell=bash disable=SC2154

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo. As root: $*"
    fi
}

has_systemd() { [ -d /run/systemd/system ]; }

explain_other_systems() {
    if [ "$(uname -s)" = Darwin ]; then
        fail "engines are set up by this script on Debian and Ubuntu only. On macOS:
  docker: install Docker Desktop or colima and start it; then $python -m pip install -e '$root[docker]'
  qemu:   brew install qemu; then $python -m pip install -e '$root[qemu]'
  image:  build it on Debian or Ubuntu (qvirt image build), \`qvirt image export FILE\` there, \`qvirt image import FILE\` here"
    fi
    fail "engines are set up by this script on Debian and Ubuntu only. Here, install and start by your package manager:
  docker:  Docker (or Podman, with DOCKER_HOST=unix:///run/podman/podman.sock), and $python -m pip install -e '$root[docker]'
  qemu:    qemu-system-x86, and $python -m pip install -e '$root[qemu]'
  libvirt: libvirt with its QEMU driver, its headers, pkg-config and gcc, and $python -m pip install -e '$root[libvirt]'
  image:   build it on Debian or Ubuntu (qvirt image build), \`qvirt image export FILE\` there, \`qvirt image import FILE\` here"
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Debian packages, as far as they are missing.
install_packages() {
    local name
    local missing=()
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    as_root apt-get -o DPkg::Lock::Timeout=300 -qq update >&2 || fail "apt-get update failed; its reason is above"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        -qq install --yes --no-install-recommends "${missing[@]}" >&2 || fail "apt-get install failed; its reason is above"
}

install_extra() {
    is_done "$1" && return
    say "installing the Python packages for $1"
    pip_install --editable "${root}[$1]" || fail "the installation failed; pip's reason is above"
    mark_done "$1"
}

# Runs a command as root, detached from this terminal, with its output in a log of the state directory.
start_detached() {
    local log=$state/logs/$1.log
    shift
    mkdir -p "$state/logs"
    as_root sh -c 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &' start "$log" "$@"
}

await() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 150 ] || return 1
        sleep 0.2
    done
}

set_up_docker() {
    if ! docker info >/dev/null 2>&1; then
        command -v dockerd >/dev/null || install_packages docker.io
        if as_root docker info >/dev/null 2>&1; then
            :
        elif has_systemd; then
            as_root systemctl enable --now docker >&2 || fail "Docker does not start: journalctl -u docker"
        else
            say "starting dockerd; its log is $state/logs/dockerd.log"
            start_detached dockerd dockerd
        fi
        await as_root docker info || fail "Docker does not answer: $(tail -n 1 "$state/logs/dockerd.log" 2>/dev/null || echo 'journalctl -u docker')"
        docker info >/dev/null 2>&1 || {
            as_root usermod --append --groups docker "$(id -un)"
            fail "Docker runs, and you are in its group now: log out and in again, then run this again"
        }
    fi
    install_extra docker
}

set_up_qemu() {
    install_packages qemu-system-x86 qemu-utils
    install_extra qemu
}

libvirt_answers() { virsh --quiet --connect "$libvirt_uri" version; }

# Root has the system's libvirt; everybody else has one of their own, which starts when it is asked.
set_up_libvirt() {
    local packages="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients libvirt-dev pkg-config gcc libc6-dev"
    ! has_systemd || packages="$packages libvirt-daemon-system"
    case $("$python" -c 'import sys; print(sys.base_prefix)') in
        /usr) packages="$packages $("$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')" ;;
    esac
    # shellcheck disable=SC2086
    install_packages $packages
    libvirt_uri=qemu:///system
    if [ "$(id -u)" != 0 ]; then
        libvirt_uri=qemu:///session
        configure_libvirt "${XDG_CONFIG_HOME:-$HOME/.config}/libvirt/qemu.conf"
    elif has_systemd; then
        libvirt_answers >/dev/null 2>&1 || systemctl enable --now libvirtd >&2 || fail "libvirt does not start: journalctl -u libvirtd"
    elif ! libvirt_answers >/dev/null 2>&1; then
        getent passwd libvirt-qemu >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin libvirt-qemu
        configure_libvirt /etc/libvirt/qemu.conf
        say "starting libvirtd; its log is $state/logs/libvirtd.log"
        start_detached libvirtd libvirtd
    fi
    await libvirt_answers || fail "libvirt does not answer at $libvirt_uri: $(libvirt_answers 2>&1 | tail -n 1)"
    install_extra libvirt
}

# Where nobody has configured it: no virtlogd, and QEMU as the one who owns the images and the state directory.
configure_libvirt() {
    if has_systemd || grep -q '^[a-z]' "$1" 2>/dev/null; then
        return
    fi
    say "writing $1"
    mkdir -p "$(dirname "$1")"
    printf '# Written by the set-up of qvirt.\nstdio_handler = "file"\n' >>"$1"
    [ "$(id -u)" != 0 ] || printf 'user = "root"\ngroup = "root"\ndynamic_ownership = 0\n' >>"$1"
}

image_fact() { "$venv/bin/qvirt" image inspect --format json | "$python" -c "import json, sys; print(json.load(sys.stdin)['image']['$1'])"; }

# NAME VARIABLE=VALUE...: images/launch/NAME.sh, with what it needs to know, as a program of its own.
write_launch() {
    local name=$1 each
    shift
    mkdir -p "$state/launch"
    {
        echo '#!/bin/sh'
        for each in "$@"; do printf "%s='%s'\n" "${each%%=*}" "${each#*=}"; done
        tail -n +2 "$root/images/launch/$name.sh"
    } >"$state/launch/$name.sh.new"
    chmod 0755 "$state/launch/$name.sh.new"
    mv "$state/launch/$name.sh.new" "$state/launch/$name.sh"
}

# The first circuit on an engine, once for each image.
try_engine() {
    local stamp=$state/launch/.tried-$1
    [ "$(cat "$stamp" 2>/dev/null)" != "$image_id" ] || return 0
    say "running a first circuit in a VM of $1"
    "$venv/bin/qvirt" run "$root/examples/bell.qasm" --runtime "$1" </dev/null >&2 ||
        fail "a VM of $1 does not run a circuit; the reason is above, and \`qvirt doctor\` looks further"
    printf '%s\n' "$image_id" >"$stamp"
}

set_up_engines() {
    local state libvirt_uri image_id folder purpose=all accelerator=tcg
    state=$("$python" -c 'from qvirt.paths import default_home; print(default_home())')
    command -v apt-get >/dev/null && [ "$(uname -s)" = Linux ] || explain_other_systems
    [ -z "$want_qemu" ] || [ "$(uname -m)" = x86_64 ] || fail "--with qemu: QEMU VMs are for x86-64 machines in this version"
    install_packages mmdebstrap ${want_qemu:+erofs-utils}
    [ -z "$want_docker" ] || set_up_docker
    [ -z "$want_qemu" ] || { set_up_qemu && set_up_libvirt; }
    [ -n "$want_qemu" ] || purpose=docker
    [ -n "$want_docker" ] || purpose=qemu
    say "building the guest image, as far as it is not there yet"
    "$venv/bin/qvirt" image build --for "$purpose" </dev/null >/dev/null || fail "the image could not be built; the reason is above"
    image_id=$(image_fact id)
    folder=$(image_fact folder)
    timeout 5 "$python" -c 'import sys; from qvirt.probe.kvm import unusable; sys.exit(unusable())' 2>/dev/null && accelerator=kvm
    [ -z "$want_docker" ] || write_launch docker "image=$(image_fact docker)"
    if [ -n "$want_qemu" ]; then
        write_launch qemu "folder=$folder" "accelerator=$accelerator"
        write_launch libvirt "folder=$folder" "accelerator=$accelerator" "LIBVIRT_DEFAULT_URI=$libvirt_uri"
    fi
    [ -z "$want_docker" ] || try_engine docker
    [ -z "$want_qemu" ] || { try_engine qemu && try_engine libvirt; }
    say "scripts that start a guest of each engine by itself: $state/launch"
}
