/** The steps of a cluster's life, in order. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { reasonOf, type Cluster } from '@talosmith/core'
import type { StepRecord } from './record.ts'
import { settingsOf, type Stages, type Versions } from './versions.ts'
import type { Settings, World } from './world.ts'

export interface LifeStep {
  readonly name: string
  /** Why it does not apply to this cluster. */
  readonly skipped?: string | undefined
  /** Rejects when the step, or a check of it, fails. */
  readonly run: (world: World) => Promise<void>
}

/** A kernel parameter that Talos changes without a restart, and that no other program sets. */
const parameter = { key: 'vm.swappiness', file: '/proc/sys/vm/swappiness', value: '7' }
const kept = 'e2e-kept'

/** The patch that a run adds, and removes at its end. */
export function patchPath(cluster: Cluster): string {
  return join(cluster.patchesDir, 'all-e2e.yaml')
}

export function stepsOf(cluster: Cluster, { before, after }: Stages): readonly LifeStep[] {
  const older = settingsOf(before)
  const newer = settingsOf(after)
  const confirmed = { ...newer, CONFIRM: cluster.name }
  const withoutNfs = cluster.settings.NFS_SERVER === undefined ? 'NFS_SERVER is not set' : undefined
  return [
    {
      name: `create the cluster with Talos ${before.talos} and Kubernetes ${before.kubernetes}`,
      async run(world) {
        await succeed(world, 'cluster:up', older)
        await expectNodes(world, cluster, before)
      },
    },
    {
      name: 'nothing is left to change, and nothing is wrong',
      async run(world) {
        await succeed(world, 'cluster:plan', older)
        await succeed(world, 'cluster:diagnose', older)
      },
    },
    {
      name: 'write to a claim on one node, and read it on the others',
      skipped: withoutNfs,
      run: (world) => succeed(world, 'storage:verify', older),
    },
    {
      name: 'change the machine configs by a patch, without a restart',
      run: (world) => patchLive(world, cluster, older),
    },
    {
      name: 'back up etcd',
      run: (world) => succeed(world, 'bootstrap:backup', older),
    },
    {
      name: `upgrade to Talos ${after.talos} and Kubernetes ${after.kubernetes}`,
      async run(world) {
        await succeed(world, 'cluster:upgrade', newer)
        await expectNodes(world, cluster, after)
        await succeed(world, 'cluster:plan', newer)
      },
    },
    {
      name: 'restore etcd from a backup',
      async run(world) {
        await world.kubectl('create', 'configmap', kept)
        await succeed(world, 'bootstrap:backup', newer)
        await world.kubectl('delete', 'configmap', kept)
        await succeed(world, 'cluster:restore', confirmed)
        await world.kubectl('get', 'configmap', kept)
        await expectNodes(world, cluster, after)
      },
    },
    {
      name: 'destroy the cluster',
      async run(world) {
        await succeed(world, 'cluster:destroy', confirmed)
        rmSync(patchPath(cluster))
        const left = (await world.domains()).filter((name) =>
          cluster.nodes.some((node) => node.name === name),
        )
        if (left.length > 0) throw new Error(`still defined: ${left.join(', ')}`)
      },
    },
  ]
}

/** Runs the steps until one fails; resolves with the outcome of each that began or was skipped. */
export async function runSteps(
  steps: readonly LifeStep[],
  world: World,
  print: (line: string) => void,
): Promise<readonly StepRecord[]> {
  const records: StepRecord[] = []
  for (const { name: step, skipped, run } of steps) {
    print(`\n=== ${step}${skipped === undefined ? '' : `: skipped, ${skipped}`}`)
    if (skipped !== undefined) {
      records.push({ step, outcome: 'skipped', because: skipped })
      continue
    }
    const began = performance.now()
    const failure = await run(world).then(
      () => undefined,
      (error: unknown) => reasonOf(error),
    )
    const seconds = Math.round((performance.now() - began) / 1000)
    if (failure !== undefined)
      return [...records, { step, outcome: 'failed', seconds, because: failure }]
    records.push({ step, outcome: 'passed', seconds })
  }
  return records
}

async function succeed(world: World, target: string, settings: Settings): Promise<void> {
  const code = await world.run(target, settings)
  if (code !== 0) throw new Error(`${target} exited with ${code}`)
}

interface ListedNode {
  readonly metadata: { readonly name: string }
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly status: string }[]
    readonly nodeInfo: {
      readonly osImage: string
      readonly kubeletVersion: string
      readonly bootID: string
    }
  }
}

async function nodesOf(world: World): Promise<readonly ListedNode[]> {
  const { items } = JSON.parse(await world.kubectl('get', 'nodes', '-o', 'json')) as {
    items: ListedNode[]
  }
  return items
}

/** Every machine is a Ready node with these versions. */
async function expectNodes(world: World, cluster: Cluster, versions: Versions): Promise<void> {
  const nodes = await nodesOf(world)
  const found = nodes.map(({ metadata, status }) => {
    const ready = status.conditions.find(({ type }) => type === 'Ready')?.status
    const talos = /v\d+\.\d+\.\d+/.exec(status.nodeInfo.osImage)?.[0]
    return `${metadata.name}: Ready ${ready}, ${talos}, ${status.nodeInfo.kubeletVersion}`
  })
  const wanted = cluster.nodes.map(
    ({ name }) => `${name}: Ready True, ${versions.talos}, ${versions.kubernetes}`,
  )
  if (found.sort().join('\n') !== wanted.sort().join('\n'))
    throw new Error(`the nodes are:\n${found.join('\n')}\nand should be:\n${wanted.join('\n')}`)
}

/** The kernel of every machine has the patched value, and none was restarted for it. */
async function patchLive(world: World, cluster: Cluster, settings: Settings): Promise<void> {
  const boots = async (): Promise<string> =>
    (await nodesOf(world))
      .map(({ metadata, status }) => `${metadata.name} ${status.nodeInfo.bootID}`)
      .sort()
      .join('\n')
  const before = await boots()
  const path = patchPath(cluster)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `machine:\n  sysctls:\n    ${parameter.key}: "${parameter.value}"\n`)
  await succeed(world, 'cluster:up', settings)
  for (const { name, address } of cluster.nodes) await hasParameter(world, name, address)
  if ((await boots()) !== before) throw new Error('a machine was restarted')
}

/** Talos applies kernel parameters in the background (KernelParamSpecController), so it is read again for up to 30 s. */
async function hasParameter(world: World, name: string, address: string): Promise<void> {
  let value = ''
  for (let tries = 0; tries < 15; tries++) {
    value = (await world.talosctl('-n', address, 'read', parameter.file)).trim()
    if (value === parameter.value) return
    await sleep(2000)
  }
  throw new Error(`${parameter.key} of ${name} is ${value}, not ${parameter.value}`)
}
