import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '@talosmith/core'
import { logLines, recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createSeedWatch, resetProblem } from '../../src/configure/seed-reset.ts'

const test = suite('a machine at its seed ISO')
const cluster = testCluster({}, temporaryFolder('seed-reset'))
const [node] = cluster.nodes
assert.ok(node)
const id = 'a3b1c7d2-0000-4000-8000-00000000c0de'
const owner = { name: 'home', id }
mkdirSync(cluster.generated, { recursive: true })
writeFileSync(join(cluster.generated, 'cluster-id'), id)
const disk = '/pool/home-cp1.qcow2'

const domain = ({ of = 'home', with: own = id, name = 'home-cp1', source = disk } = {}): string =>
  `<domain><name>${name}</name><metadata><m:machine xmlns:m="https://talosmith.dev/xmlns/machine/1.0" cluster="${of}" cluster-id="${own}" node="home-cp1" role="controlplane" host="qemu:///system"><m:disk file="${disk}"/></m:machine></metadata>
<devices><disk type="file" device="cdrom"><source file="/pool/seed.iso"/><target dev="sda"/></disk><disk type="file" device="disk"><source file="${source}"/><target dev="vda"/></disk></devices></domain>`
const holds = (bytes: number): string =>
  `Capacity:       21474836480\nAllocation:     ${bytes}\nPhysical:       ${bytes}\n`
const empty = holds(200_704)

const rows: [string, string, string, RegExp | undefined][] = [
  ['a new machine', domain(), empty, undefined],
  ['a machine that wrote to its disk', domain(), holds(120 * 1024 ** 2), /holds 120 MiB/],
  ['a disk that cannot be read', domain(), '', /cannot be read/],
  ['a machine of another cluster', domain({ of: 'other' }), empty, /not a machine of this cluster/],
  [
    'a machine of a cluster of the same name',
    domain({ with: id.replace('a', 'b') }),
    empty,
    /not a machine of this cluster/,
  ],
  ['a machine without a cluster ID', domain({ with: '' }), empty, /no cluster ID/],
  ['a clone made by hand', domain({ name: 'copy' }), empty, /not a machine of this cluster/],
  [
    'a disk with a snapshot, below which its data is',
    domain({ source: '/pool/home-cp1.snap1' }),
    empty,
    /its disk is \/pool\/home-cp1\.snap1/,
  ],
  ['a machine without a definition', '', empty, /definition/],
]
for (const [what, xml, info, expected] of rows)
  test(`${what} is ${expected === undefined ? 'reset' : 'not reset'}`, () => {
    const problem = resetProblem(owner, xml, info)
    if (expected === undefined) assert.is(problem, undefined)
    else assert.match(problem ?? '', expected)
  })

const reads =
  '[    0.000000] Linux version 6.18.0\r\n[    3.8] [talos] downloading config {"controller": "config.AcquireController"}\r\n'

/** Looks until the watch has looked at the console `looks` times. */
async function watch(quietS: number, console: string, info: string, looks: number) {
  const warnings: string[] = []
  const host = recordingHost((command) => {
    if (command.includes('console.log')) return logLines('home-cp1', console, quietS)
    if (command.includes('reset')) return ''
    // One process for both questions, with a marker behind each answer on both streams.
    const marker = /echo (\S+?);/.exec(command)?.[1] ?? ''
    const plain = marker.replaceAll(/['"\\]/g, '')
    return {
      stdout: `${domain()}\n${plain}\n${info}\n${plain}\n`,
      stderr: `error: ${plain}\nerror: ${plain}\n`,
    }
  })
  const log = { ...silentLog, warn: (text: string) => void warnings.push(text) }
  const seed = createSeedWatch({ cluster, log, hosts: async () => [host] }, node as never)
  const found = new Set<string | undefined>()
  let moved = 0
  for (let check = 0; check < looks * 10; check++) {
    found.add(await seed.look())
    if (seed.hasReset()) moved++
  }
  const resets = host.commands.filter((command) => / reset /.test(command))
  return { found: [...found], warnings, resets, moved }
}

test('a new machine is reset once, and the run reports it', async () => {
  const { found, warnings, resets, moved } = await watch(180, reads, empty, 3)
  assert.is(resets.length, 1)
  assert.is(moved, 1)
  assert.match(
    warnings.join('\n'),
    /home-cp1 has stood at its seed ISO for 180 s.*resetting it, once/,
  )
  assert.equal(found, [
    'it stands at its seed ISO: its console ends with "[talos] downloading config"; it was reset',
    'it stands at its seed ISO: its console ends with "[talos] downloading config", again after a reset',
  ])
})

test('a machine with data is never reset, and the reason is told', async () => {
  const { found, resets, moved } = await watch(180, reads, holds(1024 ** 3), 3)
  assert.equal([resets.length, moved], [0, 0])
  assert.match(found[0] ?? '', 'it is not reset: its disk holds 1024 MiB')
})

for (const [what, quietS, console] of [
  ['a boot that has just begun', 5, reads],
  ['an earlier boot that stood there', 180, `${reads}[    0.000000] Linux version 6.18.0\r\n`],
] as const)
  test(`nothing is done about ${what}`, async () => {
    const { found, resets } = await watch(quietS, console, empty, 2)
    assert.equal([found, resets], [[undefined], []])
  })

test.run()
