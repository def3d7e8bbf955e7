/** vm:render: writes the domain XML and seed files to a folder, without connecting to a host. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clusterOn, hostFiles, script } from '@talosmith/core'
import { renderDomain } from '../src/domain-xml.ts'
import { describeMachine, plainUri } from '../src/machine.ts'
import { describeSeed } from '../src/seed-iso.ts'

/** The folder of libvirt's default pool; the real one is known only to the host. */
const pool = '/var/lib/libvirt/images'

export default script(import.meta, {
  summary: 'Write the domain XML and seed files of every machine to dist/render/<cluster>.',
  async run({ cluster, answer }) {
    const folder = join(cluster.root, 'dist', 'render', cluster.name)
    const type = cluster.settings.DOMAIN_TYPE === 'qemu' ? 'qemu' : 'kvm'
    await rm(folder, { recursive: true, force: true })
    for (const node of cluster.nodes) {
      const here = clusterOn(cluster, node.host)
      const files = hostFiles(here, pool)
      const { metaData, networkConfig } = describeSeed(cluster, node)
      const paths = { disk: files.disk(node), seed: files.seed(node) }
      const domain = renderDomain(describeMachine(here, node, paths, type), {
        image: files.image,
        diskGib: node.diskGib,
        uri: plainUri(cluster, node.host),
        directIo: true,
      })
      await mkdir(join(folder, node.name), { recursive: true })
      const texts = { 'domain.xml': domain, 'meta-data': metaData, 'network-config': networkConfig }
      for (const [name, text] of Object.entries(texts))
        await writeFile(join(folder, node.name, name), text)
    }
    answer(folder)
  },
})
