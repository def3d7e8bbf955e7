/** The shell scripts that run on the hosts. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { poolFunctions, projectRoot } from '@talosmith/core'

function text(name: string): string {
  return readFileSync(join(projectRoot, 'packages', 'image', 'src', name), 'utf8')
}

const [digest, transfer, verify] = [text('digest.sh'), text('transfer.sh'), text('verify.sh')]

/** Transfers an image into a pool of the host; transfer.sh describes its arguments and output. */
export function transferScript(pool: string): string {
  return `set -euo pipefail\n${poolFunctions(pool)}${digest}${transfer}`
}

/** Hashes an image on the host; see verify.sh. */
export function verifyScript(pool: string): string {
  return `set -euo pipefail\n${poolFunctions(pool)}${digest}${verify}`
}
