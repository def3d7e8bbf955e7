/** Removes what the clusters' folders keep of a lab that is gone. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

/** What stays of a cluster: records of runs, evidence, the ledger, and the lock that a run may hold. */
const kept = new Set(['runs', 'bundles', 'images.json', 'lock'])

/**
 * Removes the files of clusters whose machines were all in the lab: their disks are gone, and with secrets, access
 * files or backups that stay, the next cluster of that name would count as one that has lost its data.
 */
export function forgetClusters(root: string = projectRoot): void {
  const generated = join(root, 'generated')
  for (const name of existsSync(generated) ? readdirSync(generated) : []) {
    const folder = join(generated, name)
    const hosts = join(folder, 'hosts.json')
    if (!existsSync(hosts)) continue
    const uris = JSON.parse(readFileSync(hosts, 'utf8')) as readonly string[]
    if (!uris.every((uri) => uri.includes(`@${kvm1.address}/`))) continue
    for (const file of readdirSync(folder).filter((one) => !kept.has(one)))
      rmSync(join(folder, file), { recursive: true, force: true })
  }
}
