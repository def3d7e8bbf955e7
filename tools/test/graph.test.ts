import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { copyWorkspace } from '@talosmith/core/testing'

/** A copy that Nx really reads. */
const copy = copyWorkspace(['lab/tools'])
const env = { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' }
const graph = suite('the graph that Nx makes of the sources')

graph.after(() => rmSync(dirname(copy), { recursive: true }))

const checkLayers = (): { status: number | null; stderr: string } =>
  spawnSync(process.execPath, ['--import', 'tsx', 'tools/checks/check-layers.ts'], {
    cwd: copy,
    env,
    encoding: 'utf8',
  })

/** Projects whose check runs after one file has changed. */
const affectedBy = (file: string): string[] =>
  execFileSync('npx', ['nx', 'show', 'projects', '--affected', '-t', 'check', `--files=${file}`], {
    cwd: copy,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .split('\n')
    .filter(Boolean)
    .sort()

graph('is free of forbidden imports', () => {
  const { status, stderr } = checkLayers()
  assert.is(status, 0, stderr)
})

graph('shows an import of vm in image, and the layer check fails on it', () => {
  appendFileSync(
    join(copy, 'packages/image/src/plan.ts'),
    "import { renderDomain } from '@talosmith/vm'\n",
  )
  const { status, stderr } = checkLayers()
  assert.is(status, 1)
  assert.match(stderr, 'image (layer:part) imports vm (layer:part)')
  cpSync(join(projectRoot, 'packages/image/src/plan.ts'), join(copy, 'packages/image/src/plan.ts'))
})

graph('fails the layer check on a path into any other project', () => {
  const file = 'scripts/status/report.ts'
  appendFileSync(join(copy, file), "import '../../packages/core/src/wait.ts'\n")
  const { status, stderr } = checkLayers()
  assert.is(status, 1)
  assert.match(
    stderr,
    `${file} imports ../../packages/core/src/wait.ts: a path into another project`,
  )
  cpSync(join(projectRoot, file), join(copy, file))
})

graph('fails the check of imports on an undeclared package', () => {
  const check = (): ReturnType<typeof checkLayers> =>
    spawnSync(process.execPath, ['--import', 'tsx', 'tools/checks/check-imports.ts'], {
      cwd: copy,
      env,
      encoding: 'utf8',
    })
  assert.is(check().status, 0)
  const file = 'packages/vm/src/apply.ts'
  appendFileSync(join(copy, file), "import 'zod'\n")
  const { status, stderr } = check()
  assert.is(status, 1)
  assert.match(stderr, `${file} imports zod, which packages/vm/package.json does not declare`)
  cpSync(join(projectRoot, file), join(copy, file))
})

graph('runs the checks of image and of what depends on it, when image has changed', () => {
  assert.equal(affectedBy('packages/image/src/plan.ts'), ['bench', 'cluster', 'image', 'tools'])
})

graph('runs the checks of all projects, when core has changed', () => {
  assert.equal(affectedBy('packages/core/src/cluster.ts'), [
    'bench',
    'bootstrap',
    'clients',
    'cluster',
    'core',
    'image',
    'lab',
    'storage',
    'tools',
    'vm',
  ])
})

const rendered = join(copy, 'dist', 'render', 'home')
/** Nx' output of vm:render for a cluster whose env file also has these lines. */
function render(...lines: readonly string[]): string {
  const text = ['CLUSTER_NAME=home', 'NETWORK_BRIDGE=br0', ...lines, ''].join('\n')
  writeFileSync(join(copy, 'env', 'home.env'), text)
  // Without the variables of the Nx that runs this test, and of its cluster.
  const { HOME = '', PATH = '' } = process.env
  const { stdout, stderr, status } = spawnSync('npx', ['nx', 'run', 'vm:render'], {
    cwd: copy,
    env: { HOME, PATH, CLUSTER: 'home', NX_DAEMON: 'false', NX_TUI: 'false' },
    encoding: 'utf8',
  })
  assert.is(status, 0, stdout + stderr)
  return stdout
}
const fromCache = /\[(?:local cache|existing outputs match the cache[^\]]*)\]/

graph('lets vm:render write its files, and restore them from the cache', () => {
  assert.not.match(render(), fromCache)
  assert.equal(readdirSync(rendered), ['home-cp1', 'home-w1', 'home-w2'])
  assert.ok(existsSync(join(rendered, 'home-w1', 'domain.xml')))
  rmSync(join(copy, 'dist'), { recursive: true })
  assert.match(render(), fromCache)
  assert.ok(existsSync(join(rendered, 'home-w1', 'domain.xml')))
})

graph('runs vm:render again when a setting has changed', () => {
  assert.not.match(render('WORKER_COUNT=1'), fromCache)
  assert.equal(readdirSync(rendered), ['home-cp1', 'home-w1'])
})

graph.run()
