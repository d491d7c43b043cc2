#!/bin/sh
# A guest in QEMU with nothing of qvirt around it; no root, no daemon. Its console is this terminal.
# Ctrl-C ends it, and nothing of it stays.
#   qemu.sh [PORT [MEMORY_MIB]]
set -eu
: "${folder:?set folder to that of a guest image, with disk.erofs, vmlinuz and initrd}"
accelerator=${accelerator:-tcg}
port=${1:-8765}
memory=${2:-1024}
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
trap 'exit 130' INT TERM
(umask 077 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$private/token")
printf "ARGS='--memory %s --cpus 1'\nHOSTNAME=launched\n" $((memory * 1048576)) >"$private/config"
cpu=max
fast='nokaslr mitigations=off tsc=reliable no_timer_check noreplace-smp'
[ "$accelerator" = tcg ] || cpu=host fast=
cat >&2 <<EOF
It takes some ten seconds to start without KVM. Then ask it for example
  curl -H "Authorization: Bearer \$(cat $private/token)" http://127.0.0.1:$port/v1/capabilities
EOF
qemu-system-x86_64 -name qvirt-launched -nodefaults -no-user-config -no-reboot -display none \
    -machine q35 -accel "$accelerator" -cpu "$cpu" -smp 1 -m "${memory}M" \
    -kernel "$folder/vmlinuz" -initrd "$folder/initrd" \
    -append "console=ttyS0 quiet loglevel=3 panic=-1 qvirt.root=/dev/vda qvirt.fs=erofs qvirt.debug cryptomgr.notests random.trust_cpu=on audit=0 apparmor=0 ipv6.disable=1 $fast" \
    -drive "if=none,id=root,format=raw,readonly=on,file=$folder/disk.erofs" -device virtio-blk-pci,drive=root \
    -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:8000" -device virtio-net-pci,netdev=net,romfile= \
    -fw_cfg "name=opt/qvirt/config,file=$private/config" -fw_cfg "name=opt/qvirt/token,file=$private/token" \
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
    -serial stdio -monitor none </dev/null
