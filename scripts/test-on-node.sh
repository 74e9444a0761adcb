#!/bin/sh
# Runs the unit tests on other versions of Node.js, which the npm package node-<platform> brings with its headers.
# usage: scripts/test-on-node.sh MAJOR...
# The packages are installed anew in a temporary copy, because better-sqlite3 is compiled for one version only.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
platform="$(node -p 'process.platform')-$(node -p 'process.arch')"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for major in "$@"; do
  echo "== unit tests on Node.js $major"
  mkdir -p "$work/node-$major" "$work/project-$major"
  (cd "$work/node-$major" && npm pack --silent "node-$platform@^$major" | tail -n 1 | xargs tar xzf)
  prefix="$work/node-$major/package"
  git -C "$root" ls-files -z --cached --others --exclude-standard | (cd "$root" && xargs -0 tar cf - --ignore-failed-read) |
    tar xf - -C "$work/project-$major"
  ln -sfn "$root/../shared" "$work/shared"
  (
    cd "$work/project-$major"
    export PATH="$prefix/bin:$PATH" npm_config_nodedir="$prefix"
    node --version
    npm ci --no-fund --no-audit --loglevel=error
    npm test
  )
  rm -rf "$work/node-$major" "$work/project-$major"
done
