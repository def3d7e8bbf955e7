/** Kubernetes under a second version, for upgrades. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { builtPath } from '../tools.ts'
import { versions } from '../versions.ts'

/**
 * Kubernetes under another version of the same length, for upgrades: the built program with its version
 * overwritten, which is what linking it again with another `-X` would make. Made once, beside the original.
 */
export function kubernetesAs(version: string): string {
  const original = builtPath('kubelab')
  const path = join(dirname(original), `kubelab-${version}`)
  if (existsSync(path)) return path
  if (version.length !== versions.kubernetes.length)
    throw new Error(`${version} is not as long as ${versions.kubernetes}`)
  const bytes = readFileSync(original)
  const own = Buffer.from(versions.kubernetes)
  for (let at = bytes.indexOf(own); at >= 0; at = bytes.indexOf(own, at + 1))
    bytes.write(version, at)
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, bytes, { mode: 0o755 })
  renameSync(temporary, path)
  return path
}
