import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { local, type Host } from '@talosmith/core'
import { problemOf } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sha256, startLab, type Lab } from './support.ts'

const relay = suite<{ lab: Lab }>('IMAGE_RELAY')
relay.before.each(async (context) => {
  const lab = await startLab()
  lab.settings({ IMAGE_RELAY: 'true' })
  Object.assign(context, { lab })
})
relay.after.each(({ lab }) => lab.close())

/** A host that is far away as far as anybody can see, and has no curl. */
const far: Host = { ...local, name: 'root@kvm1', isLocal: false }

relay('the image arrives through this machine, right and recorded', async ({ lab }) => {
  await lab.transfer(far)
  assert.ok(readFileSync(lab.path).equals(lab.raw))
  assert.match(readFileSync(`${lab.path}.ledger.json`, 'utf8'), sha256(lab.body))
  assert.is(readdirSync(dirname(lab.path)).length, 2)
})

relay('nothing is relayed to this machine itself', async ({ lab }) => {
  await lab.transfer(local)
  assert.ok(lab.requests.includes('nocloud-amd64.raw.zst.sha256'), 'curl on the host asks for it')
})

relay('a transfer that is cut again and again is carried on', async ({ lab }) => {
  lab.cutAfter = 300_000
  await lab.transfer(far)
  assert.ok(readFileSync(lab.path).equals(lab.raw))
  assert.ok(
    lab.requests.some((line) => /bytes=[1-9]\d+-$/.test(line)),
    lab.requests.join('\n'),
  )
})

relay('a stall is given up and carried on', async ({ lab }) => {
  lab.stallAfter = 500_000
  await lab.transfer(far)
  assert.ok(readFileSync(lab.path).equals(lab.raw))
})

relay('what lies on the host is carried on; other bytes are not mixed with it', async ({ lab }) => {
  mkdirSync(lab.folder)
  const keep = (bytes: Buffer, mark: string): void => {
    writeFileSync(`${lab.folder}/compressed`, bytes)
    const source = `${lab.cluster.image.url}\n${mark}\n${lab.body.length}\n`
    writeFileSync(`${lab.folder}/source`, source)
  }
  keep(Buffer.alloc(1000, 'x'), '"older"')
  await lab.transfer(far)
  assert.ok(readFileSync(lab.path).equals(lab.raw))
  assert.is(lab.requests[0], 'nocloud-amd64.raw.zst bytes=1000-')
  await local.$`rm ${lab.path}`
  mkdirSync(lab.folder)
  keep(lab.body, '"first"')
  lab.requests.length = 0
  await lab.transfer(far)
  assert.equal(lab.requests, ['nocloud-amd64.raw.zst.sha256'])
})

relay('a server without Range is asked for everything again', async ({ lab }) => {
  lab.hasRanges = false
  lab.cutAfter = 300_000
  setTimeout(() => (lab.cutAfter = undefined), 300)
  await lab.transfer(far)
  assert.ok(readFileSync(lab.path).equals(lab.raw))
})

relay('an offered checksum is used here too', async ({ lab }) => {
  lab.checksum = `${'a'.repeat(64)}  nocloud-amd64.raw.zst\n`
  assert.is((await problemOf(lab.transfer(far))).code, 'IMAGE_CHECKSUM_DIFFERS')
  assert.not(existsSync(lab.path))
})

relay('a refusal is told in the words of the factory, at once', async ({ lab }) => {
  lab.statuses = [400]
  const problem = await problemOf(lab.transfer(far))
  assert.is(problem.code, 'FACTORY_ERROR')
  assert.match(problem.because ?? '', 'said 400')
  assert.is(lab.requests.length, 1)
})

relay('5xx is tried again', async ({ lab }) => {
  lab.statuses = [502, 503]
  await lab.transfer(far)
  assert.ok(existsSync(lab.path))
})

relay('a factory that this machine cannot reach is named', async ({ lab }) => {
  lab.settings({ IMAGE_RELAY: 'true', TALOS_FACTORY_URL: 'http://127.0.0.1:9' })
  const problem = await problemOf(lab.transfer(far))
  assert.is(problem.code, 'FACTORY_UNREACHABLE')
  assert.match(problem.message, 'this machine')
})

relay.run()
