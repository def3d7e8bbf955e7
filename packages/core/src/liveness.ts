/** Whether the process that holds a lock is alive: who a run is, and how to tell it from others. */
import { execFile } from 'node:child_process'
import { readFile, readlink } from 'node:fs/promises'
import { hostname, userInfo } from 'node:os'

/** The run that holds a lock: what is needed to check whether it is alive and to report it. */
export interface Holder {
  readonly pid: number
  /** When the process started, in clock ticks or as ps prints it: tells a reused pid. Empty: unknown. */
  readonly started: string
  /** Identifies the machine since it was started. Empty: unknown. */
  readonly bootId: string
  /** Its PID namespace: the ids of processes in another container say nothing here. Empty: unknown. */
  readonly namespace: string
  readonly host: string
  readonly user: string
  readonly command: string
  readonly since: string
}

/** This process as the holder of a lock. */
export async function describeMyself(command: string): Promise<Holder> {
  const [bootId, namespace, started] = await Promise.all([
    readOwnBootId(),
    readNamespace(),
    startOf(process.pid),
  ])
  return {
    ...{ pid: process.pid, started: started ?? '', bootId, namespace, host: hostname() },
    ...{ user: userInfo().username, command, since: new Date().toISOString() },
  }
}

/** Parses a holder; undefined when the text is none, for example of a run that was killed while writing. */
export function parseHolder(text: string): Holder | undefined {
  try {
    const found = JSON.parse(text) as Partial<Record<keyof Holder, unknown>>
    const { pid, started, bootId, namespace = '', host, user = 'a user', command, since } = found
    if (typeof pid !== 'number' || typeof started !== 'string') return undefined
    if (typeof bootId !== 'string' || typeof host !== 'string') return undefined
    const texts = { user: String(user), command: String(command), since: String(since) }
    return { pid, started, bootId, namespace: String(namespace), host, ...texts }
  } catch {
    return undefined
  }
}

/**
 * Whether the holder runs. 'elsewhere': on another machine or in another container, which can't be checked from here;
 * 'rebooted': on a machine of this name, before it was started last, or on another one of the same name.
 */
export async function livenessOf(
  holder: Holder,
): Promise<'alive' | 'gone' | 'elsewhere' | 'rebooted'> {
  const [bootId, namespace] = await Promise.all([readOwnBootId(), readNamespace()])
  const isSameName = holder.host === hostname()
  if (bootId === '' || holder.bootId === '') return isSameName ? byId(holder) : 'elsewhere'
  // The name of a machine may change while it runs.
  if (holder.bootId === bootId) return holder.namespace === namespace ? byId(holder) : 'elsewhere'
  return isSameName ? 'rebooted' : 'elsewhere'
}

async function byId({ pid, started }: Holder): Promise<'alive' | 'gone'> {
  const now = await startOf(pid)
  if (now !== undefined && started !== '') return now === started ? 'alive' : 'gone'
  // Without /proc and ps, it can't be told whether the pid was reused.
  const isGone = now === undefined && (await startOf(process.pid)) !== undefined
  return !isGone && isRunning(pid) ? 'alive' : 'gone'
}

/** Whether a process with this ID runs, of any user; it may be another one than before. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Identifies this machine since it was started, as boot_id in random(4) does on Linux. Empty: unknown. */
export async function readOwnBootId(): Promise<string> {
  const linux = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined)
  return (linux ?? (await outputOf('sysctl', '-n', 'kern.bootsessionuuid')) ?? '').trim()
}

async function readNamespace(): Promise<string> {
  return readlink('/proc/self/ns/pid').catch(() => '')
}

/** When a process started; undefined when there is none, it is a zombie, or that can't be found out. */
async function startOf(pid: number): Promise<string | undefined> {
  // Field 22 of /proc/<pid>/stat.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const [state, ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  if (stat !== undefined) return state === 'Z' || state === 'X' ? undefined : fields[18]
  if (await readFile('/proc/self/stat').catch(() => undefined)) return undefined
  // macOS
  const line = (await outputOf('ps', '-o', 'stat=,lstart=', '-p', String(pid)))?.trim()
  return line === undefined || line === '' || line.startsWith('Z')
    ? undefined
    : line.replace(/^\S+\s+/, '')
}

function outputOf(program: string, ...args: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: 5000, env: { LC_ALL: 'C', PATH: '/bin:/usr/bin:/sbin:/usr/sbin' } }
    execFile(program, args, options, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    )
  })
}
