import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeMachineStatus, renderMachineStatus } from '../src/status.ts'
import { firstOf, foreignDomain, finishedHost, emptyHost, withDomain } from './observed-hosts.ts'

const cluster = testCluster()

test('shows each machine with its state on the host', () => {
  const [row] = describeMachineStatus(cluster, [finishedHost(cluster)])
  assert.equal(row, {
    machine: 'home-cp1',
    role: 'controlplane',
    host: 'root@kvm1',
    address: '10.0.0.70',
    state: 'running',
    cpu: 2,
    memoryMib: 4096,
    diskGib: 20,
    usedGib: 0.5,
    notes: [],
  })
})

test('a machine that no host has is missing', () => {
  const rows = describeMachineStatus(cluster, [emptyHost(cluster)])
  assert.equal(
    rows.map(({ state }) => state),
    ['missing', 'missing', 'missing'],
  )
})

test('notes the changes that a running machine gets at its next start', () => {
  const observed = withDomain(finishedHost(cluster), 'home-w1', (domain) => ({
    ...domain,
    live: { state: 'running', memoryMib: 2048, cpu: 1 },
  }))
  assert.equal(describeMachineStatus(cluster, [observed])[1]?.notes, [
    'at its next start: 4096 MiB (now 2048), 2 CPUs (now 1)',
  ])
})

test('a machine of the same name and another owner is missing, with a note', () => {
  const observed = { ...emptyHost(cluster), domains: [foreignDomain(cluster, firstOf(cluster))] }
  const [row] = describeMachineStatus(cluster, [observed])
  assert.is(row?.state, 'missing')
  assert.equal(row?.notes, ['a machine of this name belongs to another owner'])
})

test('machines that are no longer in the settings come last', () => {
  const rows = describeMachineStatus(testCluster({ WORKER_COUNT: '1' }), [finishedHost(cluster)])
  assert.is(rows.at(-1)?.machine, 'home-w2')
  assert.equal(rows.at(-1)?.notes, [
    'no longer in the settings (to remove it: docs/operations.md, "Fewer machines")',
  ])
})

test('the table is aligned and has no trailing blanks', () => {
  const lines = renderMachineStatus(describeMachineStatus(cluster, [finishedHost(cluster)])).split(
    '\n',
  )
  assert.is(lines.length, 4)
  assert.is(new Set(lines.map((line) => line.search(/STATE|running/))).size, 1)
  assert.ok(lines.every((line) => line === line.trimEnd()))
})

test.run()
