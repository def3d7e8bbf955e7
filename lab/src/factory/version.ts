/** The version of the lab's factory. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { builtPath } from '../tools.ts'

/** A digest of the programs that the factory serves and of its own source. */
export function factoryVersion(): string {
  const hash = createHash('sha256')
  for (const tool of ['lab-node', 'kubelab', 'talosctl', 'csi-provisioner'] as const)
    hash.update(builtPath(tool))
  const sources = join(projectRoot, 'lab', 'src')
  for (const name of readdirSync(sources, { recursive: true, encoding: 'utf8' }).sort())
    if (name.endsWith('.ts')) hash.update(name).update(readFileSync(join(sources, name)))
  return hash.digest('hex').slice(0, 12)
}
