// limit: 300 s
import { hasTalosctl } from '@talosmith/clients/testing'
import { testCluster } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openWorld, type Opened, type Saved } from './support/world/open.ts'
import { runChain } from './support/world/stages.ts'

const suiteOf = suite('a cluster that was never created')
const test = (await hasTalosctl(testCluster())) ? suiteOf : suiteOf.skip
let opened: Opened
let nothing: Saved

suiteOf.before(async () => {
  opened = await openWorld('127.77.9.0/24')
  nothing = opened.save()
})
suiteOf.after(() => opened.close())

/** What places the image for future machines; a folder that is empty, or not there, is no loss. */
const harmless = /^(?:post the schematic|place \S+\.raw|write images\.json|remove configs)$/

/** How each command ends. */
const table: Readonly<Record<string, string>> = {
  restore: 'BACKUP_UNUSABLE',
  'regenerate-secrets': 'NOT_STARTED',
  upgrade: 'NOT_STARTED',
  destroy: 'done',
  'cluster:start': 'NOT_STARTED',
  'cluster:stop': 'done',
  'cluster:status': 'done',
  'cluster:diagnose': 'MACHINE_MISSING',
  'cluster:restore': 'BACKUP_UNUSABLE',
  'cluster:regenerate-secrets': 'NOT_STARTED',
  'bootstrap:backup': 'NOT_STARTED',
  'bootstrap:configure': 'MACHINE_MISSING',
  'bootstrap:health': 'NOT_STARTED',
  'bootstrap:start': 'NOT_CONFIGURED',
  'bootstrap:restore': 'BACKUP_UNUSABLE',
  'cluster:upgrade-talos': 'NOT_STARTED',
  'bootstrap:recover-secrets': 'NOT_STARTED',
  'storage:verify': 'done',
  'storage:uninstall': 'done',
  'vm:status': 'done',
}
for (const [command, expected] of Object.entries(table))
  for (const confirmed of [false, true])
    test(`${command}${confirmed ? ' with CONFIRM' : ''}: ${expected}, and nothing is touched`, async () => {
      await opened.load(nothing)
      const { ending, changes, lines } = await runChain(opened.world, opened.cluster(), command, {
        confirmed,
      })
      assert.is(ending.kind === 'refused' ? ending.code : ending.kind, expected, lines.join('\n'))
      assert.equal(
        changes.filter((change) => !harmless.test(change)),
        [],
      )
      assert.is(opened.world.domains.size, 0)
    })

suiteOf.run()
