import type { Claim } from './claim.js';
import { CLAIM_FILE } from './claim.js';
import { HOST_FOLDER, PAYLOAD_FOLDER, type Footprint, type Kit } from './footprint.js';

/** Scripts that take a host and put it back, each run in one call by root's `sh`. Pure. */

const SAVED = `${HOST_FOLDER}/saved`;
const BEFORE = `${HOST_FOLDER}/before`;
/** Lines `present PATH` and `absent PATH`: what was there when the host was taken. */
const MANIFEST = `${HOST_FOLDER}/manifest`;

/** Exit status of {@link renderClaim} when another one has the host. */
export const TAKEN = 73;

/**
 * In the environment of what is started on a host for a machine, with its name. A script of an mk-ci that was killed goes on: kubeadm
 * would go on writing while the host is put back.
 */
export const MACHINE_VARIABLE = 'MK_CI_MACHINE';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** The claim comes to be as a whole, with all notes of how the host was, or not at all. Nothing else is changed. */
export function renderClaim(claim: Claim): string {
  const { footprint, paths } = claim;
  const fresh = `${HOST_FOLDER}.new.$$`;
  const before = `${fresh}/before`;
  return [
    'set -e; umask 077',
    `[ ! -e ${HOST_FOLDER} ] || exit ${TAKEN}`,
    // Of one that was killed, not of one that is at it now.
    `find ${HOST_FOLDER.replace(/\/[^/]*$/, '')} -maxdepth 1 -name 'mk-ci-host.new.*' -mmin +10 -exec rm -rf {} +`,
    `rm -rf ${fresh}; mkdir -p ${fresh}/saved ${before}`,
    `trap 'rm -rf ${fresh}' EXIT`,
    `note() { if [ -e "$1" ] || [ -L "$1" ]; then echo "present $1"; else echo "absent $1"; p=\${1%/*}; while [ -n "$p" ] && [ ! -e "$p" ]; do echo "parent $p"; p=\${p%/*}; done; fi; }`,
    `for p in ${[...paths, ...footprint.additions].join(' ')}; do note $p; done >${fresh}/manifest`,
    `for p in ${footprint.emptyFolders.join(' ')}; do [ -e $p ] || echo "parent $p"; done >>${fresh}/manifest`,
    ...footprint.lines.map(({ path }) => `[ ! -e ${path} ] || cp ${path} ${before}/$(echo ${path} | tr / _)`),
    `for s in ${footprint.sysctls.join(' ')}; do [ ! -r /proc/sys/$s ] || echo "$s $(cat /proc/sys/$s)"; done >${before}/sysctls`,
    `awk '{ print $5 }' /proc/self/mountinfo >${before}/mounts`,
    `ls /sys/class/net >${before}/interfaces`,
    `ip -4 -o address show | awk '{ print $4, "dev", $2 }' >${before}/addresses`,
    `ip -4 route show type unreachable >${before}/routes || true`,
    // On hosts that share the tree with others, folders of theirs may have the same names.
    `find /sys/fs/cgroup -type d \\( ${ofCgroups(footprint)} \\) >${before}/cgroups 2>/dev/null || true`,
    ...['iptables', 'ip6tables'].map(
      (tool) => `{ ${tool}-save 2>/dev/null || true; } | sed -n 's/^[*]//p' >${before}/${tool}-tables`,
    ),
    `echo ${base64(JSON.stringify(claim))} | base64 -d >${fresh}/claim.json`,
    'sync -f / 2>/dev/null || true',
    // A folder that is not empty is not replaced: of two at a time, one comes too late.
    `mv -T ${fresh} ${HOST_FOLDER} 2>/dev/null || exit ${TAKEN}`,
    '',
  ].join('\n');
}

const ofCgroups = ({ cgroups }: Pick<Footprint, 'cgroups'>): string =>
  cgroups.map((name) => `-name '${name}' -o -path '*/${name}/*'`).join(' -o ');

/** Puts originals aside. Repeated after an interruption, it does what is left to be done. */
export function renderSetAside({ paths }: Pick<Claim, 'paths'>): string {
  return [
    'set -e; umask 022',
    `home=$(stat -c %d ${HOST_FOLDER})`,
    'aside() {',
    `  grep -qxF "present $1" ${MANIFEST} || return 0`,
    `  s=${SAVED}$1; [ ! -e "$s" ] && [ ! -L "$s" ] || return 0`,
    '  mkdir -p "${s%/*}"; rm -rf "$s.part"',
    // Where it can be renamed nothing is copied; elsewhere the original goes only when the copy is complete.
    '  if [ "$(stat -c %d "$1")" = "$home" ]; then mv -T "$1" "$s"; else cp -a "$1" "$s.part"; mv -T "$s.part" "$s"; rm -rf "$1"; fi',
    '}',
    `for p in ${paths.join(' ')}; do aside $p; done`,
    '',
  ].join('\n');
}

/** Brings the payload, which lies on the host, to where it is expected. */
export function renderInstall({ links, copies }: Pick<Kit, 'links' | 'copies'>): string {
  return [
    'set -e; umask 022',
    `chmod 755 ${HOST_FOLDER} ${PAYLOAD_FOLDER}`,
    ...Object.entries(links).map(
      ([path, file]) => `mkdir -p ${path.replace(/\/[^/]*$/, '')}; ln -sfn ${PAYLOAD_FOLDER}/${file} ${path}`,
    ),
    ...Object.entries(copies).map(
      ([path, file]) =>
        `mkdir -p ${path.replace(/\/[^/]*$/, '')}; rm -rf ${path}; cp -a ${PAYLOAD_FOLDER}/${file} ${path}`,
    ),
    '',
  ].join('\n');
}

export function renderWriteClaim(claim: Claim): string {
  return `echo ${base64(JSON.stringify(claim))} | base64 -d >${CLAIM_FILE}.new && mv -f ${CLAIM_FILE}.new ${CLAIM_FILE}\n`;
}

/**
 * Sets `ours` to the numbers of all processes that units and cgroups of ours hold, that outlived them, or that were started for the
 * machine, with their descendants.
 */
function renderFindProcesses({
  name: machine,
  footprint: { processes, units, cgroups },
}: Pick<Claim, 'name' | 'footprint'>): string[] {
  return [
    'find_ours() {',
    `  ours=; next=$(grep -lzs '^${MACHINE_VARIABLE}=${machine}$' /proc/[0-9]*/environ | sed 's#[^0-9]##g')`,
    `  for u in ${units.join(' ')}; do m=$(systemctl show -p MainPID --value $u 2>/dev/null); [ "\${m:-0}" = 0 ] || next="$next $m"; done`,
    ...cgroups.map(
      (name) =>
        `  next="$next $(find /sys/fs/cgroup -path '*/${name}/*' -name cgroup.procs -exec cat {} + 2>/dev/null)"`,
    ),
    '  next=$(echo $next)',
    '  for d in /proc/[0-9]*; do',
    '    c=$(tr "\\0" " " <$d/cmdline 2>/dev/null) || continue',
    // What copies the payload carries no name; nobody else has this one of it.
    ...[...processes, `${PAYLOAD_FOLDER}.mk-ci`].map(
      (text) => `    case $c in *"${text}"*) next="$next \${d#/proc/}";; esac`,
    ),
    '  done',
    '  while [ -n "$next" ]; do',
    '    now=$next; next=',
    '    for p in $now; do',
    '      case " $ours " in *" $p "*) continue;; esac',
    // 0 stands for a process that can not be seen from here, and for kill it is our own group.
    '      case $p in $$|0) continue;; esac',
    '      ours="$ours $p"; for t in /proc/$p/task/*/children; do next="$next $(cat $t 2>/dev/null)"; done',
    '    done',
    '    next=$(echo $next)',
    '  done',
    '}',
  ];
}

/** Ends all that runs there for us; files stay. */
export function renderStop(claim: Pick<Claim, 'name' | 'footprint'>): string {
  return [
    ...renderFindProcesses(claim),
    'find_ours; kill -CONT $ours 2>/dev/null', // of a paused host nothing could end
    `for u in ${claim.footprint.units.join(' ')}; do timeout 45 systemctl stop $u 2>/dev/null; systemctl kill --signal=KILL $u 2>/dev/null; done`,
    'i=0; while find_ours; [ -n "$ours" ] && [ $i -lt 100 ]; do kill -KILL $ours 2>/dev/null; sleep 0.1; i=$((i+1)); done',
    'true',
    '',
  ].join('\n');
}

/** Freezes what runs there for us, or lets it go on: twice, since it may start something while it is looked for. */
export function renderFreeze(claim: Pick<Claim, 'name' | 'footprint'>, signal: 'STOP' | 'CONT'): string {
  const round = `find_ours; [ -z "$ours" ] || kill -${signal} $ours 2>/dev/null`;
  return [...renderFindProcesses(claim), round, round, 'true', ''].join('\n');
}

/**
 * Puts the host back: only what the notes name, and of that only what was not there before. Each step may be repeated. Prints
 * `left …` for what could not be undone, and keeps the notes then.
 */
export function renderRestore(claim: Pick<Claim, 'name' | 'footprint' | 'paths'>): string {
  const { footprint, paths } = claim;
  const isNew = (list: string, what: string): string => `! grep -qxF -- "${what}" ${BEFORE}/${list}`;
  const reversed = [...paths].reverse();
  return [
    `[ -d ${HOST_FOLDER} ] || exit 0`,
    `left=; left() { echo "left $*"; left=yes; }`,
    renderStop(claim),
    '[ -z "$ours" ] || left "processes $ours"',
    // Mounts: the last ones first.
    `awk '{ print $5 }' /proc/self/mountinfo | sort -r | while read -r m; do case $m in`,
    ...footprint.mounts.map((mount) => `  ${mount}|${mount}/*) ;;`),
    `  *) continue;; esac; ${isNew('mounts', '$m')} || continue; umount -l "$m" 2>/dev/null; done`,
    `for n in $(ls /sys/class/net); do case $n in ${footprint.interfaces.map((name) => `${name}*`).join('|')}) ;; *) continue;; esac; ${isNew('interfaces', '$n')} || continue; ip link delete $n 2>/dev/null; done`,
    ...renderRestoreRules(footprint),
    ...footprint.addresses.map(
      (address) => `if ${isNew('addresses', address)}; then ip address delete ${address} 2>/dev/null; fi`,
    ),
    `ip -4 route show type unreachable | while read -r r; do ${isNew('routes', '$r')} || continue; ip route delete $r 2>/dev/null; done`,
    `find /sys/fs/cgroup -depth -type d \\( ${ofCgroups(footprint)} \\) 2>/dev/null | while read -r g; do ${isNew('cgroups', '$g')} || continue; rmdir "$g" 2>/dev/null; done`,
    // What is mounted is somebody's data: nothing below it is ever deleted.
    `has_mounts() { awk -v p="$1" '$5 == p || index($5, p "/") == 1 { f = 1 } END { exit !f }' /proc/self/mountinfo; }`,
    'restore() {',
    `  s=${SAVED}$1`,
    `  if grep -qxF "present $1" ${MANIFEST}; then`,
    '    { [ -e "$s" ] || [ -L "$s" ]; } || return 0', // never put aside: it is the original
    `    ! has_mounts "$1" || { left "mounts below $1"; return 0; }`,
    `    rm -rf "$1" 2>/dev/null; mkdir -p "\${1%/*}"`,
    `    if [ "$(stat -c %d "$s")" = "$(stat -c %d "\${1%/*}/")" ]; then mv -T "$s" "$1"; else rm -rf "$1.mk-ci"; cp -a "$s" "$1.mk-ci" && mv -T "$1.mk-ci" "$1" && rm -rf "$s"; fi || left "$1"`,
    `  elif grep -qxF "absent $1" ${MANIFEST}; then`,
    '    ! has_mounts "$1" || { left "mounts below $1"; return 0; }',
    '    rm -rf "$1" 2>/dev/null; { [ ! -e "$1" ] && [ ! -L "$1" ]; } || left "$1"',
    '  fi',
    '}',
    `for p in ${reversed.join(' ')}; do restore $p; done`,
    `for p in ${footprint.additions.join(' ')}; do grep -qxF "absent $p" ${MANIFEST} && restore $p; done`,
    ...footprint.lines.map(({ path, marker }) => renderRestoreLines(path, marker)),
    `sed -n 's/^parent //p' ${MANIFEST} | sort -ru | while read -r p; do rmdir "$p" 2>/dev/null; done`,
    'systemctl daemon-reload',
    ...footprint.units.map((unit) => `systemctl reset-failed ${unit} 2>/dev/null`),
    // Values as they were; that of one setting may have set others, so all of them twice.
    `for i in 1 2; do while read -r s v; do [ "$(cat /proc/sys/$s 2>/dev/null)" = "$v" ] || echo "$v" >/proc/sys/$s 2>/dev/null; done <${BEFORE}/sysctls; done`,
    `while read -r s v; do [ "$(cat /proc/sys/$s 2>/dev/null)" = "$v" ] || left "sysctl $s"; done <${BEFORE}/sysctls`,
    '[ -z "$left" ] || exit 0',
    // The name goes first: a claim that can not be removed wholly is no claim any more.
    `rm -rf ${HOST_FOLDER}.gone && mv -T ${HOST_FOLDER} ${HOST_FOLDER}.gone && rm -rf ${HOST_FOLDER}.gone || echo "left ${HOST_FOLDER}"`,
    'true',
    '',
  ].join('\n');
}

/** Rules and chains with one of the words go, all others stay. A table that was not there before and is empty goes as a whole. */
function renderRestoreRules({ rules, nftTables }: Pick<Footprint, 'rules' | 'nftTables'>): string[] {
  const words = rules.join('|').replaceAll('.', '\\.');
  return [
    'for f in iptables ip6tables; do',
    '  command -v $f-save >/dev/null || continue',
    `  $f-save 2>/dev/null | grep -qE '${words}' && { $f-save | grep -vE '${words}' | $f-restore || left "rules of $f"; }`,
    '  case $($f -V 2>/dev/null) in *nf_tables*) command -v nft >/dev/null || continue;; *) continue;; esac',
    '  case $f in iptables) g=ip;; *) g=ip6;; esac',
    `  for t in $($f-save 2>/dev/null | sed -n 's/^[*]//p'); do`,
    `    ! grep -qxF $t ${BEFORE}/$f-tables || continue`,
    `    $f-save -t $t | grep -qE '^(-A|:[^ ]+ -)' || nft delete table $g $t 2>/dev/null`,
    '  done',
    'done',
    ...nftTables.map((table) => `! command -v nft >/dev/null || nft delete table ${table} 2>/dev/null`),
  ];
}

/** The original where nothing else has changed in it, otherwise what others made of it without our lines. Written in place: it may be a mount. */
function renderRestoreLines(path: string, marker: string): string {
  const old = `${BEFORE}/$(echo ${path} | tr / _)`;
  const ours = `${HOST_FOLDER}/lines`;
  return [
    `grep -v '${marker}$' ${path} >${ours} 2>/dev/null`,
    `if [ -e ${old} ] && [ "$(cat ${old})" = "$(cat ${ours})" ]; then cmp -s ${old} ${path} || cat ${old} >${path}; elif [ -e ${path} ]; then cat ${ours} >${path}; fi`,
  ].join('\n');
}
