import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { commandFor, type Cluster } from './cluster.ts'
import type { Log } from './log.ts'
import { projectRoot } from './root.ts'
import { stopping } from './stop.ts'

/** The program of the flow layer that looks for the cause; core knows its place and what it answers. */
const program = join('scripts', 'bundle.ts')
/** A bundle is written within a minute, whatever is down. */
const limitMs = 75_000

/**
 * After a stage has failed: has the cause looked for and everything that was seen put into a bundle, and
 * says both. It never fails itself; what it can't do it leaves out.
 */
export async function reportFailure(
  cluster: Pick<Cluster, 'file'>,
  log: Log,
  node = process.execPath,
): Promise<void> {
  log.info('   looking for the cause, for a minute at most (FAILURE_BUNDLE=false: not)')
  const said = await ask(node, [
    ...['--import', import.meta.resolve('tsx'), join(projectRoot, program)],
    ...['--json', '--cluster', cluster.file],
  ])
  if (said === undefined) return
  if (said.cause !== null)
    log.info(
      `   likely cause: ${said.cause}; what mends it: ${commandFor(cluster, 'cluster:diagnose')}`,
    )
  log.info(`   what was seen, without secrets: ${said.path}`)
}

interface Said {
  readonly path: string
  readonly cause: string | null
}

function ask(node: string, args: readonly string[]): Promise<Said | undefined> {
  return new Promise((resolve) => {
    const child = spawn(node, args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: limitMs,
      signal: stopping,
    })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.on('error', () => resolve(undefined))
    child.on('close', () => {
      try {
        resolve(JSON.parse(text) as Said)
      } catch {
        resolve(undefined)
      }
    })
  })
}
