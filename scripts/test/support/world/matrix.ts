/** The kill matrix of one command: killed before each of its changes, then cluster:up, then the command again. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot, type Cluster } from '@talosmith/core'
import * as assert from 'uvu/assert'
import { hasTalosctl } from '@talosmith/clients/testing'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import { cases } from './cases.ts'
import { endProcess, openWorld, type Opened, type Saved } from './open.ts'
import { endProcesses } from './runs.ts'
import { runChain, targetsOf, type Ran } from './stages.ts'

/** The fewest changes of a case: with less of them, it would not test what it is to test. */
export const fewestPoints = 6

/** A command of the matrix. */
export interface Case {
  readonly command: string
  /** The state in which it is begun. */
  readonly start: Saved
  readonly cluster: Cluster
  readonly confirmed?: boolean
  readonly options?: Readonly<Record<string, boolean>>
  /** The code with which it ends when nothing interrupts it; by default it succeeds. */
  readonly refusal?: string
  /** It needs no CONFIRM at the start, when nothing exists that it would delete. */
  readonly losesNothing?: boolean
  /** Its code after a kill before its first change, when cluster:up has created a cluster of its own. */
  readonly afterNewCluster?: string
  /** Throws unless the world is as the command leaves it. */
  readonly ended: () => void
}

/** What the matrix found: the changes at which it killed, and how cluster:up ended after each. */
export interface Row {
  readonly change: string
  readonly up: string
}

/** The test of one command, in a world at these loopback addresses. */
export async function testCommand(name: string, cidr: string, title: string): Promise<void> {
  const test = suite(`cluster:${name}, killed before any change`)
  const it = (await hasTalosctl(testCluster())) ? test : test.skip
  it(title, async () => {
    const opened = await openWorld(cidr)
    const make = cases[name]
    assert.ok(make, name)
    let rows: readonly Row[]
    try {
      const one = await make(opened)
      await runUnconfirmed(opened, one)
      rows = await killEverywhere(opened, one)
    } finally {
      await opened.close()
    }
    const endings = [...new Set(rows.map(({ up }) => up))].map(
      (up) => `${up} ${rows.filter((row) => row.up === up).length}`,
    )
    console.log(`${rows.length} kill points of ${name}; then cluster:up: ${endings.join(', ')}`)
    assert.ok(rows.length >= fewestPoints)
  })
  test.run()
}

/** Runs what deletes data without CONFIRM, then each of its stages by itself. Throws when anything is harmed. */
async function runUnconfirmed({ world, load }: Opened, one: Case): Promise<void> {
  if (one.confirmed !== true || one.losesNothing === true) return
  const { cluster, command, options = {}, start } = one
  await load(start)
  const whole = await runChain(world, cluster, command, { options })
  assert.is(codeOf(whole), 'CONFIRM_MISSING', describe('without CONFIRM', whole))
  assert.equal(whole.changes, [], 'without CONFIRM')
  for (const target of targetsOf(command)) {
    await load(start)
    await runChain(world, cluster, target)
    assert.equal(world.harm, [], `${target} without CONFIRM`)
  }
}

/** Kills the command before each of its changes. Throws for the first point at which something is lost. */
async function killEverywhere(opened: Opened, one: Case): Promise<readonly Row[]> {
  const rows: Row[] = []
  const known = knownCodes()
  const { world } = opened
  const run = (command: string, killAt?: number): Promise<Ran> =>
    runChain(world, one.cluster, command, {
      confirmed: command !== 'up' && one.confirmed === true,
      options: one.options ?? {},
      ...(killAt === undefined ? {} : { killAt }),
    })
  await opened.load(one.start)
  const whole = await run(one.command)
  assert.is(codeOf(whole), one.refusal ?? 'done', describe('without a kill', whole))
  one.ended()
  const failures: string[] = []
  for (const at of whole.changes.keys()) {
    await opened.load(one.start)
    try {
      const killed = await run(one.command, at)
      assert.is(killed.ending.kind, 'killed', describe('not killed', killed))
      rows.push(await goOn(killed.changes.at(-1) ?? '', at === 0))
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      failures.push(`${one.command} killed before change ${at} (${whole.changes[at]}): ${text}`)
    }
  }
  if (failures.length > 0) throw new Error(failures.join('\n\n'))
  return rows

  /** After a kill: cluster:up, then the command again. */
  async function goOn(change: string, isFirst: boolean): Promise<Row> {
    await processEnded(one.cluster)
    assert.equal(world.harm, [])
    const up = await run('up')
    assert.equal(world.harm, [], 'after up')
    const { ending } = up
    if (ending.kind === 'refused') assert.ok(known.has(ending.code), describe('unknown code', up))
    else assert.ok(world.uid !== undefined, describe('no etcd', up))
    if (one.command === 'up')
      assert.is(codeOf(up), one.refusal ?? 'done', describe('up does not converge', up))
    else {
      const again = await run(one.command)
      assert.equal(world.harm, [], 'after the command was run again')
      const expected = (isFirst ? one.afterNewCluster : undefined) ?? one.refusal ?? 'done'
      assert.is(codeOf(again), expected, describe(`after up (${codeOf(up)}), again`, again))
      if (expected === one.afterNewCluster) return { change, up: codeOf(up) }
    }
    one.ended()
    return { change, up: codeOf(up) }
  }
}

/** 'done', 'killed', or the code of a refusal. */
function codeOf({ ending }: Ran): string {
  return ending.kind === 'refused' ? ending.code : ending.kind
}

/** Lets what the killed run had under way come to where it ends: nothing of it goes on. */
async function processEnded(cluster: Cluster): Promise<void> {
  await endProcesses()
  endProcess(cluster)
}

/** The codes that docs/troubleshooting explains. */
function knownCodes(): ReadonlySet<string> {
  const folder = join(projectRoot, 'docs', 'troubleshooting')
  const pages = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  return new Set(pages.join('\n').match(/(?<=^## )[A-Z][A-Z0-9_]+$/gm))
}

function describe(where: string, { ending, lines, changes }: Ran): string {
  const last = [...lines.slice(-8), ...changes.slice(-8).map((change) => `change: ${change}`)]
  return [`${where}: ${JSON.stringify(ending)}`, ...last].join('\n')
}
