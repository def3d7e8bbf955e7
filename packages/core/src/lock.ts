/** The lock of a cluster: only one run at a time changes it. */
import { randomUUID } from 'node:crypto'
import { readFileSync, unlinkSync } from 'node:fs'
import { link, mkdir, readFile, rmdir, stat, unlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { generatedFiles, notWritable } from './generated.ts'
import { describeMyself, livenessOf, parseHolder, type Holder } from './liveness.ts'
import { Problem } from './problem.ts'

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
    for (let attempt = 0; attempt < 20; attempt += 1) {
      if (await linked(temporary, path)) return
      const theirs = await readFile(path, 'utf8').catch(() => undefined)
      if (theirs === undefined) continue
      const holder = parseHolder(theirs)
      if (holder !== undefined && ['alive', 'elsewhere'].includes(await livenessOf(holder)))
        refuse(holder, path, cluster)
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

/**
 * Removes a stale lock, unless it is another run's by then. Only the run that has created the folder `.takeover` does:
 * otherwise two runs could remove it, the second one the new lock of the first.
 */
async function removeStale(path: string, stale: string): Promise<void> {
  const mutex = `${path}.takeover`
  try {
    await mkdir(mutex)
  } catch {
    const { mtimeMs } = await stat(mutex).catch(() => ({ mtimeMs: Date.now() }))
    // Of a run that was killed in between.
    if (Math.abs(Date.now() - mtimeMs) > killedMs) await rmdir(mutex).catch(() => undefined)
    else await sleep(20)
    return
  }
  try {
    if ((await readFile(path, 'utf8').catch(() => undefined)) === stale) await unlink(path)
  } finally {
    await rmdir(mutex)
  }
}

const killedMs = 10_000

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
