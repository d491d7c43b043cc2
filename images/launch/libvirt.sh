#!/bin/sh
# A guest in libvirt with nothing of qvirt around it. Ctrl-C ends it, and nothing of it stays.
#   libvirt.sh [PORT [MEMORY_MIB]]
set -eu
: "${folder:?set folder to that of a guest image, with disk.erofs, vmlinuz and initrd}"
export LIBVIRT_DEFAULT_URI="${LIBVIRT_DEFAULT_URI:-qemu:///system}"
accelerator=${accelerator:-tcg}
port=${1:-8766}
memory=${2:-1024}
name=qvirt-launched-$$
private=$(mktemp -d)
trap 'virsh --quiet destroy "$name" >/dev/null 2>&1 || true; rm -rf "$private"' EXIT
trap 'exit 130' INT TERM
# libvirt may run QEMU as another user, who must be able to read these.
chmod 0755 "$private"
head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$private/token"
printf "ARGS='--memory %s --cpus 1'\nHOSTNAME=launched\n" $((memory * 1048576)) >"$private/config"
type=qemu cpu=maximum
fast='nokaslr mitigations=off tsc=reliable no_timer_check noreplace-smp'
[ "$accelerator" = tcg ] || type=kvm cpu=host-passthrough fast=
cat >"$private/domain.xml" <<EOF
<domain type="$type" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>$name</name>
  <memory unit="MiB">$memory</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>$folder/vmlinuz</kernel>
    <initrd>$folder/initrd</initrd>
    <cmdline>console=ttyS0 quiet loglevel=3 panic=-1 qvirt.root=/dev/vda qvirt.fs=erofs cryptomgr.notests random.trust_cpu=on audit=0 apparmor=0 ipv6.disable=1 $fast</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode="$cpu"/>
  <on_poweroff>destroy</on_poweroff>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/><source file="$folder/disk.erofs"/>
      <target dev="vda" bus="virtio"/><readonly/><shareable/>
    </disk>
    <controller type="usb" model="none"/>
    <serial type="pty"/>
  </devices>
  <qemu:commandline>
    <qemu:arg value="-netdev"/>
    <qemu:arg value="user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:8000"/>
    <qemu:arg value="-device"/><qemu:arg value="virtio-net-pci,netdev=net,romfile=,addr=0x1e"/>
    <qemu:arg value="-fw_cfg"/><qemu:arg value="name=opt/qvirt/config,file=$private/config"/>
    <qemu:arg value="-fw_cfg"/><qemu:arg value="name=opt/qvirt/token,file=$private/token"/>
  </qemu:commandline>
</domain>
EOF
virsh --quiet create "$private/domain.xml"
cat >&2 <<EOF
It takes some ten seconds to start without KVM. Then ask it for example
  curl -H "Authorization: Bearer \$(cat $private/token)" http://127.0.0.1:$port/v1/capabilities
\`virsh console $name\` shows its console; Ctrl-C here ends it.
EOF
while virsh --quiet domstate "$name" 2>/dev/null | grep -q running; do sleep 1; done
