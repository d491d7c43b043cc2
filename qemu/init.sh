#!/bin/busybox sh
# /init of the guest's initramfs: loads the drivers, puts a writable layer over the read-only root, goes there.
# The kernel command line may have
#   qvirt.root=/dev/vda     where the root file system is       qvirt.fs=erofs      and of what type
#   qvirt.disk=BYTES        how much the guest may write        qvirt.debug         tell the time of each step
busybox=/bin/busybox
$busybox mount -t devtmpfs -o nosuid,noexec dev /dev
$busybox mkdir -p /proc /sys /image /layer /new
$busybox mount -t proc -o nosuid,nodev,noexec proc /proc
$busybox mount -t sysfs -o nosuid,nodev,noexec sys /sys

root=/dev/vda type=erofs size= debug=
read -r line </proc/cmdline
for word in $line; do
    case $word in
        qvirt.root=*) root=${word#*=} ;;
        qvirt.fs=*) type=${word#*=} ;;
        qvirt.disk=*) size=,size=${word#*=} ;;
        qvirt.debug) debug=yes ;;
    esac
done

tell() {
    [ -n "$debug" ] || return 0
    read -r uptime _ </proc/uptime
    echo "qvirt: $1 at $uptime s"
}

# A guest that cannot start is powered off, with the reason on its console, and does not wait for nobody.
fail() {
    echo "qvirt: the guest cannot start: $1"
    $busybox poweroff -f
}

for module in $($busybox cat /modules/order); do
    $busybox insmod "/modules/$module.ko" || echo "qvirt: the module $module cannot be loaded"
done
tell "modules loaded"

tries=0
while [ ! -b "$root" ] && [ "$tries" -lt 250 ]; do
    $busybox usleep 20000
    tries=$((tries + 1))
done
[ -b "$root" ] || fail "there is no disk $root"
$busybox mount -t "$type" -o ro,nosuid,nodev "$root" /image || fail "$root is no $type file system"
$busybox mount -t tmpfs -o "nosuid,nodev,mode=0755$size" layer /layer
$busybox mkdir /layer/files /layer/work
$busybox mount -t overlay -o nosuid,nodev,lowerdir=/image,upperdir=/layer/files,workdir=/layer/work root /new ||
    fail "the layer over $root cannot be made"
tell "root mounted"
for folder in dev proc sys; do
    $busybox mount --move "/$folder" "/new/$folder"
done
exec $busybox switch_root /new /bin/busybox sh /usr/lib/qvirt/stage2
