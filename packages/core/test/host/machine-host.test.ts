import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { machineHost } from '../../src/host/machine-host.ts'
import { recordingHost, type RecordingHost } from '../../src/testing/recording-host.ts'

const node = { name: 'home-w1', host: 1 }

function hostWith(name: string, has: boolean): RecordingHost {
  const absent = { exitCode: 1, stderr: "error: failed to get domain 'home-w1'" }
  return recordingHost({ '/ domuuid home-w1/': has ? '5b0e8b0e\n' : absent }, { name })
}

const rows: readonly (readonly [title: string, has: readonly boolean[], found: string])[] = [
  ['the assigned host has it', [false, true], 'host1'],
  ['it is on another host than the assigned one, since hosts were added', [true, false], 'host0'],
  ['no host has it', [false, false], 'host1'],
]

for (const [title, has, found] of rows)
  test(title, async () => {
    const hosts = has.map((one, index) => hostWith(`host${index}`, one))
    assert.is((await machineHost(hosts, node))?.name, found)
  })

test('where the assigned host has it, the others are not asked', async () => {
  const hosts = [hostWith('host0', false), hostWith('host1', true)]
  await machineHost(hosts, node)
  assert.equal(hosts[0]?.commands, [])
})

test('a single host is not asked', async () => {
  const host = recordingHost()
  assert.is(await machineHost([host], { name: 'home-w1', host: 0 }), host)
  assert.equal(host.commands, [])
})

test.run()
