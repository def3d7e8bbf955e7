/** Opens a simulated world: its tools, its files, its clock. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { findTool, local, type Cluster } from '@talosmith/core'
import { recordingHost, temporaryFolder, testCluster } from '@talosmith/core/testing'
import { skipPauses } from './clock.ts'
import { startFactory } from './factory.ts'
import { watchFiles } from './files.ts'
import { alive } from './runs.ts'
import { World } from './world.ts'

export interface Opened {
  readonly world: World
  /** The cluster with these settings. */
  cluster(settings?: Readonly<Record<string, string>>): Cluster
  save(): Saved
  load(saved: Saved): Promise<void>
  close(): Promise<void>
}

export interface Saved {
  readonly state: ReturnType<World['save']>
  readonly folder: string
}

/** The world of a cluster at these loopback addresses, which no other test uses. */
export async function openWorld(cidr: string): Promise<Opened> {
  const root = temporaryFolder('world')
  const factory = await startFactory(() => plain.schematic.id)
  const cluster: Opened['cluster'] = (settings = {}) =>
    testCluster(
      {
        ...{ CLUSTER_NAME: 'home', NETWORK_CIDR: cidr, WORKER_COUNT: '1' },
        ...{ TALOS_FACTORY_URL: factory.url, ...settings },
      },
      root,
    )
  const plain = cluster()
  const { path: talosctl } = await findTool('talosctl', plain)
  const world = new World(plain, talosctl)
  factory.schematics = () => world.schematics
  useTools(root, world)
  watchFiles(plain.generated, () => world.checkFiles())
  skipPauses()
  let copies = 0
  return {
    world,
    cluster,
    save() {
      const folder = join(root, `saved-${copies++}`)
      mkdirSync(plain.generated, { recursive: true })
      cpSync(plain.generated, folder, { recursive: true, preserveTimestamps: true })
      return { state: world.save(), folder }
    },
    async load({ state, folder }) {
      rmSync(plain.generated, { recursive: true, force: true })
      cpSync(folder, plain.generated, { recursive: true, preserveTimestamps: true })
      await world.load(state)
    },
    async close() {
      await world.listeners.stop()
      factory.stop()
    },
  }
}

/** The work folders of a run that was killed are those of a process that is gone. */
export function endProcess({ generated }: Cluster): void {
  const work = join(generated, 'work')
  for (const name of existsSync(work) ? readdirSync(work) : [])
    renameSync(join(work, name), join(work, name.replace(/^\d+/, '4194305')))
}

/** Programs of this machine: talosctl and kubectl are the world's, and nothing else is called. */
function useTools(root: string, world: World): void {
  const bin = join(root, 'bin')
  mkdirSync(bin)
  for (const name of ['talosctl', 'kubectl']) writeFileSync(join(bin, name), '', { mode: 0o755 })
  process.env['PATH'] = `${bin}:${process.env['PATH']}`
  process.env['XDG_CACHE_HOME'] = join(root, 'cache')
  const machine = recordingHost(
    async (command) => {
      await alive()
      // The route to the machines is not known, as without ip.
      if (command.includes('ip -4 -o route get fibmatch')) return 'Linux\n'
      const [program = '', ...args] = words(command)
      if (program.endsWith('/talosctl')) return world.runTalosctl(args)
      return program.endsWith('/kubectl') ? world.runKubectl(args) : undefined
    },
    { name: 'this machine', isLocal: true },
  )
  Object.assign(local, { $: machine.$ })
}

function words(command: string): string[] {
  return [...command.matchAll(/'[^']*'|\S+/g)].map(([word]) => word.replaceAll("'", ''))
}
