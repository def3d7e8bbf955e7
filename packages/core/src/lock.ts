/** The lock of a cluster: only one run at a time changes it. */
import { randomUUID } from 'node:crypto'
import { readFileSync, unlinkSync } from 'node:fs'
import { link, mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { generatedFiles, notWritable } from './generated.ts'
import { Problem } from './problem.ts'

/** The run that holds a lock: what is needed to check whether it is alive and to report it. */
interface Holder {
  readonly pid: number
  /** Clock ticks from boot to the process's start: they tell a reused pid from the same process. */
  readonly started: string
  readonly bootId: string
  readonly host: string
  readonly command: string
  readonly since: string
}

/**
 * Runs `fn` under the lock of a cluster. Throws LOCKED, which names the other run; a stale lock, of a dead
 * process or from before a reboot, is replaced. The lock is released when the program exits, for any reason.
 */
export async function withLock<T>(
  cluster: { readonly name: string; readonly generated: string },
  command: string,
  fn: () => Promise<T>,
): Promise<T> {
  const path = join(cluster.generated, 'lock')
  const mine = JSON.stringify(await describeMyself(command), null, 2)
  // Refuses symbolic links in the path before anything is written.
  await generatedFiles(cluster).has('lock')
  try {
    await mkdir(cluster.generated, { recursive: true, mode: 0o700 })
    await take(path, mine, cluster.name)
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    throw notWritable(cluster.generated, `write ${path}`, cause)
  }
  const releaseNow = (): void => {
    if (readOrNothing(path) === mine) unlinkSync(path)
  }
  process.once('exit', releaseNow)
  try {
    return await fn()
  } finally {
    process.off('exit', releaseNow)
    releaseNow()
  }
}

/** Takes the lock by a hard link, which creates the complete file atomically and fails if it exists. */
async function take(path: string, mine: string, cluster: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  await writeFile(temporary, mine, { mode: 0o600, flag: 'wx' })
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      if (await linked(temporary, path)) return
      const theirs = await readFile(path, 'utf8').catch(() => undefined)
      if (theirs === undefined) continue
      const holder = parseHolder(theirs)
      if (holder !== undefined && (await isAlive(holder))) refuse(holder, path, cluster)
      await removeStale(path, theirs)
    }
    throw new Problem('LOCKED', `other runs keep taking the lock of ${cluster}`, {
      hint: `wait until they have ended; the lock is ${path}`,
    })
  } finally {
    await unlink(temporary)
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** Renames the lock before it deletes it: if it is another run's by then, it is put back. */
async function removeStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${randomUUID()}.tmp`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if ((await readFile(aside, 'utf8')) !== stale) await linked(aside, path)
  await unlink(aside)
}

async function isAlive({ pid, started, bootId, host }: Holder): Promise<boolean> {
  // A process on another machine can't be checked from here.
  if (host !== hostname()) return true
  if (bootId !== (await readBootId())) return false
  return started === (await startOf(pid))
}

async function describeMyself(command: string): Promise<Holder> {
  const [bootId, started] = await Promise.all([readBootId(), startOf(process.pid)])
  const since = new Date().toISOString()
  return { pid: process.pid, started: started ?? '', bootId, host: hostname(), command, since }
}

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()
}

/** Field 22 of /proc/<pid>/stat; undefined when there is no such process, or it is a zombie. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const [state, ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  return state === 'Z' || state === 'X' ? undefined : fields[18]
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { pid, started, bootId, host, command, since } = JSON.parse(text) as Partial<Holder>
    if (typeof pid !== 'number' || typeof started !== 'string') return undefined
    if (typeof bootId !== 'string' || typeof host !== 'string') return undefined
    return { pid, started, bootId, host, command: String(command), since: String(since) }
  } catch {
    return undefined
  }
}

function refuse({ pid, host, command, since }: Holder, path: string, cluster: string): never {
  const here = host === hostname()
  throw new Problem('LOCKED', `another run is changing ${cluster}`, {
    because: `process ${pid} on ${host} has been running ${command} since ${since}`,
    hint: here
      ? `wait until it has ended, or stop it: kill ${pid}`
      : `wait until it has ended; if you are sure that it has, remove ${path}`,
  })
}

function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
