#!/bin/bash
# Runs a command with a Podman of its own: with-podman.sh COMMAND…
# Images, containers, volumes and the files of networks lie in a new folder below TMPDIR, which CONTAINERS_STORAGE_CONF and
# CONTAINERS_CONF name; bridges, firewall rules and mounts in namespaces of this command, which have no way out of the host
# (what has to be fetched, is fetched before). When the command has ended, what still runs is ended, and all of it is gone.
# Installs nothing; exits with the code of the command, or with 69 and Podman's words when it can not work. Needs root.
set -uo pipefail
[ $# -gt 0 ] || { echo 'usage: with-podman.sh COMMAND…' >&2; exit 64; }
if [ "${MK_CI_PODMAN:-}" != inside ]; then
  command -v podman >/dev/null || { echo 'podman is not installed' >&2; exit 69; }
  unshare --net --mount true || exit 69
  MK_CI_PODMAN=inside exec unshare --net --mount "$0" "$@"
fi
unset MK_CI_PODMAN CONTAINER_HOST CONTAINER_CONNECTION
mount --make-rprivate / || exit 69
ip link set lo up || exit 69

folder=$(mktemp -d "${TMPDIR:-/tmp}/mk-ci-podman.XXXXXX")
mkdir "$folder"/{images,run,tmp,static,volumes,networks,cni}
# Addresses that CNI's host-local gives away, and what netavark and CNI keep of running networks.
for path in /var/lib/cni /run/containers; do
  mkdir -p "$path" && mount --bind "$folder/cni" "$path" || exit 69
done
cat >"$folder/storage.conf" <<END
[storage]
driver = "overlay"
runroot = "$folder/run"
graphroot = "$folder/images"
END
cat >"$folder/containers.conf" <<END
[engine]
tmp_dir = "$folder/tmp"
static_dir = "$folder/static"
volume_path = "$folder/volumes"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "$folder/networks"
END
export CONTAINERS_STORAGE_CONF="$folder/storage.conf" CONTAINERS_CONF="$folder/containers.conf"
finish() {
  podman rm --all --force --time 0 >/dev/null 2>&1
  podman volume prune --force >/dev/null 2>&1
  # What is still mounted below is not a file of ours.
  awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n 1 umount -l
  rm -rf --one-file-system "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

podman info >/dev/null 2>"$folder/words" || { tail -n 5 "$folder/words" >&2; exit 69; }
"$@"
