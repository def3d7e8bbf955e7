import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, chmod, copyFile, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host } from '../../src/host/host.ts'
import * as open from '../../src/host/open.ts'
import { Problem } from '../../src/problem.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'
import { within } from '../../src/testing/within.ts'
import { ended, hostSuite } from '../host/host-behaviour.ts'
import {
  freePort,
  hasSshd,
  makeKey,
  startSshd,
  stopProcess,
  type Sshd,
} from '../../src/testing/sshd.ts'

/** Connections that a failed test has left open would keep this process alive for ever. */
const opened = new Set<Host>()
async function openHost(...args: Parameters<typeof open.openHost>): Promise<Host> {
  const host = await open.openHost(...args)
  opened.add(host)
  return host
}
async function closeHosts(): Promise<void> {
  for (const host of opened) await host.close()
  opened.clear()
}

if (hasSshd) {
  const sshd = await startSshd(['ed25519', 'ecdsa', 'rsa'])

  hostSuite('a remote machine', () => openHost(sshd.uri, '/', sshd.user)).run()

  const test = suite('ssh')
  test.after.each(closeHosts)

  test('all commands of a run share one connection', async () => {
    const before = logins(await sshd.log())
    const host = await openHost(sshd.uri, '/', sshd.user)
    assert.is(host.name, `root@127.0.0.1:${sshd.port}`)
    assert.not.ok(host.isLocal)
    await Promise.all(Array.from({ length: 50 }, () => host.$`true`))
    await host.close()
    assert.is(logins(await sshd.log()) - before, 1)
  })

  test('a host that allows two sessions at a time is used two at a time', async () => {
    const narrow = await startSshd(['ed25519'], ['MaxSessions 2'])
    const host = await openHost(narrow.uri, '/', narrow.user)
    const outputs = await Promise.all(
      Array.from({ length: 20 }, (_, index) => host.$`echo ${index}`),
    )
    assert.equal(
      outputs.map(({ stdout }) => Number(stdout)),
      [...outputs.keys()],
    )
    await host.close()
    await narrow.stop()
  })

  test('a command ends when the connection is lost', async () => {
    const folder = temporaryFolder('ssh')
    const host = await openHost(sshd.uri, '/', sshd.user)
    let begun: () => void = () => undefined
    const beginning = new Promise<void>((resolve) => (begun = resolve))
    const pid = join(folder, 'pid')
    const end = problemOf(host.$({ onLine: begun })`echo $$ >${pid}; echo begun; sleep 60 | cat`)
    await within(10_000, 'the command to begin', beginning)
    await host.close()
    const { code } = await within(10_000, 'the command to end', end)
    assert.is(code, 'SSH_CONNECTION_LOST')
    await ended(pid, 1)
    assert.is((await problemOf(host.$`true`)).code, 'SSH_CONNECTION_LOST')
  })

  test('the output of a login shell is not part of the output of a command', async () => {
    const noise = `ForceCommand echo Welcome; echo noise >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"`
    const chatty = await startSshd(['ed25519'], [noise])
    const host = await openHost(chatty.uri, '/', chatty.user)
    const output = await host.$`echo ${'only this'}; echo and this >&2`
    assert.equal(output, { stdout: 'only this\n', stderr: 'and this\n', exitCode: 0 })
    await host.close()
    await chatty.stop()
  })

  test('a login that runs no commands is reported with its output', async () => {
    const closed = await startSshd(['ed25519'], ['ForceCommand echo go away >&2; exit 1'])
    const problem = await problemOf(openHost(closed.uri, '/', closed.user))
    assert.is(problem.code, 'HOST_SHELL')
    assert.match(problem.because ?? '', 'exit code 1: go away')
    await closed.stop()
  })

  for (const type of ['ed25519', 'ecdsa', 'rsa'])
    test(`a host with several keys is accepted with only its ${type} key known`, async () => {
      const known = await knownHosts(sshd, `${name(sshd)} ${await sshd.hostKey(type)}\n`)
      await connects(sshd, known)
    })

  test('a hashed known_hosts entry is found', async () => {
    const known = await knownHosts(sshd, `${name(sshd)} ${await sshd.hostKey('ed25519')}\n`)
    execFileSync('ssh-keygen', ['-q', '-H', '-f', known], { stdio: 'ignore' })
    assert.match(await readFile(known, 'utf8'), /^\|1\|/)
    await connects(sshd, known)
  })

  test('an unknown host key stops the run with the line to add, which then works', async () => {
    const known = await knownHosts(sshd, '')
    const problem = await problemOf(openHost(uriWith(sshd, { known_hosts: known }), '/', sshd.user))
    assert.is(problem.code, 'SSH_HOST_KEY_UNKNOWN')
    const command = /echo .* >> \S+/.exec(problem.hint ?? '')?.[0]
    execFileSync('bash', ['-c', command ?? 'false'])
    await connects(sshd, known)
  })

  test('a changed host key stops the run; the hint fixes it', async () => {
    const other = sshd.path('other_host_key')
    makeKey(other)
    const [type, key] = (await readFile(`${other}.pub`, 'utf8')).split(' ')
    const known = await knownHosts(sshd, `${name(sshd)} ${type} ${key}\n`)
    const problem = await problemOf(openHost(uriWith(sshd, { known_hosts: known }), '/', sshd.user))
    assert.is(problem.code, 'SSH_HOST_KEY_CHANGED')
    assert.match(problem.because ?? '', /SHA256:/)
    const command = /ssh-keygen -f .*/.exec(problem.hint ?? '')?.[0]
    execFileSync('bash', ['-c', command ?? 'false'], { stdio: 'ignore' })
    await connects(sshd, known)
  })

  test('a host that has none of the known key types is unknown, not a failed handshake', async () => {
    const other = sshd.path('other_p384')
    execFileSync('ssh-keygen', ['-q', '-t', 'ecdsa', '-b', '384', '-N', '', '-f', other])
    const [type, key] = (await readFile(`${other}.pub`, 'utf8')).split(' ')
    const known = await knownHosts(sshd, `${name(sshd)} ${type} ${key}\n`)
    const problem = await problemOf(openHost(uriWith(sshd, { known_hosts: known }), '/', sshd.user))
    assert.is(problem.code, 'SSH_HOST_KEY_UNKNOWN')
  })

  test('a revoked host key stops the run', async () => {
    const key = await sshd.hostKey('ed25519')
    const known = await knownHosts(sshd, `${name(sshd)} ${key}\n@revoked * ${key}\n`)
    const problem = await problemOf(openHost(uriWith(sshd, { known_hosts: known }), '/', sshd.user))
    assert.is(problem.code, 'SSH_HOST_KEY_REVOKED')
  })

  test('a key that the host does not accept: the Problem lists what was offered', async () => {
    makeKey(sshd.path('stranger'))
    const uri = uriWith(sshd, { keyfile: sshd.path('stranger') })
    const problem = await problemOf(openHost(uri, '/', sshd.user))
    assert.is(problem.code, 'SSH_AUTH_FAILED')
    assert.match(problem.because ?? '', sshd.path('stranger'))
    assert.match(problem.because ?? '', 'there is no agent')
  })

  test('no key at all is reported', async () => {
    const uri = uriWith(sshd, { keyfile: undefined })
    const problem = await problemOf(openHost(uri, '/', sshd.user))
    assert.is(problem.code, 'SSH_AUTH_FAILED')
    assert.match(problem.because ?? '', 'there is no key to offer')
  })

  test('a key with a passphrase needs an agent, and works with one', async () => {
    const locked = sshd.path('locked')
    makeKey(locked, 'ed25519', 'secret')
    await appendFile(sshd.path('authorized_keys'), await readFile(`${locked}.pub`))
    const uri = uriWith(sshd, { keyfile: locked })
    const problem = await problemOf(openHost(uri, '/', sshd.user))
    assert.is(problem.code, 'SSH_KEY_ENCRYPTED')
    assert.match(problem.hint ?? '', `ssh-add ${locked}`)

    const socket = sshd.path('agent')
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
    try {
      for (let looks = 0; !existsSync(socket); looks += 1) {
        assert.ok(looks < 500, 'ssh-agent did not start')
        await sleep(20)
      }
      const askpass = sshd.path('askpass')
      await writeFile(askpass, '#!/bin/sh\necho secret\n')
      await chmod(askpass, 0o700)
      const env = { SSH_AUTH_SOCK: socket, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' }
      execFileSync('ssh-add', [locked], { env: { ...process.env, ...env }, stdio: 'ignore' })
      const host = await openHost(uri, '/', { ...sshd.user, agent: socket })
      await host.close()

      // Nine other keys first: a server disconnects after six, unless only the configured one is offered.
      const crowd = Array.from({ length: 9 }, (_, index) => sshd.path(`crowd${index}`))
      execFileSync('ssh-add', ['-q', '-D'], { env: { ...process.env, ...env }, stdio: 'ignore' })
      for (const file of crowd) makeKey(file)
      for (const file of [...crowd, locked])
        execFileSync('ssh-add', [file], { env: { ...process.env, ...env }, stdio: 'ignore' })
      await sshd.configure(
        `Host crowded\n${address(sshd)}  IdentityFile ${locked}\n  IdentitiesOnly yes\n`,
      )
      const crowded = await openHost('qemu+ssh://crowded/system', '/', {
        ...sshd.user,
        agent: socket,
      })
      await crowded.close()
    } finally {
      await stopProcess(agent)
    }
  })

  test('a keyfile that is missing or not a private key is reported', async () => {
    for (const file of [sshd.path('nothing'), `${sshd.key}.pub`]) {
      const problem = await problemOf(openHost(uriWith(sshd, { keyfile: file }), '/', sshd.user))
      assert.is(problem.code, 'SSH_KEY_UNREADABLE')
      assert.match(problem.message, file)
    }
  })

  test('~/.ssh/config gives an alias its host, port, user, key and known_hosts', async () => {
    await sshd.configure(`Host k*\n${address(sshd)}  IdentityFile ~/.ssh/accepted\n`)
    const host = await openHost('qemu+ssh://kvm1/system', '/', sshd.user)
    assert.is(host.name, 'root@kvm1')
    assert.is((await host.$`whoami`).stdout, 'root\n')
    await host.close()
  })

  test('paths in the URI are resolved against the project', async () => {
    await copyFile(sshd.key, sshd.path('relative'))
    const uri = uriWith(sshd, { keyfile: 'relative', known_hosts: '.ssh/known_hosts' })
    await (await openHost(uri, sshd.path(''), sshd.user)).close()
  })

  test('connects through the hosts of ProxyJump, each with its own key check', async () => {
    // OpenSSH sees a loop in a last jump to the address of the host itself.
    const key = await sshd.hostKey('ed25519')
    await appendFile(sshd.path('.ssh/known_hosts'), `[localhost]:${sshd.port} ${key}\n`)
    await sshd.configure(
      `Host *\n  IdentityFile ~/.ssh/accepted\nHost far\n${address(sshd)}  ProxyJump near,root@localhost:${sshd.port}\nHost near\n${address(sshd)}`,
    )
    const before = logins(await sshd.log())
    const host = await openHost('qemu+ssh://far/system', '/', sshd.user)
    assert.is((await host.$`echo through`).stdout, 'through\n')
    await host.close()
    assert.is(logins(await sshd.log()) - before, 3)
  })

  test('a ProxyJump loop and a ProxyCommand are refused', async () => {
    await sshd.configure(
      `Host *\n  IdentityFile ~/.ssh/accepted\nHost far\n${address(sshd)}  ProxyJump far\n`,
    )
    assert.is(
      (await problemOf(openHost('qemu+ssh://far/system', '/', sshd.user))).code,
      'SSH_PROXY_UNSUPPORTED',
    )
    await sshd.configure(`Host far\n  ProxyCommand nc %h %p\n`)
    assert.is(
      (await problemOf(openHost('qemu+ssh://far/system', '/', sshd.user))).code,
      'SSH_PROXY_UNSUPPORTED',
    )
  })

  test('a port on which nothing listens, also behind a ProxyJump', async () => {
    const port = await freePort()
    const uri = `qemu+ssh://root@127.0.0.1:${port}/system`
    assert.is((await problemOf(openHost(uri, '/', sshd.user))).code, 'SSH_CONNECTION_REFUSED')
    await sshd.configure(
      `Host near\n${address(sshd)}  IdentityFile ~/.ssh/accepted\nHost far\n  HostName 127.0.0.1\n  Port ${port}\n  ProxyJump near\n`,
    )
    assert.is(
      (await problemOf(openHost('qemu+ssh://far/system', '/', sshd.user))).code,
      'SSH_CONNECTION_REFUSED',
    )
  })

  test('a name without an address', async () => {
    const problem = await problemOf(openHost('qemu+ssh://kvm.invalid/system', '/', sshd.user))
    assert.is(problem.code, 'SSH_NAME_UNKNOWN')
  })

  test('a server that is not SSH', async () => {
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const problem = await problemOf(
      openHost(`qemu+ssh://root@127.0.0.1:${port}/system`, '/', sshd.user),
    )
    server.close()
    assert.is(problem.code, 'SSH_HANDSHAKE_FAILED')
  })

  test.after(() => sshd.stop())
  test.run()
} else {
  const test = suite('ssh')
  test.skip('hosts over SSH')
  test.run()
  console.log('SKIPPED: the tests of hosts over SSH need root and /usr/sbin/sshd (openssh-server)')
}

function name({ port }: Sshd): string {
  return `[127.0.0.1]:${port}`
}

function address({ port }: Sshd): string {
  return `  HostName 127.0.0.1\n  Port ${port}\n  User root\n`
}

async function knownHosts(sshd: Sshd, text: string): Promise<string> {
  const file = sshd.path('known_hosts_of_test')
  await writeFile(file, text)
  return file
}

function uriWith(sshd: Sshd, parameters: Record<string, string | undefined>): string {
  const uri = new URL(sshd.uri)
  for (const [key, value] of Object.entries(parameters))
    if (value === undefined) uri.searchParams.delete(key)
    else uri.searchParams.set(key, value)
  return uri.href
}

async function connects(sshd: Sshd, known: string): Promise<void> {
  const host = await openHost(uriWith(sshd, { known_hosts: known }), '/', sshd.user)
  assert.is((await host.$`echo in`).stdout, 'in\n')
  await host.close()
}

function logins(log: string): number {
  return log.match(/Accepted publickey/g)?.length ?? 0
}

async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  const error = await promise.then(
    () => new Error('expected a Problem, but nothing failed'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof Problem) return error
  throw error
}
