/** Removes the lab's images from the clusters' image ledgers. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { factoryPort, kvm1 } from './layout.ts'

/**
 * Removes the images of the lab's factory from every cluster's ledger: they are deleted with the lab, and a
 * later lab may build different ones with the same names.
 */
export function forgetImages(root: string = projectRoot): void {
  const generated = join(root, 'generated')
  for (const name of existsSync(generated) ? readdirSync(generated) : []) {
    const path = join(generated, name, 'images.json')
    if (!existsSync(path)) continue
    const ledger = JSON.parse(readFileSync(path, 'utf8')) as Record<string, { url: string }>
    const own = `http://${kvm1.address}:${factoryPort}/`
    const kept = Object.entries(ledger).filter(([, { url }]) => !url.startsWith(own))
    if (kept.length < Object.keys(ledger).length)
      writeFileSync(path, `${JSON.stringify(Object.fromEntries(kept), null, 2)}\n`)
  }
}
