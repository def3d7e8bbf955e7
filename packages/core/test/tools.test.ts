import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Problem } from '../src/problem.ts'
import { problemOf } from '../src/testing/failure.ts'
import { testCluster } from '../src/testing/test-cluster.ts'
import { findTool, toolFolder } from '../src/tools.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

/** Finding tools in a tool folder and on a PATH that the tests create. */
const tools = suite<{ root: string }>('the tools')
const cluster = testCluster({ TALOS_VERSION: 'v1.13.9', KUBERNETES_VERSION: 'v1.36.3' })
const { PATH, XDG_CACHE_HOME } = process.env
const shellPrograms = ['bash', 'sleep'].map((name) => {
  const path = execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' })
  return [name, path.trim()] as const
})

tools.before.each((context) => {
  context.root = temporaryFolder('tools')
  process.env['XDG_CACHE_HOME'] = join(context.root, 'cache')
  // Only what runs commands: a kubectl of this machine must not be found.
  process.env['PATH'] = join(context.root, 'bin')
  mkdirSync(join(context.root, 'bin'))
  for (const [name, path] of shellPrograms) symlinkSync(path, join(context.root, 'bin', name))
})
tools.after.each(() => {
  process.env['PATH'] = PATH
  if (XDG_CACHE_HOME === undefined) delete process.env['XDG_CACHE_HOME']
  else process.env['XDG_CACHE_HOME'] = XDG_CACHE_HOME
})

function put(path: string, text: string, mode = 0o755): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text, { mode })
  return path
}
const printing = (version: string): string => `#!/bin/sh\necho Talos ${version}\n`
const kept = (folder: string, text: string): string =>
  put(join(toolFolder('talosctl'), folder, 'talosctl'), text)
const onPath = (root: string, text: string, name = 'talosctl'): string =>
  put(join(root, 'bin', name), text)

tools('the preferred version is used before one on PATH', async ({ root }) => {
  onPath(root, printing('v1.13.2'))
  const path = kept('v1.13.9', printing('v1.13.9'))
  assert.equal(await findTool('talosctl', cluster), { path, version: 'v1.13.9' })
})

tools('one on PATH that fits is used before another version of the folder', async ({ root }) => {
  kept('v1.13.5', printing('v1.13.5'))
  const path = onPath(root, printing('v1.13.2'))
  assert.equal(await findTool('talosctl', cluster), { path, version: 'v1.13.2' })
})

tools('of several that fit the newest is used, v1.13.10 before v1.13.5', async () => {
  kept('v1.13.5', printing('v1.13.5'))
  const path = kept('v1.13.10', printing('v1.13.10'))
  kept('old', printing('v1.13.8'))
  assert.equal(await findTool('talosctl', cluster), { path, version: 'v1.13.10' })
})

tools('one whose version differs from its folder is skipped', async ({ root }) => {
  kept('v1.13.9', printing('v1.9.6'))
  const path = onPath(root, printing('v1.13.2'))
  assert.is((await findTool('talosctl', cluster)).path, path)
})

for (const [title, text] of [
  ['that fails', '#!/bin/sh\nexit 3\n'],
  ['for another architecture', '\x7fELF of another kind'],
  ['that is empty', ''],
] as const)
  tools(`one ${title} is skipped`, async ({ root }) => {
    kept('v1.13.9', text)
    const path = onPath(root, printing('v1.13.2'))
    assert.is((await findTool('talosctl', cluster)).path, path)
  })

tools(
  'the version of one in the tool folder is read once, and again when the file changes',
  async () => {
    const runs = join(toolFolder('talosctl'), 'runs')
    const counting = (version: string): string => `echo >> ${runs}\n`.concat(`echo ${version}\n`)
    const times = (): number => readFileSync(runs, 'utf8').length
    const path = kept('v1.13.9', `#!/bin/sh\n${counting('v1.13.9')}`)
    for (let run = 0; run < 3; run++)
      assert.is((await findTool('talosctl', cluster)).version, 'v1.13.9')
    assert.is(times(), 1)
    rmSync(path)
    kept('v1.13.9', `#!/bin/sh\n${counting('v1.13.8')}`)
    assert.is((await findTool('talosctl', cluster)).version, 'v1.13.8')
    assert.is(times(), 2)
  },
)

tools(
  'the version of one on PATH is read every time: it may be the shim of a version manager',
  async ({ root }) => {
    const chosen = put(join(root, 'chosen'), 'v1.13.2')
    onPath(root, `#!/bin/sh\nread version < ${chosen}; echo $version\n`)
    assert.is((await findTool('talosctl', cluster)).version, 'v1.13.2')
    put(chosen, 'v1.13.3')
    assert.is((await findTool('talosctl', cluster)).version, 'v1.13.3')
  },
)

tools(
  'when none fits, all are listed with their versions and where to get one',
  async ({ root }) => {
    const broken = kept('v1.13.9', '#!/bin/sh\nexit 3\n')
    const other = onPath(root, printing('v1.12.1'))
    const { code, because, hint } = await problemOf(findTool('talosctl', cluster))
    assert.is(code, 'TOOL_UNFIT')
    assert.is(because, `${broken} does not report its version; ${other} is v1.12.1`)
    assert.match(hint ?? '', 'get talosctl 1.13.x: https://factory.talos.dev/talosctl/v1.13.9/')
  },
)

for (const [version, fits] of [
  ['v3.12.3', false],
  ['v3.13.0', true],
  ['v3.18.4', true],
  ['v4.0.1', true],
] as const)
  tools(
    `helm ${version} ${fits ? 'fits' : 'lacks --labels and does not fit'}`,
    async ({ root }) => {
      onPath(root, printing(version), 'helm')
      const found = await findTool('helm', cluster).catch(
        (error: unknown) => (error as Problem).code,
      )
      assert.equal(found, fits ? { path: join(root, 'bin', 'helm'), version } : 'TOOL_UNFIT')
    },
  )

tools('when there is none, the searched places are listed', async ({ root }) => {
  put(join(root, 'bin', 'talosctl'), printing('v1.13.9'), 0o644)
  const { code, message } = await problemOf(findTool('talosctl', cluster))
  assert.is(code, 'TOOL_MISSING')
  assert.match(message, join(root, 'cache', 'talosmith', 'tools', 'talosctl'))
})

tools('kubectl may be one minor older or newer, not two', async ({ root }) => {
  const kubectl = (version: string): string =>
    put(join(root, 'bin', 'kubectl'), `#!/bin/sh\necho '{"gitVersion":"${version}"}'\n`)
  for (const version of ['v1.35.0', 'v1.37.1']) {
    kubectl(version)
    assert.is((await findTool('kubectl', cluster)).version, version)
  }
  kubectl('v1.34.9')
  assert.is((await problemOf(findTool('kubectl', cluster))).code, 'TOOL_UNFIT')
})

tools.run()
