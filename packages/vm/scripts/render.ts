/** vm:render: writes what vm:create would define to a folder, without asking any host. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hostFiles, script } from '@talosmith/core'
import { describeMachine, describeSeed, renderDomain } from '../src/index.ts'

export default script(import.meta, {
  summary:
    'Write the domain XML and seed files of every machine to dist/render/<cluster>, without asking any host.',
  async run({ cluster, answer }) {
    const folder = join(cluster.root, 'dist', 'render', cluster.name)
    const files = hostFiles(cluster, '/var/lib/libvirt/images')
    const type = cluster.settings.DOMAIN_TYPE === 'qemu' ? 'qemu' : 'kvm'
    for (const node of cluster.nodes) {
      const { metaData, networkConfig } = describeSeed(cluster, node)
      await mkdir(join(folder, node.name), { recursive: true })
      await writeFile(
        join(folder, node.name, 'domain.xml'),
        renderDomain(describeMachine(cluster, node, files, type)),
      )
      await writeFile(join(folder, node.name, 'meta-data'), metaData)
      await writeFile(join(folder, node.name, 'network-config'), networkConfig)
    }
    answer(folder)
  },
})
