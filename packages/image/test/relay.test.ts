import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { local, type Host } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sha256, startRig, type Rig } from './support.ts'

const relay = suite<{ rig: Rig }>('IMAGE_RELAY')
relay.before.each(async (context) => {
  const rig = await startRig()
  rig.settings({ IMAGE_RELAY: 'true' })
  Object.assign(context, { rig })
})
relay.after.each(({ rig }) => rig.close())

/** A host that is far away as far as anybody can see, and has no curl. */
const far: Host = { ...local, name: 'root@kvm1', isLocal: false }

relay('the image arrives through this machine, right and recorded', async ({ rig }) => {
  await rig.transfer(far)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.match(readFileSync(`${rig.path}.ledger.json`, 'utf8'), sha256(rig.body))
  assert.is(readdirSync(dirname(rig.path)).length, 2)
})

relay('nothing is relayed to this machine itself', async ({ rig }) => {
  await rig.transfer(local)
  assert.ok(rig.requests.includes('nocloud-amd64.raw.zst.sha256'), 'curl on the host asks for it')
})

relay('a transfer that is cut again and again is carried on', async ({ rig }) => {
  rig.cutAfter = 300_000
  await rig.transfer(far)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.ok(
    rig.requests.some((line) => /bytes=[1-9]\d+-$/.test(line)),
    rig.requests.join('\n'),
  )
})

relay('a stall is given up and carried on', async ({ rig }) => {
  rig.stallAfter = 500_000
  await rig.transfer(far)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

relay('what lies on the host is carried on; other bytes are not mixed with it', async ({ rig }) => {
  mkdirSync(rig.folder)
  const keep = (bytes: Buffer, mark: string): void => {
    writeFileSync(`${rig.folder}/compressed`, bytes)
    const source = `${rig.cluster.image.url}\n${mark}\n${rig.body.length}\n`
    writeFileSync(`${rig.folder}/source`, source)
  }
  keep(Buffer.alloc(1000, 'x'), '"older"')
  await rig.transfer(far)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.is(rig.requests[0], 'nocloud-amd64.raw.zst bytes=1000-')
  await local.$`rm ${rig.path}`
  mkdirSync(rig.folder)
  keep(rig.body, '"first"')
  rig.requests.length = 0
  await rig.transfer(far)
  assert.equal(rig.requests, ['nocloud-amd64.raw.zst.sha256'])
})

relay('a server without Range is asked for everything again', async ({ rig }) => {
  rig.hasRanges = false
  rig.cutAfter = 300_000
  setTimeout(() => (rig.cutAfter = undefined), 300)
  await rig.transfer(far)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

relay('an offered checksum is used here too', async ({ rig }) => {
  rig.checksum = `${'a'.repeat(64)}  nocloud-amd64.raw.zst\n`
  assert.is((await problemOf(rig.transfer(far))).code, 'IMAGE_CHECKSUM_DIFFERS')
  assert.not(existsSync(rig.path))
})

relay('a refusal is told in the words of the factory, at once', async ({ rig }) => {
  rig.statuses = [400]
  const problem = await problemOf(rig.transfer(far))
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'said 400')
  assert.is(rig.requests.length, 1)
})

relay('5xx is tried again', async ({ rig }) => {
  rig.statuses = [502, 503]
  await rig.transfer(far)
  assert.ok(existsSync(rig.path))
})

relay('a factory that this machine cannot reach is named', async ({ rig }) => {
  rig.settings({ IMAGE_RELAY: 'true', TALOS_FACTORY_URL: 'http://127.0.0.1:9' })
  const problem = await problemOf(rig.transfer(far))
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.message, 'this machine')
})

relay.run()
