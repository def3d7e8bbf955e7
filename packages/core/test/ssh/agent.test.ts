import { execFileSync, spawn } from 'node:child_process'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { existsSync } from 'node:fs'
import { appendFile, rename } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openHost } from '../../src/host/open.ts'
import { readStrings, sshString } from '../../src/ssh/agent.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { hasSshd, makeKey, startSshd, stopProcess, type Sshd } from '../../src/testing/sshd.ts'

const test = suite('an SSH agent')

if (hasSshd) {
  const sshd = await startSshd(['ed25519'], ['TrustedUserCAKeys /nonexistent'])
  const socket = sshd.path('agent')
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
  const add = (...args: string[]): void => {
    const env = { ...process.env, SSH_AUTH_SOCK: socket }
    execFileSync('ssh-add', ['-q', ...args], { env, stdio: 'ignore' })
  }
  const connects = async (server: Sshd, uri: string, agentSocket = socket): Promise<void> => {
    const host = await openHost(uri, '/', { ...server.user, agent: agentSocket })
    assert.is((await host.$`echo in`).stdout, 'in\n')
    await host.close()
  }
  const plain = ({ uri }: Sshd): string => {
    const changed = new URL(uri)
    changed.searchParams.delete('keyfile')
    return changed.href
  }
  const others = Array.from({ length: 9 }, (_, index) => sshd.path(`other${index}`))

  test.before(async () => {
    for (let looks = 0; !existsSync(socket); looks += 1) {
      assert.ok(looks < 500, 'ssh-agent did not start')
      await sleep(20)
    }
    for (const file of others) makeKey(file)
  })
  test.before.each(async () => {
    add('-D')
    await sshd.configure('')
  })
  test.after(async () => {
    await stopProcess(agent)
    await sshd.stop()
  })

  test('that is gone is no error while a key file is accepted', async () => {
    for (const dead of [sshd.path('nothing'), await deadSocket(sshd)])
      await connects(sshd, sshd.uri, dead)
    const problem = await problemOf(
      openHost(plain(sshd), '/', { ...sshd.user, agent: sshd.path('nothing') }),
    )
    assert.is(problem.code, 'SSH_AUTH_FAILED')
    assert.match(problem.because ?? '', /the agent at \S+ does not answer: .*ENOENT/)
  })

  test('has the private key of a public key file', async () => {
    add(...others, sshd.key)
    await rename(sshd.key, sshd.path('away'))
    try {
      const uri = new URL(sshd.uri)
      uri.searchParams.set('keyfile', `${sshd.key}.pub`)
      await connects(sshd, uri.href)
      await configure(sshd, `IdentityFile ${sshd.key}.pub\n  IdentitiesOnly yes\n`)
      await connects(sshd, 'qemu+ssh://kvm1/system')
      add('-d', `${sshd.key}.pub`)
      const problem = await problemOf(openHost(uri.href, '/', { ...sshd.user, agent: socket }))
      assert.is(problem.code, 'SSH_KEY_UNREADABLE')
      assert.match(problem.because ?? '', 'the agent does not have its private key')
    } finally {
      await rename(sshd.path('away'), sshd.key)
    }
  })

  test('with more keys than the host accepts on one connection offers all of them', async () => {
    add(...others, sshd.key)
    await connects(sshd, plain(sshd))
    add('-d', sshd.key)
    const user = { ...sshd.user, agent: socket }
    const problem = await problemOf(openHost(plain(sshd), '/', user))
    assert.is(problem.code, 'SSH_AUTH_FAILED')
    assert.is((problem.because?.match(/\(in the agent\)/g) ?? []).length, 9)
  })

  test('is found by a variable in IdentityAgent', async () => {
    add(sshd.key)
    const variable = (name: string): string | undefined =>
      ({ MY_AGENT: socket, FOLDER: sshd.path('') })[name]
    for (const value of ['$MY_AGENT', '${MY_AGENT}', '${FOLDER}/agent']) {
      await configure(sshd, `IdentityAgent ${value}\n  IdentityFile none\n`)
      process.env['MY_AGENT'] = socket
      process.env['FOLDER'] = sshd.path('')
      try {
        const user = { ...sshd.user, variable }
        await (await openHost('qemu+ssh://kvm1/system', '/', user)).close()
      } finally {
        delete process.env['MY_AGENT']
        delete process.env['FOLDER']
      }
    }
  })

  for (const type of ['ed25519', 'ecdsa', 'rsa'])
    test(`signs with a certificate of type ${type}`, async () => {
      const [ca, key] = [sshd.path(`ca-${type}`), sshd.path(`user-${type}`)]
      makeKey(ca)
      makeKey(key, type)
      execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'ann', '-n', 'root', `${key}.pub`])
      const server = await startSshd(['ed25519'], [`TrustedUserCAKeys ${ca}.pub`])
      add(key)
      await connects(server, plain(server))
      await configure(server, `IdentityFile ${key}\n  IdentitiesOnly yes\n`)
      await rename(key, `${key}-away`)
      await connects(server, 'qemu+ssh://kvm1/system')
      await server.stop()
    })

  test('signs with a security key', async () => {
    const key = securityKey()
    await appendFile(sshd.path('authorized_keys'), `${key.line}\n`)
    const server = key.serve(sshd.path('security'))
    await connects(sshd, plain(sshd), sshd.path('security'))
    server.close()
  })

  test('that refuses to sign is reported as a login that failed', async () => {
    const key = securityKey()
    await appendFile(sshd.path('authorized_keys'), `${key.line}\n`)
    const server = key.serve(sshd.path('refusing'), false)
    const user = { ...sshd.user, agent: sshd.path('refusing') }
    const problem = await problemOf(openHost(plain(sshd), '/', user))
    assert.is(problem.code, 'SSH_AUTH_FAILED')
    server.close()
  })
} else {
  test.skip('of hosts over SSH')
  console.log('SKIPPED: the tests of SSH agents need root and /usr/sbin/sshd (openssh-server)')
}

test.run()

/** A socket on which no process listens any more, as a forwarded agent leaves it. */
async function deadSocket(sshd: Sshd): Promise<string> {
  const path = sshd.path('dead')
  execFileSync('python3', [
    '-c',
    'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
    path,
  ])
  return path
}

function configure(sshd: Sshd, lines: string): Promise<void> {
  return sshd.configure(
    `Host kvm1\n  HostName 127.0.0.1\n  Port ${sshd.port}\n  User root\n  ${lines}`,
  )
}

/** A FIDO key made in software, and an agent that signs with it as PROTOCOL.u2f of OpenSSH describes. */
function securityKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const type = 'sk-ssh-ed25519@openssh.com'
  const strings = (...parts: (string | Buffer)[]): Buffer =>
    Buffer.concat(parts.map((part) => sshString(Buffer.from(part))))
  const blob = strings(type, raw, 'ssh:')
  const sha256 = (bytes: string | Buffer): Buffer => createHash('sha256').update(bytes).digest()
  const touched = Buffer.from([1, 0, 0, 0, 7])
  const signed = (data: Buffer): Buffer =>
    Buffer.concat([
      strings(type, sign(null, Buffer.concat([sha256('ssh:'), touched, sha256(data)]), privateKey)),
      touched,
    ])
  const serve = (path: string, willing = true): Server =>
    createServer((client) =>
      client.on('data', (chunk: Buffer) => {
        const [request = Buffer.alloc(0)] = readStrings(chunk, 1)
        const keys = Buffer.concat([Buffer.from([12, 0, 0, 0, 1]), strings(blob, 'token')])
        const [, data = Buffer.alloc(0)] = readStrings(request.subarray(1), 2)
        const signature = Buffer.concat([Buffer.from([14]), strings(signed(data))])
        const answer = willing ? signature : Buffer.from([5])
        client.write(sshString(request[0] === 11 ? keys : answer))
      }),
    ).listen(path)
  return { line: `${type} ${blob.toString('base64')} token`, serve }
}
