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

/** The local host, which claims to be a remote one. */
const remote: Host = { ...local, name: 'root@kvm1', isLocal: false }

relay('transfers the image through this machine, verified and recorded', async ({ rig }) => {
  await rig.transfer(remote)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.match(readFileSync(`${rig.path}.ledger.json`, 'utf8'), sha256(rig.body))
  assert.is(readdirSync(dirname(rig.path)).length, 2)
})

relay('does not relay to this machine itself', async ({ rig }) => {
  await rig.transfer(local)
  assert.ok(rig.requests.includes('nocloud-amd64.raw.zst.sha256'), 'curl on the host requests it')
})

relay('a transfer that is interrupted repeatedly is resumed', async ({ rig }) => {
  rig.cutAfter = 300_000
  await rig.transfer(remote)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
  assert.ok(
    rig.requests.some((line) => /bytes=[1-9]\d+-$/.test(line)),
    rig.requests.join('\n'),
  )
})

relay('a stalled transfer is aborted and resumed', async ({ rig }) => {
  rig.stallAfter = 500_000
  await rig.transfer(remote)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

relay(
  'a partial download on the host is resumed, or discarded if the file has changed',
  async ({ rig }) => {
    mkdirSync(rig.folder)
    const keep = (bytes: Buffer, validator: string): void => {
      writeFileSync(`${rig.folder}/compressed`, bytes)
      const source = `${rig.cluster.image.url}\n${validator}\n${rig.body.length}\n`
      writeFileSync(`${rig.folder}/source`, source)
    }
    keep(Buffer.alloc(1000, 'x'), '"older"')
    await rig.transfer(remote)
    assert.ok(readFileSync(rig.path).equals(rig.raw))
    assert.is(rig.requests[0], 'nocloud-amd64.raw.zst bytes=1000-')
    await local.$`rm ${rig.path}`
    mkdirSync(rig.folder)
    keep(rig.body, '"first"')
    rig.requests.length = 0
    await rig.transfer(remote)
    assert.equal(rig.requests, ['nocloud-amd64.raw.zst.sha256'])
  },
)

relay('without Range support the download starts again', async ({ rig }) => {
  rig.hasRanges = false
  rig.cutAfter = 300_000
  setTimeout(() => (rig.cutAfter = undefined), 300)
  await rig.transfer(remote)
  assert.ok(readFileSync(rig.path).equals(rig.raw))
})

relay('an offered checksum is verified', async ({ rig }) => {
  rig.checksum = `${'a'.repeat(64)}  nocloud-amd64.raw.zst\n`
  assert.is((await problemOf(rig.transfer(remote))).code, 'IMAGE_CHECKSUM_DIFFERS')
  assert.not(existsSync(rig.path))
})

relay('a 4xx is reported at once with the response of the factory', async ({ rig }) => {
  rig.statuses = [400]
  const problem = await problemOf(rig.transfer(remote))
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'status 400')
  assert.is(rig.requests.length, 1)
})

relay('5xx is retried', async ({ rig }) => {
  rig.statuses = [502, 503]
  await rig.transfer(remote)
  assert.ok(existsSync(rig.path))
})

relay('a factory that this machine cannot reach is FACTORY_UNREACHABLE', async ({ rig }) => {
  rig.settings({ IMAGE_RELAY: 'true', TALOS_FACTORY_URL: 'http://127.0.0.1:9' })
  const problem = await problemOf(rig.transfer(remote))
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.message, 'this machine')
})

relay.run()
