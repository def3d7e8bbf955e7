import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host } from '../../src/host/host.ts'
import { openHost } from '../../src/host/open.ts'
import { poolPath } from '../../src/host/pool.ts'
import { virshOn } from '../../src/host/virsh.ts'
import { Problem } from '../../src/problem.ts'
import { readSettings } from '../../src/settings/read.ts'
import { freePort, hasSshd, makeKey, startSshd, type Sshd } from '../../src/testing/sshd.ts'

/**
 * Each fixture is an env file that is valid but does not fit the host; its first line is the Problem that
 * must be reported. {port}, {home}, {closed} are the test's own sshd, its ~/.ssh and a
 * port on which nothing listens.
 */
const folder = join(import.meta.dirname, 'fixtures')
const test = suite('bad hosts')

if (hasSshd && existsSync('/usr/bin/virsh')) {
  const sshd = await startSshd()
  await prepare(sshd)
  const closed = String(await freePort())

  for (const name of readdirSync(folder).sort()) {
    const text = readFileSync(join(folder, name), 'utf8')
      .replaceAll('{port}', String(sshd.port))
      .replaceAll('{home}', sshd.path('.ssh'))
      .replaceAll('{closed}', closed)
    const expected = /^# reported: (.+)$/m.exec(text)?.[1]
    test(`${name} is rejected: ${expected}`, async () => {
      const problem = await refusal(text, sshd)
      assert.is(problem.code, expected)
      assert.ok(problem.hint, 'it has a hint')
    })
  }
  test.after(() => sshd.stop())
} else {
  test.skip('bad hosts')
  console.log('SKIPPED: the tests of bad hosts need root, /usr/sbin/sshd and /usr/bin/virsh')
}

async function refusal(text: string, sshd: Sshd): Promise<Problem> {
  const { settings } = readSettings(text, {})
  const hosts: Host[] = []
  try {
    for (const uri of settings.LIBVIRT_URI) hosts.push(await openHost(uri, '/', sshd.user))
    for (const host of hosts) await poolPath(host, settings.STORAGE_POOL, batchWithPools)
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  } finally {
    for (const host of hosts) await host.close()
  }
  throw new Error('it was accepted')
}

/** libvirt's test driver with bad pools; its state lasts as long as one virsh process. */
const batchWithPools: typeof batch = async (host, commands) => {
  const pools = [
    ['pool-define-as', 'volumes', 'logical', '--source-name', 'vg', '--target', '/dev/vg'],
    ['pool-start', 'volumes'],
    ['pool-define-as', 'asleep', 'dir', '--target', '/srv/asleep'],
  ]
  return (await batch(host, [...pools, ...commands])).slice(pools.length)
}
const { virshBatch: batch } = virshOn('test:///default')

async function prepare(sshd: Sshd): Promise<void> {
  const own = await sshd.hostKey('ed25519')
  const home = (name: string): string => sshd.path(join('.ssh', name))
  makeKey(home('stranger'))
  makeKey(home('locked'), 'ed25519', 'secret')
  const other = readFileSync(home('stranger.pub'), 'utf8')
  writeFileSync(home('empty'), '')
  writeFileSync(home('another-port'), `[127.0.0.1]:1 ${own}\n`)
  writeFileSync(home('changed'), `[127.0.0.1]:${sshd.port} ${other}`)
  writeFileSync(home('revoked'), `[127.0.0.1]:${sshd.port} ${own}\n@revoked * ${own}\n`)
}

test.run()
