import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forgetClusters } from '../src/forget.ts'
import { kvm1 } from '../src/layout.ts'

const files = ['images.json', 'kubeconfig', 'secrets.yaml', 'backups/a.db', 'runs/1.jsonl']

test("with the lab go its clusters' secrets, access files and backups, and those of no other", () => {
  const root = temporaryFolder('forget')
  const folder = (name: string): string => join(root, 'generated', name)
  const ours = `qemu+ssh://root@${kvm1.address}/system`
  const clusters = {
    lab: [ours],
    site: ['qemu:///system'],
    both: [ours, 'qemu:///system'],
    new: undefined,
  }
  for (const [name, hosts] of Object.entries(clusters)) {
    for (const file of files) {
      mkdirSync(join(folder(name), file, '..'), { recursive: true })
      writeFileSync(join(folder(name), file), '{}')
    }
    if (hosts !== undefined) writeFileSync(join(folder(name), 'hosts.json'), JSON.stringify(hosts))
  }
  const before = readdirSync(folder('site')).length
  forgetClusters(root)
  assert.equal(readdirSync(folder('lab')).sort(), ['images.json', 'runs'])
  assert.is(readdirSync(folder('site')).length, before)
  assert.is(readdirSync(folder('both')).length, before)
  assert.is(readdirSync(folder('new')).length, before - 1)
})

test.run()
