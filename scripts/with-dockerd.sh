#!/bin/bash
# Runs a command with a Docker daemon of its own: with-dockerd.sh COMMAND…
# DOCKERD_OPTIONS are further options of the daemon. Data and socket lie in a new folder below TMPDIR, DOCKER_HOST names the
# socket. When the command has ended, the daemon, what it still runs and the folder are removed. Installs nothing; exits with
# the code of the command, or with 69 when no daemon could be started, and then shows its last words. Needs root.
set -uo pipefail
[ $# -gt 0 ] || { echo 'usage: with-dockerd.sh COMMAND…' >&2; exit 64; }
command -v dockerd >/dev/null || { echo 'dockerd is not installed' >&2; exit 69; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/mk-ci-dockerd.XXXXXX")
daemon=
finish() {
  if [ -n "$daemon" ]; then
    # Orderly: it stops its containers and its own containerd. It gives each of them 15 s.
    kill -TERM "$daemon" 2>/dev/null
    for _ in $(seq 300); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$daemon" 2>/dev/null
    [ ! -f "$folder/exec/containerd/containerd.pid" ] || kill -KILL "$(cat "$folder/exec/containerd/containerd.pid")" 2>/dev/null
  fi
  # What is still mounted below is not a file of ours.
  awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n 1 umount -l
  rm -rf --one-file-system "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# No default bridge: its name and its addresses may be those of another daemon.
setsid dockerd --host "unix://$folder/docker.sock" --data-root "$folder/data" --exec-root "$folder/exec" \
  --pidfile "$folder/docker.pid" --bridge none --log-level warn ${DOCKERD_OPTIONS:-} >"$folder/dockerd.log" 2>&1 &
daemon=$!
export DOCKER_HOST="unix://$folder/docker.sock"
unset DOCKER_CONTEXT
for _ in $(seq 300); do
  docker version >/dev/null 2>&1 && { ready=yes; break; }
  kill -0 "$daemon" 2>/dev/null || break
  sleep 0.1
done
if [ "${ready:-}" != yes ]; then
  echo 'dockerd does not answer; its last words:' >&2
  tail -n 20 "$folder/dockerd.log" >&2
  exit 69
fi
"$@"
