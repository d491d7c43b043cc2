#!/bin/sh
# A guest in Docker with nothing of qvirt around it. Ctrl-C ends it, and nothing of it stays.
#   docker.sh [MEMORY_MIB]
set -eu
: "${image:?set image to the reference of a guest image, qvirt-guest:ID}"
memory=${1:-1024}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
(umask 077 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$folder/token")
cat >&2 <<EOF
When it listens, ask it for example
  curl --unix-socket $folder/guest.sock -H "Authorization: Bearer \$(cat $folder/token)" http://guest/v1/capabilities
EOF
# As whoever runs this, and not as the image's user: that one could not read the token.
docker run --rm --init=false --name "qvirt-launched-$$" --user "$(id -u):$(id -g)" --network none \
    --read-only --tmpfs /tmp:size=64m,mode=1777,noexec,nosuid,nodev \
    --tmpfs "/run/states:size=${memory}m,mode=1777,noexec,nosuid,nodev" \
    --cap-drop ALL --security-opt no-new-privileges --pids-limit 256 \
    --memory "${memory}m" --memory-swap "${memory}m" --volume "$folder:/run/qvirt" \
    "$image" /usr/bin/python3 -m qvirt.guest --socket /run/qvirt/guest.sock --token-file /run/qvirt/token \
    --directory /run/states --memory $((memory * 1048576)) --cpus 1
