#!/bin/sh
# Runs a command beside a libvirtd of its own, in a network namespace and with sockets and state of their own: networks and
# firewall rules of libvirt stay in there, and nothing of the host's libvirt is seen or changed. Needs root, libvirtd, virsh.
# The command runs inside too, and reaches guests on libvirt's networks. Example: scripts/with-libvirtd.sh virsh net-list
set -eu
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 14; }
if [ "${MK_CI_LIBVIRTD:-}" != inside ]; then
  exec env MK_CI_LIBVIRTD=inside unshare --net --mount "$0" "$@"
fi
mount --make-rprivate /
ip link set lo up
folder=$(mktemp -d /tmp/mk-ci-libvirtd.XXXXXX)
for path in /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /run/libvirt; do
  mkdir -p "$path"
  mount -t tmpfs -o mode=755 none "$path"
done
mkdir -p /etc/libvirt/qemu/networks /var/lib/libvirt/images
# Of qemu:///session.
for path in "$HOME/.config/libvirt" "$HOME/.cache/libvirt"; do
  mkdir -p "$path"
  mount -t tmpfs -o mode=700 none "$path"
done
mkdir -m 700 "$folder/run"
export XDG_RUNTIME_DIR="$folder/run"
cat >/etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
END
libvirtd --pid-file "$folder/libvirtd.pid" >"$folder/libvirtd.log" 2>&1 &
daemon=$!
virtlogd >"$folder/virtlogd.log" 2>&1 &
logger=$!
clean() {
  # Machines outlive their daemon.
  for uri in qemu:///system qemu:///session; do
    [ "$uri" = qemu:///system ] || [ -e "$folder/run/libvirt" ] || continue
    virsh --connect "$uri" list --name 2>/dev/null | while read -r name; do
      [ -z "$name" ] || virsh --connect "$uri" destroy "$name" >/dev/null 2>&1 || true
    done
  done
  virsh --connect qemu:///system net-list --name 2>/dev/null | while read -r name; do
    [ -z "$name" ] || virsh --connect qemu:///system net-destroy "$name" >/dev/null 2>&1 || true
  done
  for file in "$folder"/run/libvirt/*.pid; do
    [ ! -s "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
  done
  kill "$daemon" "$logger" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean EXIT
trap 'exit 143' TERM INT
tries=0
until virsh --connect qemu:///system uri >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ $tries -gt 100 ] || ! kill -0 "$daemon" 2>/dev/null; then
    cat "$folder/libvirtd.log" >&2
    exit 50
  fi
  sleep 0.2
done
"$@"
