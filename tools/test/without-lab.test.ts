/** The product does not refer to the lab, and works without the folder lab/. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { targetsOf, tasksFor } from './support/nx-graph.ts'
import { copyWorkspace } from '@talosmith/core/testing'

const copy = copyWorkspace(['lab/tools'])
rmSync(join(copy, 'lab'), { recursive: true })
const without = suite('a workspace without lab/')
without.after(() => rmSync(dirname(copy), { recursive: true }))

without('no file of packages/ and scripts/ refers to the lab', () => {
  const files = execFileSync(
    'git',
    ['ls-files', '-z', '-co', '--exclude-standard', 'packages', 'scripts'],
    {
      cwd: projectRoot,
      encoding: 'utf8',
    },
  )
    .split('\0')
    .filter((file) => file !== '' && !file.endsWith('.md') && existsSync(join(projectRoot, file)))
  assert.ok(files.length > 200)
  const naming = files.flatMap((file) =>
    readFileSync(join(projectRoot, file), 'utf8')
      .split('\n')
      .filter((line) => /\blab\b/i.test(line.replaceAll(/home lab/gi, '')))
      .map((line) => `${file}: ${line.trim()}`),
  )
  assert.equal(naming, [])
})

without('has every target of the product, each as it is with lab/', () => {
  const all = [...targetsOf(projectRoot)].filter(([task]) => !task.startsWith('lab:'))
  assert.equal(Object.fromEntries(targetsOf(copy)), Object.fromEntries(all))
})

without('creates a cluster with the same stages', () => {
  assert.equal(tasksFor(copy, 'cluster:up'), [
    'bootstrap:configure',
    'bootstrap:health',
    'bootstrap:start',
    'cluster:preflight',
    'cluster:up',
    'image:build',
    'image:download',
    'storage:install',
    'vm:create',
  ])
})

// A host where no service listens: plan and doctor fail there.
const settings = [
  'CLUSTER_NAME=home',
  'LIBVIRT_URI=qemu+ssh://root@127.0.0.1:9/system',
  'NETWORK_BRIDGE=br0',
]
writeFileSync(join(copy, 'env', 'home.env'), [...settings, ''].join('\n'))

/** Runs a command in the copy, as a user with a cluster of their own would. */
function run(command: string, ...args: readonly string[]): { code: number | null; output: string } {
  const { HOME = '', PATH = '' } = process.env
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: copy,
    env: {
      HOME,
      PATH,
      NX_DAEMON: 'false',
      NX_TUI: 'false',
      TALOS_FACTORY_URL: 'http://127.0.0.1:9',
    },
    encoding: 'utf8',
  })
  return { code: status, output: stdout + stderr }
}

without('plans the cluster of the user', () => {
  const { code, output } = run('npx', 'nx', 'run', 'cluster:plan')
  assert.is(code, 1)
  assert.match(output, 'SSH_CONNECTION_REFUSED')
  assert.match(output, 'vm:')
  assert.not.match(output, /^\s+at /m)
})

without('has a doctor', () => {
  const { code, output } = run('npx', 'nx', 'run', 'cluster:doctor')
  assert.is(code, 1)
  assert.match(output, 'SSH_CONNECTION_REFUSED')
  assert.match(output, 'this machine')
  assert.not.match(output, /^\s+at /m)
})

without('runs unit tests', () => {
  const folder = 'packages/core/test/settings'
  const { code, output } = run('node', '--import', 'tsx', 'tools/checks/run-tests.ts', folder)
  assert.is(code, 0, output)
  assert.match(output, /^tests: \d+ passed, 0 failed/m)
})

without.run()
