import { CommandFailed, type Problem } from '@talosmith/core'
import { testCluster } from '@talosmith/core/testing'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chartArguments, chartProblem, checkChart } from '../src/chart.ts'
import type { Helm } from '../src/helm.ts'

const cluster = (overrides: Record<string, string> = {}) =>
  testCluster({ NFS_SERVER: '10.0.0.5', NFS_SHARE: '/srv/appdata', ...overrides })

for (const [source, expected] of [
  [
    'https://charts.example.org/nfs/',
    ['csi-driver-nfs', '--repo=https://charts.example.org/nfs', '--version=4.13.4'],
  ],
  [
    'oci://registry.example.org/csi-driver-nfs',
    ['oci://registry.example.org/csi-driver-nfs', '--version=4.13.4'],
  ],
  ['/srv/csi-driver-nfs-4.13.4.tgz', ['/srv/csi-driver-nfs-4.13.4.tgz']],
  [
    'https://example.org/csi-driver-nfs-4.13.4.tgz',
    ['https://example.org/csi-driver-nfs-4.13.4.tgz'],
  ],
] as const)
  test(`the chart from ${source}`, () => {
    assert.equal(chartArguments(cluster({ NFS_CSI_CHART: source })), expected)
  })

const helmPrinting =
  (text: string): Helm =>
  async () =>
    text

for (const version of ['4.13.4', 'v4.13.4'])
  test(`a chart of version ${version} is the wanted 4.13.4`, async () => {
    await checkChart(cluster(), helmPrinting(`name: csi-driver-nfs\nversion: ${version}\n`))
  })

for (const chart of [
  'name: csi-driver-nfs\nversion: 4.12.0',
  'name: csi-driver-smb\nversion: 4.13.4',
])
  test(`refuses ${chart.replace('\n', ' ')}`, async () => {
    try {
      await checkChart(cluster(), helmPrinting(chart))
      assert.unreachable()
    } catch (error) {
      assert.is((error as Problem).code, 'CHART_DIFFERS')
    }
  })

for (const [stderr, code] of [
  [
    'Error: chart "csi-driver-nfs" version "9.9.9" not found in https://charts.example.org repository',
    'CHART_VERSION_UNKNOWN',
  ],
  [
    'Error: looks like "https://charts.example.org" is not a valid chart repository or cannot be reached: 404 Not Found',
    'CHART_NOT_FOUND',
  ],
  [
    'Error: Get "https://nowhere/index.yaml": dial tcp: lookup nowhere: no such host',
    'CHART_NOT_FOUND',
  ],
] as const)
  test(`${code}: ${stderr.slice(7, 70)}`, () => {
    const failed = new CommandFailed('this machine', 'helm show chart', {
      stdout: '',
      stderr,
      exitCode: 1,
    })
    const problem = chartProblem(cluster(), failed)
    assert.is(problem.code, code)
    assert.is(problem.now, 'nothing was changed')
  })

test.run()
