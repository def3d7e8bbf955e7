import { Problem } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findPath } from '../../src/upgrade/upgrade-path.ts'

const everything = [
  ...['v1.8.4', 'v1.9.0', 'v1.9.5', 'v1.9.6', 'v1.10.0', 'v1.10.9', 'v1.11.0', 'v1.11.6'],
  ...['v1.12.0', 'v1.12.10', 'v1.12.11', 'v1.13.8', 'v1.13.9', 'v1.13.10'],
  ...['v1.14.0-alpha.1', 'v1.14.0-rc.1', 'v1.14.0', 'v1.14.2'],
]
const without = (...minors: string[]): string[] =>
  everything.filter((version) => !minors.some((minor) => version.startsWith(`v${minor}.`)))

/** Versions are written without `v`; a path as `T1.13.9 K1.36.3`; a refusal as CODE and part of the hint. */
type Row = [talos: string, kubernetes: string, desired: string, path: string, offered?: string[]]

const rows: Row[] = [
  // Nothing to do.
  ['1.13.9', '1.36.3', '1.13.9 1.36.3', ''],
  ['1.13.9 1.13.9 1.13.9', '1.36.3 1.36.3 1.36.3', '1.13.9 1.36.3', ''],
  ['1.14.0-rc.1', '1.37.0', '1.14.0-rc.1 1.37.0', ''],
  ['1.13.9', '1.36.3', '1.13.9 1.36.3', '', []],
  // Within a minor.
  ['1.13.8', '1.36.3', '1.13.9 1.36.3', 'T1.13.9'],
  ['1.13.8', '1.36.3', '1.13.10 1.36.3', 'T1.13.10'],
  ['1.13.9', '1.36.3', '1.13.8 1.36.3', 'T1.13.8'],
  ['1.12.0', '1.35.0', '1.12.11 1.35.0', 'T1.12.11'],
  ['1.9.0', '1.32.0', '1.9.6 1.32.0', 'T1.9.6'],
  ['1.14.0-alpha.1', '1.37.0', '1.14.0-rc.1 1.37.0', 'T1.14.0-rc.1'],
  ['1.14.0-rc.1', '1.37.0', '1.14.2 1.37.0', 'T1.14.2'],
  // One minor, over the newest patch of the own one.
  ['1.12.11', '1.35.0', '1.13.9 1.35.0', 'T1.13.9'],
  ['1.12.0', '1.35.0', '1.13.9 1.35.0', 'T1.12.11 T1.13.9'],
  ['1.12.10', '1.35.0', '1.13.8 1.35.0', 'T1.12.11 T1.13.8'],
  ['1.13.9', '1.36.3', '1.14.2 1.36.3', 'T1.13.10 T1.14.2'],
  ['1.13.10', '1.36.3', '1.14.0-rc.1 1.36.3', 'T1.14.0-rc.1'],
  ['1.9.5', '1.32.0', '1.10.9 1.32.0', 'T1.9.6 T1.10.9'],
  ['1.10.9', '1.33.0', '1.11.0 1.33.0', 'T1.11.0'],
  ['1.12.11', '1.35.0', '1.13.9 1.35.0', 'T1.13.9', ['v1.13.9']],
  // Several minors.
  ['1.11.6', '1.34.0', '1.13.9 1.34.0', 'T1.12.11 T1.13.9'],
  ['1.10.0', '1.33.0', '1.13.9 1.33.0', 'T1.10.9 T1.11.6 T1.12.11 T1.13.9'],
  ['1.10.9', '1.33.0', '1.14.0 1.33.0', 'T1.11.6 T1.12.11 T1.13.10 T1.14.0'],
  ['1.9.0', '1.32.0', '1.14.2 1.32.0', 'T1.9.6 T1.10.9 T1.11.6 T1.12.11 T1.13.10 T1.14.2'],
  // A minor that the factory lacks: skipped where Talos installs itself over the one before.
  ['1.11.6', '1.34.0', '1.13.9 1.34.0', 'T1.13.9', without('1.12')],
  ['1.10.9', '1.33.0', '1.12.11 1.33.0', 'T1.12.11', without('1.11')],
  ['1.12.11', '1.35.0', '1.14.2 1.35.0', 'T1.14.2', without('1.13')],
  ['1.9.6', '1.32.0', '1.11.6 1.32.0', 'T1.11.6', without('1.10')],
  ['1.9.6', '1.32.0', '1.13.9 1.32.0', 'T1.11.6 T1.13.9', without('1.10', '1.12')],
  // ... and refused where it does not.
  ['1.10.9', '1.33.0', '1.13.9 1.33.0', 'UPGRADE_SKIPS_MINORS 1.12', without('1.11', '1.12')],
  ['1.9.6', '1.32.0', '1.12.11 1.32.0', 'UPGRADE_SKIPS_MINORS 1.11', without('1.10', '1.11')],
  ['1.11.0', '1.34.0', '1.14.0 1.34.0', 'UPGRADE_SKIPS_MINORS 1.13', ['v1.14.0']],
  ['1.9.6', '1.32.0', '1.14.2 1.32.0', 'UPGRADE_SKIPS_MINORS 1.11', ['v1.9.6', 'v1.14.2']],
  // A run that ended early: machines of several versions.
  ['1.13.9 1.13.8 1.13.8', '1.36.3 1.36.3 1.36.3', '1.13.9 1.36.3', 'T1.13.9'],
  ['1.13.9 1.12.11', '1.35.0 1.35.0', '1.13.9 1.35.0', 'T1.13.9'],
  ['1.12.11 1.12.0', '1.35.0 1.35.0', '1.13.9 1.35.0', 'T1.12.11 T1.13.9'],
  ['1.13.10 1.12.3', '1.35.0 1.35.0', '1.13.9 1.35.0', 'T1.12.11 T1.13.9'],
  ['1.13.9 1.13.8', '1.36.3 1.36.3', '1.13.8 1.36.3', 'T1.13.8'],
  // Kubernetes alone.
  ['1.13.9', '1.35.0', '1.13.9 1.36.3', 'K1.36.3'],
  ['1.13.9', '1.36.0', '1.13.9 1.36.3', 'K1.36.3'],
  ['1.13.9', '1.36.3', '1.13.9 1.36.0', 'K1.36.0'],
  ['1.13.9', '1.34.2', '1.13.9 1.36.3', 'K1.35.4 K1.36.3'],
  ['1.13.9', '1.31.7', '1.13.9 1.36.3', 'K1.32.3 K1.33.0 K1.34.1 K1.35.4 K1.36.3'],
  ['1.13.9 1.13.9', '1.36.3 1.35.0', '1.13.9 1.36.3', 'K1.36.3'],
  ['1.13.9 1.13.9', '1.36.4 1.36.3', '1.13.9 1.36.3', 'K1.36.3'],
  ['1.13.9 1.13.9', '1.36.0 1.35.2', '1.13.9 1.36.0', 'K1.36.0'],
  ['1.13.9', '1.35.0', '1.13.9 1.36.3', 'K1.36.3', []],
  // Both: Talos first, as far as it runs the old Kubernetes.
  ['1.12.11', '1.35.0', '1.13.9 1.36.3', 'T1.13.9 K1.36.3'],
  ['1.13.10', '1.36.3', '1.14.2 1.37.0', 'T1.14.2 K1.37.0'],
  ['1.11.6', '1.34.0', '1.13.9 1.36.3', 'T1.12.11 T1.13.9 K1.35.4 K1.36.3'],
  // Kubernetes brought along where the next Talos would not run it.
  ['1.9.6', '1.27.4', '1.10.9 1.33.0', 'K1.28.0 T1.10.9 K1.29.0 K1.30.0 K1.31.0 K1.32.3 K1.33.0'],
  ['1.10.9', '1.28.0', '1.11.6 1.29.3', 'K1.29.3 T1.11.6'],
  ['1.12.11', '1.30.1', '1.13.9 1.31.0', 'K1.31.0 T1.13.9'],
  ['1.12.11', '1.30.1', '1.13.9 1.32.5', 'K1.31.0 T1.13.9 K1.32.5'],
  ['1.11.6', '1.29.0', '1.13.9 1.31.2', 'K1.30.0 T1.12.11 K1.31.2 T1.13.9'],
  ['1.13.10', '1.31.0', '1.14.0 1.32.0', 'K1.32.0 T1.14.0'],
  // Back over a minor.
  ['1.13.9', '1.36.3', '1.12.11 1.35.0', 'DOWNGRADE_REFUSED TALOS_VERSION=v1.13.9'],
  ['1.14.0', '1.36.3', '1.13.9 1.36.3', 'DOWNGRADE_REFUSED TALOS_VERSION=v1.14.0'],
  ['1.12.11 1.13.8', '1.35.0 1.35.0', '1.12.11 1.35.0', 'DOWNGRADE_REFUSED TALOS_VERSION=v1.13.8'],
  ['1.13.9', '1.36.3', '1.13.9 1.35.0', 'DOWNGRADE_REFUSED KUBERNETES_VERSION=v1.36.3'],
  ['1.13.9 1.13.9', '1.35.0 1.36.0', '1.13.9 1.35.0', 'DOWNGRADE_REFUSED =v1.36.0'],
  ['1.13.10', '1.36.3', '1.14.0 1.34.0', 'DOWNGRADE_REFUSED KUBERNETES_VERSION=v1.36.3'],
  // Pairs that Talos does not support.
  ['1.12.11', '1.35.0', '1.12.11 1.36.3', 'VERSIONS_DO_NOT_FIT KUBERNETES_VERSION=v1.35.4'],
  ['1.13.9', '1.36.3', '1.13.9 1.37.0', 'VERSIONS_DO_NOT_FIT KUBERNETES_VERSION=v1.36.3'],
  ['1.10.9', '1.28.0', '1.11.6 1.28.0', 'VERSIONS_DO_NOT_FIT KUBERNETES_VERSION=v1.34.1'],
  // Versions that the factory does not offer.
  ['1.13.8', '1.36.3', '1.13.11 1.36.3', 'TALOS_VERSION_NOT_OFFERED TALOS_VERSION=v1.13.10'],
  [
    '1.12.11',
    '1.35.0',
    '1.13.9 1.35.0',
    'TALOS_VERSION_NOT_OFFERED =v1.12.11',
    without('1.13', '1.14'),
  ],
  ['1.13.8', '1.36.3', '1.13.9 1.36.3', 'TALOS_VERSION_NOT_OFFERED curl', []],
  ['1.12.11', '1.35.0', '1.14.1 1.35.0', 'TALOS_VERSION_NOT_OFFERED TALOS_VERSION=v1.14.2'],
  // Versions before and after all that are known.
  ['1.8.4', '1.31.0', '1.9.6 1.31.0', 'UPGRADE_FROM_UNKNOWN newest 1.9 by hand'],
  ['1.7.0', '1.30.0', '1.13.9 1.36.3', 'UPGRADE_FROM_UNKNOWN by hand'],
  ['1.15.0', '1.37.0', '1.14.2 1.37.0', 'UPGRADE_FROM_UNKNOWN newer version of Talosmith'],
]

const list = (text: string): string[] => text.split(' ').map((version) => `v${version}`)

for (const [talos, kubernetes, desired, expected, offered] of rows)
  test(`Talos ${talos} with Kubernetes ${kubernetes}, desired ${desired}${offered === undefined ? '' : `, ${offered.length} offered`}: ${expected || 'nothing'}`, () => {
    const [desiredTalos = '', desiredKubernetes = ''] = list(desired)
    const kubernetesVersions = list(kubernetes)
    const running = list(talos).map((version, index) => ({
      name: `home-cp${index + 1}`,
      talos: version,
      kubernetes: kubernetesVersions[index] ?? '',
    }))
    const ask = () =>
      findPath({
        running,
        talos: desiredTalos,
        kubernetes: desiredKubernetes,
        offered: offered ?? everything,
        factory: 'https://factory.talos.dev',
      })
    const code = /^([A-Z_]{4,}) (.*)$/.exec(expected)
    if (code === null) {
      const steps = ask()
      assert.is(
        steps.map(({ kind, to }) => `${kind === 'talos' ? 'T' : 'K'}${to.slice(1)}`).join(' '),
        expected,
      )
      for (const kind of ['talos', 'kubernetes'] as const) {
        const own = steps.filter((step) => step.kind === kind)
        own.slice(1).forEach(({ from }, index) => assert.is(from, own[index]?.to))
      }
      return
    }
    try {
      ask()
      assert.unreachable('nothing was refused')
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      assert.is(error.code, code[1])
      assert.match(error.hint ?? '', code[2] ?? '')
      assert.is(error.now, 'nothing was changed')
    }
  })

test('a machine without others has no path of its own', () => {
  const question = { talos: 'v1.13.9', kubernetes: 'v1.36.3', offered: [], factory: 'https://x' }
  assert.equal(findPath({ running: [], ...question }), [])
})

test.run()
