/** Files in a storage pool: in its folder, or as volumes for a user who may not write there. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { quote } from '../process/command.ts'
import { projectRoot } from '../root.ts'

/** Beside a volume that is being uploaded; pool-files.sh tells why. */
export const uploadSuffix = '.talosmith-upload'

let functions: string | undefined

/**
 * The bash functions of pool-files.sh for one pool. Which way a file is written is decided on the host, for each
 * folder, by what the user may do there.
 */
export function poolFunctions(pool: string): string {
  functions ??= readFileSync(
    join(projectRoot, 'packages', 'core', 'src', 'host', 'pool-files.sh'),
    'utf8',
  )
  return `pool_name=${quote(pool)}\n${functions}`
}

/** Options of a command that begins with `eval "$POOL_FILES"`, and then has these functions. */
export function poolFiles(pool: string): { readonly env: Readonly<Record<string, string>> } {
  return { env: { POOL_FILES: poolFunctions(pool) } }
}
