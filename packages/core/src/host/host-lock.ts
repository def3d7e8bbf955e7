/** The lock of a cluster on a KVM host: only one run at a time changes it, from any machine and checkout. */
import { randomUUID } from 'node:crypto'
import { setInterval } from 'node:timers'
import { describeMyself, livenessOf, parseHolder, type Holder } from '../liveness.ts'
import { Problem } from '../problem.ts'
import { parseLabelledLines } from '../labelled-lines.ts'
import { commandText } from '../process/command.ts'
import type { Run } from '../process/run.ts'
import { stopping, stopRun } from '../stop.ts'
import { pauses } from '../wait.ts'

/** What a run needs to lock its cluster on its hosts. */
export interface HostLock {
  readonly cluster: string
  readonly command: string
  /** Identifies the run, which has one lock on a host that is named twice. */
  readonly token: string
  readonly warn: (text: string) => void
  /** Where the locks are kept on a host. */
  readonly folder?: string
  /** How often the holder shows that it is alive. */
  readonly beatMs?: number
}

/** How to release a lock. */
export type Release = () => Promise<void>

/**
 * Every user of libvirt can write here, and no reboot leaves a lock that counts: locks name the boot. The folder is
 * writable for all and not sticky, so that another user can take over a lock.
 */
const defaultFolder = '/tmp/talosmith-locks'

const defaultBeatMs = 15_000
/** After this without a heartbeat, a lock is taken over, in seconds of the host's clock. */
const staleS = 120
/** A lock with a heartbeat as recent as this is held by a run that works, in seconds. */
const freshS = 45
const commandMs = 30_000

/** What identifies this run on all of its hosts. */
export function newHostLock(cluster: string, command: string, warn: HostLock['warn']): HostLock {
  return { cluster, command, token: randomUUID(), warn }
}

/**
 * Takes the lock on a host with one command, and keeps it alive. A lock whose process or connection has ended is
 * taken over at once; one of a run that cannot be checked, when it has been silent for two minutes, which is waited
 * for. Throws LOCKED, which names the other run. A host where no lock can be kept gives a warning only.
 */
export async function lockHost(host: string, run: Run, lock: HostLock): Promise<Release> {
  const holder = await describeMyself(lock.command)
  let takeOver = ''
  let announced = false
  for (;;) {
    const { stdout } = await run(takeText(lock, holder, host === 'this machine', takeOver), {
      called: 'lock',
      timeoutMs: commandMs,
      nothrow: true,
    })
    const answer = parseLabelledLines(stdout)
    if (answer.has('busy')) continue
    if (answer.has('taken')) return keep(host, run, lock)
    // Another connection of this run goes to the same host.
    if (answer.first('token') === lock.token) return async () => undefined
    const other = parseHolder(answer.first('holder') ?? '')
    const age = Number(answer.first('age'))
    const token = answer.first('token') ?? ''
    if (!answer.has('held') || other === undefined || token === '' || !Number.isFinite(age)) {
      lock.warn(
        `could not lock ${lock.cluster} on ${host}: ${answer.first('unusable') ?? 'unexpected output'}; make sure that no other run changes it`,
      )
      return async () => undefined
    }
    const liveness = await livenessOf(other)
    if (liveness === 'alive' || (liveness !== 'gone' && age <= freshS))
      throw locked(lock.cluster, host, other, age)
    if (liveness === 'gone' || age >= staleS) takeOver = token
    else {
      if (!announced)
        lock.warn(
          `waiting for the lock of ${lock.cluster} on ${host}: ${describe(other)}; no heartbeat for ${age} s, taken over after ${staleS} s`,
        )
      announced = true
      await pauses.sleep(5000, stopping)
    }
  }
}

/** Renews the lock until it is released; stops the run when another one has taken it over. */
function keep(host: string, run: Run, lock: HostLock): Release {
  const file = lockFile(lock)
  const isMine = commandText`grep -qxF -- ${`token ${lock.token}`} ${file} 2>/dev/null`
  const beat = async (): Promise<void> => {
    const text = `if ${isMine}; then ${commandText`touch -c -- ${file}`}; else echo lost; fi`
    const output = await run(text, { called: 'lock', timeoutMs: commandMs, nothrow: true })
    if (output.stdout.startsWith('lost'))
      stopRun(
        `because another run has taken over the lock of ${lock.cluster} on ${host} after this one was silent for two minutes`,
      )
  }
  const timer = setInterval(() => {
    // A lost connection ends the run elsewhere.
    beat().catch(() => undefined)
  }, lock.beatMs ?? defaultBeatMs)
  timer.unref()
  return async () => {
    clearInterval(timer)
    const text = `if ${isMine}; then ${commandText`rm -f -- ${file}; find ${folderOf(lock)} -name '*.tmp' -mmin +10 -delete; rmdir -- ${folderOf(lock)} 2>/dev/null || true`}; fi`
    // The run is over, also when it was stopped.
    await run(text, { called: 'unlock', timeoutMs: 3000, nothrow: true, outlivesStop: true }).catch(
      () => undefined,
    )
  }
}

function folderOf({ folder = defaultFolder }: HostLock): string {
  return folder
}

function lockFile(lock: HostLock): string {
  return `${folderOf(lock)}/${lock.cluster}.lock`
}

/**
 * Takes the lock by a hard link, which creates the complete file atomically and fails if it exists; flock on the folder
 * keeps two runs from taking over the same stale one. The lock names the process of the connection, sshd's or the local
 * one: when that has ended, so has the run.
 */
function takeText(lock: HostLock, holder: Holder, isLocal: boolean, takeOver: string): string {
  const folder = folderOf(lock)
  return commandText`folder=${folder} lock=${`${lock.cluster}.lock`} token=${lock.token} takeover=${takeOver} local=${isLocal ? String(process.pid) : ''} holder=${JSON.stringify(holder)}
unusable() { echo "unusable $1"; exit 0; }
started() { local stat; read -r stat <"/proc/$1/stat" && set -- \${stat##*) } && echo "\${20}"; } 2>/dev/null
owner=$local pid=$PPID
for step in 1 2 3 4 5; do
  [ -z "$owner" ] && [ "$pid" -gt 1 ] && read -r name <"/proc/$pid/comm" || break
  case $name in sshd*) owner=$pid; break ;; esac
  read -r stat <"/proc/$pid/stat" || break
  set -- \${stat##*) }
  pid=$2
done 2>/dev/null
boot=$(cat /proc/sys/kernel/random/boot_id)
mine=$token.tmp entered=
trap 'rm -f -- "$mine"' EXIT
# The last run that leaves the folder removes it, perhaps between two of these lines.
for attempt in {1..20}; do
  (umask 0; mkdir -- "$folder") 2>/dev/null || true
  if [ -L "$folder" ] || { [ -e "$folder" ] && [ ! -d "$folder" ]; }; then unusable "$folder is not a folder"; fi
  cd -- "$folder" 2>/dev/null || continue
  if printf '%s\n' "token $token" "boot $boot" "owner \${owner:-0} $(started "\${owner:-0}" || true)" "holder $holder" 2>/dev/null >"$mine"; then entered=1; break; fi
  cd /
done
[ -n "$entered" ] || unusable "$folder is not writable"
exec 9<.
if command -v flock >/dev/null; then flock -w 10 9 || { echo busy; exit 0; }; fi
touch -- "$mine"
field() { sed -n "s/^$1 //p" <<<"$old" | head -n 1; }
stale() {
  [ "$(field boot)" = "$boot" ] || return 0
  [ -n "$takeover" ] && [ "$(field token)" = "$takeover" ] && return 0
  local pid start; read -r pid start <<<"$(field owner)"
  # With hidepid, the processes of others are not visible.
  [ -n "$start" ] && [ -e /proc/1 ] && [ "$(started "$pid" || true)" != "$start" ]
}
for attempt in 1 2 3 4 5; do
  if ln -T -- "$mine" "$lock" 2>/dev/null; then echo taken; exit 0; fi
  [ -f "$lock" ] && [ ! -L "$lock" ] || { [ ! -e "$lock" ] && continue; unusable "$folder/$lock is not a file"; }
  old=$(cat -- "$lock" 2>/dev/null) && beat=$(stat -c %Y -- "$lock" 2>/dev/null) || continue
  if stale; then
    rm -f -- "$lock"
  else
    echo held
    echo "age $(($(date +%s) - beat))"
    printf '%s\n' "$old"
    exit 0
  fi
done
unusable "other runs keep taking $folder/$lock"`
}

function locked(cluster: string, host: string, other: Holder, age: number): Problem {
  return new Problem('LOCKED', `another run is changing ${cluster}`, {
    because: `${describe(other)}; its last heartbeat on ${host} was ${age} s ago`,
    hint: `wait until it has ended, or stop it on ${other.host}: kill ${other.pid}. The lock of a run that has died is taken over automatically`,
  })
}

function describe({ user, host, pid, command, since }: Holder): string {
  return `${user} on ${host} has been running ${command} (process ${pid}) since ${since}`
}
