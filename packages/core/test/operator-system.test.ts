import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isRunning } from '../src/liveness.ts'
import { goPlatform, isMac, resolveCommand, routeCommand } from '../src/operator-system.ts'
import { temporaryFolder } from '../src/testing/temporary-folder.ts'

const core = (path: string): string => fileURLToPath(new URL(`../src/${path}`, import.meta.url))

test('Linux: getent, ip and builds for it', () => {
  assert.not(isMac())
  assert.is(resolveCommand('kvm1'), 'getent hosts kvm1')
  assert.is(routeCommand('kvm1'), 'ip route get kvm1')
  assert.is(goPlatform().os, 'linux')
})

/** Runs `code` in a program that node:os tells it runs on macOS, with an ARM processor. */
function onMac(code: string): string {
  const pretend = `import os from 'node:os'; import { syncBuiltinESMExports } from 'node:module'
os.platform = () => 'darwin'; os.arch = () => 'arm64'; syncBuiltinESMExports()
`
  const args = ['--import', 'tsx', '--input-type=module', '-e', pretend + code]
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  return stdout
}

test('macOS: commands in hints are those that it has, and tools are built for it', () => {
  const printed = onMac(`
const { resolveCommand, routeCommand } = await import(${JSON.stringify(core('operator-system.ts'))})
const { findTool } = await import(${JSON.stringify(core('tools.ts'))})
const { testCluster } = await import(${JSON.stringify(core('testing/test-cluster.ts'))})
process.env.PATH = '/nonexistent'; process.env.XDG_CACHE_HOME = '/nonexistent'
console.log(resolveCommand('kvm1')); console.log(routeCommand('kvm1'))
for (const name of ['talosctl', 'kubectl']) await findTool(name, testCluster()).catch((e) => console.log(e.hint))
`)
  assert.match(printed, /^dscacheutil -q host -a name kvm1\nroute -n get kvm1\n/)
  assert.match(printed, /talosctl\/v[\d.]+\/talosctl-darwin-arm64 as /)
  assert.match(printed, /dl\.k8s\.io\/release\/v[\d.]+\/bin\/darwin\/arm64\/kubectl as /)
})

test('macOS is no KVM host: the default LIBVIRT_URI is refused before any command', () => {
  const printed = onMac(`
const { openHost } = await import(${JSON.stringify(core('host/open.ts'))})
await openHost('qemu:///system', '/').catch((e) => console.log(e.code, e.hint))
`)
  assert.match(printed, /^HOST_NOT_LINUX set LIBVIRT_URI=qemu\+ssh:/)
})

const bare =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs none /proc']).status === 0
if (!bare) console.log('SKIPPED: commands on a machine without /proc need root and unshare')
else
  test('without /proc, a command ends when the program that started it is killed', async () => {
    const folder = temporaryFolder('no-proc')
    const file = join(folder, 'pid')
    const code = `import { local } from ${JSON.stringify(core('host/local.ts'))}
await local.$\`echo $$ >\${${JSON.stringify(file)}}; sleep 60 | cat\``
    const command = ['--import', 'tsx', '--input-type=module', '-e', code]
    const mounted = 'mount -t tmpfs none /proc; exec "$@"'
    const args = ['-m', 'sh', '-c', mounted, 'sh', process.execPath, ...command]
    const program = spawn('unshare', args, { stdio: 'inherit' })
    const exited = once(program, 'exit')
    while (!(existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'))) {
      assert.is(program.exitCode, null)
      await sleep(20)
    }
    program.kill('SIGKILL')
    await exited
    const pid = Number(readFileSync(file, 'utf8'))
    for (let attempt = 0; attempt < 200 && isRunning(pid); attempt += 1) await sleep(50)
    assert.not(isRunning(pid))
    rmSync(folder, { recursive: true })
  })

test.run()
