/** The shell scripts that run on the hosts. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'

function text(name: string): string {
  return readFileSync(join(projectRoot, 'packages', 'image', 'src', name), 'utf8')
}

/** Transfers an image on the host; transfer.sh describes its arguments and output. */
export const transferScript = `set -euo pipefail\n${text('digest.sh')}${text('transfer.sh')}`

/** Hashes an image on the host; see verify.sh. */
export const verifyScript = `set -euo pipefail\n${text('digest.sh')}${text('verify.sh')}`
