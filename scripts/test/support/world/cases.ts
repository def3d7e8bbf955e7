/** The commands of the kill matrix: the state in which each begins, and the one in which it ends. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Case } from './matrix.ts'
import type { Opened } from './open.ts'
import { runChain, type ChainOptions } from './stages.ts'

const finalSnapshot = { 'final-snapshot': true }
const olderVersions = { TALOS_VERSION: 'v1.13.8', KUBERNETES_VERSION: 'v1.36.2' }

/** Makes the world in which a command begins. */
export const cases: Readonly<Record<string, (opened: Opened) => Promise<Case>>> = {
  async up(opened) {
    const ended = () => assert.is(opened.world.uid, 'uid-1')
    return { command: 'up', start: opened.save(), cluster: opened.cluster(), ended }
  },
  async upgrade(opened) {
    await expectDone(opened, 'up', olderVersions)
    return {
      command: 'upgrade',
      start: opened.save(),
      cluster: opened.cluster(),
      ended() {
        assert.is(opened.world.uid, 'uid-1')
        for (const { version, kubernetes } of opened.world.machines)
          assert.equal([version, kubernetes], ['v1.13.9', 'v1.36.3'])
      },
    }
  },
  async 'upgrade that hangs'(opened) {
    await expectDone(opened, 'up', olderVersions)
    const { world } = opened
    world.hanging.add('home-w1 v1.13.9')
    return {
      command: 'upgrade',
      start: opened.save(),
      cluster: opened.cluster(),
      refusal: 'VERSION_FAILED',
      ended() {
        assert.equal(
          world.machines.map(({ version }) => version),
          ['v1.13.9', 'v1.13.8'],
        )
        for (const { cordoned, annotation, stands, bootsOther } of world.machines)
          assert.equal(
            [cordoned, annotation, stands, bootsOther],
            [false, undefined, undefined, false],
          )
        assert.match(world.named('home-w1').failed ?? '', /^v1\.13\.9 /)
        assert.equal(world.violations, [])
      },
    }
  },
  async destroy(opened) {
    await makeRunning(opened)
    const { world } = opened
    const cluster = opened.cluster()
    return {
      command: 'destroy',
      start: opened.save(),
      cluster,
      confirmed: true,
      options: finalSnapshot,
      ended() {
        assert.is(world.domains.size, 0)
        assert.not.ok([...world.files.values()].some(({ kind }) => kind === 'disk'))
        for (const name of ['secrets.yaml', 'kubeconfig', 'removed'])
          assert.not.ok(existsSync(join(cluster.generated, name)), name)
      },
    }
  },
  async restore(opened) {
    await makeRunning(opened)
    const ended = () => assert.is(opened.world.uid, 'uid-1')
    const cluster = opened.cluster()
    return { command: 'restore', start: opened.save(), cluster, confirmed: true, ended }
  },
  async 'restore after destroy'(opened) {
    await makeRunning(opened)
    await expectDone(opened, 'destroy', {}, { confirmed: true, options: finalSnapshot })
    assert.is(opened.world.domains.size, 0)
    return {
      command: 'restore',
      start: opened.save(),
      cluster: opened.cluster(),
      confirmed: true,
      losesNothing: true,
      // Until the restore has begun, cluster:up is free to use the name for a new cluster.
      afterNewCluster: 'BACKUP_UNUSABLE',
      ended: () => assert.is(opened.world.uid, 'uid-1'),
    }
  },
  async 'up without its control plane'(opened) {
    await makeRunning(opened)
    await opened.world.loseMachine('home-cp1')
    const ended = () => assert.is(opened.world.uid, undefined)
    const cluster = opened.cluster()
    return { command: 'up', start: opened.save(), cluster, refusal: 'ETCD_LOST', ended }
  },
  async 'regenerate-secrets'(opened) {
    await makeRunning(opened)
    const cluster = opened.cluster()
    const path = (name: string): string => join(cluster.generated, name)
    const former = readFileSync(path('secrets.yaml'), 'utf8')
    return {
      command: 'regenerate-secrets',
      start: opened.save(),
      cluster,
      confirmed: true,
      options: finalSnapshot,
      ended() {
        assert.is.not(readFileSync(path('secrets.yaml'), 'utf8'), former)
        assert.ok(opened.world.uid !== undefined && opened.world.uid !== 'uid-1')
        assert.not.ok(existsSync(path('regenerating.json')))
      },
    }
  },
}

/** A cluster with a backup, and with data that is newer than it. */
async function makeRunning(opened: Opened): Promise<void> {
  await expectDone(opened, 'up')
  await expectDone(opened, 'bootstrap:backup')
  opened.world.revision += 10
}

async function expectDone(
  { world, cluster }: Opened,
  command: string,
  settings: Readonly<Record<string, string>> = {},
  options: ChainOptions = {},
): Promise<void> {
  const { ending } = await runChain(world, cluster(settings), command, options)
  assert.equal(ending, { kind: 'done' })
}
