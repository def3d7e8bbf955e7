import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

interface Manager {
  readonly description: string
  readonly depNameTemplate: string
  readonly managerFilePatterns: readonly string[]
  readonly matchStrings: readonly string[]
}

const read = (name: string): string => readFileSync(join(projectRoot, name), 'utf8')
const { customManagers } = JSON.parse(read('renovate.json')) as { customManagers: Manager[] }
const { settings } = testCluster({ NFS_SERVER: '10.0.0.9', NFS_SHARE: '/srv' })
const expected: Readonly<Record<string, string | undefined>> = {
  'siderolabs/talos': settings.TALOS_VERSION,
  'kubernetes/kubernetes': settings.KUBERNETES_VERSION,
  'csi-driver-nfs': settings.NFS_CSI_VERSION,
}
const files = [
  'packages/core/src/settings/schema.ts',
  'packages/core/src/settings/versions.ts',
  'docs/configuration.md',
  'env/example.env',
  'mise.toml',
  'lab/chart/csi-driver-nfs/Chart.yaml',
  'lab/chart/csi-driver-nfs/values.yaml',
].filter((file) => existsSync(join(projectRoot, file)))

for (const manager of customManagers) {
  const patterns = manager.managerFilePatterns.map((text) => new RegExp(text.slice(1, -1)))
  // lab/ may be deleted.
  if (!files.some((file) => patterns.some((pattern) => pattern.test(file)))) continue
  const found = manager.matchStrings.map((text) =>
    files
      .filter((file) => patterns.some((pattern) => pattern.test(file)))
      .flatMap((file) => [...read(file).matchAll(new RegExp(text, 'g'))])
      .map(({ groups }) => groups?.['currentValue']?.replace(/^v/, '')),
  )

  test(`${manager.description}: every place is found and has the version of the settings`, () => {
    const version = expected[manager.depNameTemplate]?.replace(/^v/, '')
    assert.ok(version)
    for (const [place, versions] of found.entries())
      assert.equal([...new Set(versions)], [version], manager.matchStrings[place])
  })

  test(`${manager.description}: every file pattern matches a file`, () => {
    for (const pattern of patterns)
      assert.ok(
        files.some((file) => pattern.test(file)),
        `${pattern}`,
      )
  })
}

test.run()
