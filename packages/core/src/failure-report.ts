/** What a stage does after it has failed: it prints the likely cause and writes a diagnostics bundle. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { commandFor, type Cluster } from './cluster.ts'
import type { Log } from './log.ts'
import { projectRoot } from './root.ts'
import { stopping } from './stop.ts'

/** Diagnoses the cluster and writes the bundle; core knows only its path and its JSON output. */
const program = join('scripts', 'bundle.ts')
/** A bundle takes up to a minute, even when machines are down. */
const timeoutMs = 75_000

/**
 * Diagnoses the cluster after a stage has failed, and prints the likely cause and the path of the bundle.
 * Never throws; prints neither when the diagnosis fails.
 */
export async function reportFailure(
  cluster: Pick<Cluster, 'file'>,
  log: Log,
  node = process.execPath,
): Promise<void> {
  log.info('   looking for the cause, up to a minute (FAILURE_BUNDLE=false turns this off)')
  const bundle = await runBundle(node, [
    ...['--import', import.meta.resolve('tsx'), join(projectRoot, program)],
    ...['--json', '--cluster', cluster.file],
  ])
  if (bundle === undefined) return
  if (bundle.cause !== null)
    log.info(
      `   likely cause: ${bundle.cause}; how to fix it: ${commandFor(cluster, 'cluster:diagnose')}`,
    )
  log.info(`   diagnostics bundle, without secrets: ${bundle.path}`)
}

/** The JSON output of the program. */
interface Bundle {
  readonly path: string
  readonly cause: string | null
}

function runBundle(node: string, args: readonly string[]): Promise<Bundle | undefined> {
  return new Promise((resolve) => {
    const child = spawn(node, args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: timeoutMs,
      signal: stopping,
    })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.on('error', () => resolve(undefined))
    child.on('close', () => {
      try {
        resolve(JSON.parse(text) as Bundle)
      } catch {
        resolve(undefined)
      }
    })
  })
}
