/** Starts and stops the lab's daemons, by pid files. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that the lab started, from its pid file; the start time detects a reused pid. */
export interface Running {
  readonly pid: number
  readonly startTime: string
  /** Version of its programs or settings, for a daemon that is replaced when they change. */
  readonly version?: string
}

/** The process of a pid file, if it still is the one that was started. */
export function runningProcess(pidFile: string): Running | undefined {
  try {
    const running = JSON.parse(readFileSync(pidFile, 'utf8')) as Running
    return startTimeOf(running.pid) === running.startTime ? running : undefined
  } catch {
    return undefined
  }
}

/** A daemon that kept inherited file descriptors (a lock, a pipe of Nx) would hold them forever. */
const closeInherited =
  'for fd in /proc/$$/fd/*; do n=${fd##*/}; [ $n -le 2 ] || eval "exec $n>&-"; done; exec "$@"'

/** Starts a daemon that outlives this program; its output goes to `logFile`. One that is running is not restarted. */
export function startDaemon(
  pidFile: string,
  logFile: string,
  command: readonly string[],
  version?: string,
): Running {
  const running = runningProcess(pidFile)
  if (running !== undefined) return running
  for (const file of [pidFile, logFile]) mkdirSync(dirname(file), { recursive: true })
  const output = openSync(logFile, 'a')
  const child = spawn('bash', ['-c', closeInherited, 'bash', ...command], {
    detached: true,
    stdio: ['ignore', output, output],
    cwd: '/',
  })
  closeSync(output)
  child.unref()
  if (child.pid === undefined) throw new Error(`could not start ${command.join(' ')}`)
  return notePid(pidFile, child.pid, version)
}

/** Writes a pid file for a process that put itself into the background. */
export function notePid(pidFile: string, pid: number, version?: string): Running {
  const running = {
    pid,
    startTime: startTimeOf(pid) ?? '',
    ...(version === undefined ? {} : { version }),
  }
  writeFileSync(pidFile, JSON.stringify(running))
  return running
}

/** Ends the process of a pid file, by SIGKILL when it has not ended after a while. */
export async function stopDaemon(pidFile: string): Promise<void> {
  const running = runningProcess(pidFile)
  if (running !== undefined) await endProcess(running.pid)
  rmSync(pidFile, { force: true })
}

/** Ends one process and waits until it is gone. */
export async function endProcess(pid: number): Promise<void> {
  for (const [signal, tries] of [
    ['SIGTERM', 50],
    ['SIGKILL', 50],
  ] as const) {
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    for (let i = 0; i < tries && startTimeOf(pid) !== undefined; i++) await sleep(100)
  }
}

/** A process' start in clock ticks since boot (field 22 of proc/<pid>/stat); undefined when it is gone. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
