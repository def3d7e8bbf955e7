import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { findTool, local } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kvm1, labFolder } from '../src/layout.ts'
import { startTimeOf } from '../src/processes.ts'
import { builtTools, isBuilt } from '../src/tools.ts'
import { plantedPatch, removePlanted } from './planted.ts'
import { labCluster, nx } from './support.ts'

/** The processes of the lab's host: IDs with their start times, which detect reused IDs. */
async function processes(): Promise<Map<number, string | undefined>> {
  const { stdout } = await local.$({ nothrow: true })`ip netns pids ${kvm1.namespace}`
  const pids = stdout.split('\n').filter(Boolean).map(Number)
  return new Map(pids.map((pid) => [pid, startTimeOf(pid)]))
}

/** Processes of this machine that were started from the lab's folder, or use it. */
function usersOfFolder(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        return command.includes(`${labFolder}/`) ? [command] : []
      } catch {
        return []
      }
    })
}

async function leftovers(): Promise<string[]> {
  const { stdout: links } = await local.$`ip -o link show`
  const { stdout: mounts } = await local.$`cat /proc/self/mounts`
  const files = [labFolder, `/run/netns/${kvm1.namespace}`, `/run/talosmith-${kvm1.name}-owner`]
  return [
    ...files.filter((path) => existsSync(path)),
    ...links.split('\n').filter((line) => line.includes(kvm1.veth)),
    ...mounts.split('\n').filter((line) => line.includes(labFolder)),
    ...usersOfFolder(),
  ]
}

test('lab:stop leaves no process, namespace, veth, mount or file', async () => {
  assert.is((await nx('lab:start')).code, 0)
  const before = await processes()
  assert.ok(before.size > 5, `only ${before.size} processes ran`)
  assert.is((await nx('lab:stop')).code, 0)
  const alive = [...before].filter(
    ([pid, started]) => started !== undefined && startTimeOf(pid) === started,
  )
  assert.equal(alive, [])
  assert.equal(await leftovers(), [])
})

test('what the chapters planted is removed', () => {
  removePlanted()
  assert.not(existsSync(plantedPatch))
})

test('a second lab:stop finds nothing to do', async () => {
  assert.is((await nx('lab:stop')).code, 0)
  assert.equal(await leftovers(), [])
})

test('built tools stay for the next start', async () => {
  assert.equal(
    builtTools.filter((name) => !isBuilt(name)),
    [],
  )
  await findTool('kubectl', await labCluster())
})

test.run()
