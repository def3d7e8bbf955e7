import { existsSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { completeTarget, parseJump } from '../../src/ssh/config.ts'
import { Problem } from '../../src/problem.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { temporaryFolder } from '../../src/testing/temporary-folder.ts'

const test = suite('ssh config')
const { homedir: home, username: name } = userInfo()
const user = { home, name, agent: '/run/agent' }
const folder = temporaryFolder('config')

const write = (file: string, text: string): string => {
  writeFileSync(join(folder, file), text)
  return join(folder, file)
}
const complete = (config: string, target = {}): ReturnType<typeof completeTarget> =>
  completeTarget(
    { host: 'kvm1', ...target },
    { ...user, configFile: write('config', config) },
    '/project',
  )

test('without a config the defaults of OpenSSH apply', async () => {
  const { defaultIdentityFiles, ...found } = await complete('')
  assert.equal(found, {
    alias: 'kvm1',
    host: 'kvm1',
    port: 22,
    user: name,
    hostKeyAlias: undefined,
    keyfile: undefined,
    identityFiles: [],
    identitiesOnly: false,
    agent: '/run/agent',
    knownHostsFiles: [
      `${home}/.ssh/known_hosts`,
      `${home}/.ssh/known_hosts2`,
      '/etc/ssh/ssh_known_hosts',
      '/etc/ssh/ssh_known_hosts2',
    ],
    jumps: [],
    certificateFiles: [],
  })
  for (const type of ['ed25519', 'ecdsa', 'rsa'])
    assert.ok(defaultIdentityFiles.includes(`${home}/.ssh/id_${type}`), type)
})

test('an alias gets its host name, port, user, keys, known_hosts and jumps', async () => {
  const found = await complete(`
IdentityFile ~/.ssh/everywhere
Host kvm*
  HostName %h.lan
  Port 2222
  User root
  IdentityFile "~/.ssh/with space"
  IdentityFile /keys/%r@%h
  CertificateFile /keys/%h-cert.pub
  IdentitiesOnly yes
  HostKeyAlias the-kvm
  UserKnownHostsFile ~/kh "%d/k h2"
  GlobalKnownHostsFile /kh3
  ProxyJump ann@jump:2200,other
Host *
  User nobody
  Port 1
`)
  assert.is(found.host, 'kvm1.lan')
  assert.is(found.port, 2222)
  assert.is(found.user, 'root')
  assert.equal(found.identityFiles, [
    `${home}/.ssh/everywhere`,
    `${home}/.ssh/with space`,
    '/keys/root@kvm1.lan',
  ])
  assert.equal(found.certificateFiles, ['/keys/kvm1.lan-cert.pub'])
  assert.equal(found.defaultIdentityFiles, [])
  assert.ok(found.identitiesOnly)
  assert.is(found.hostKeyAlias, 'the-kvm')
  assert.equal(found.knownHostsFiles, [`${home}/kh`, `${home}/k h2`, '/kh3'])
  assert.equal(found.jumps, ['ann@jump:2200', 'other'])
})

test('the URI overrides the config', async () => {
  const config = 'Host kvm1\n  User bob\n  Port 1\n  UserKnownHostsFile /x\n'
  const uri = { user: 'root', port: 2222, keyfile: 'keys/a', knownHosts: '~/k' }
  const found = await complete(config, uri)
  assert.is(found.user, 'root')
  assert.is(found.port, 2222)
  assert.is(found.keyfile, '/project/keys/a')
  assert.equal(found.knownHostsFiles, [`${home}/k`])
})

test('keywords may be written in any case, and with =', async () => {
  const found = await complete('host=kvm1\n  hostname=10.0.0.5\n  PORT 2222\n')
  assert.is(found.host, '10.0.0.5')
  assert.is(found.port, 2222)
})

test('a negated pattern leaves a host out', async () => {
  assert.is((await complete('Host * !kvm1\n  Port 1\n')).port, 22)
})

test('Match sees the user of the URI', async () => {
  const config = 'Match user root host kvm1\n  Port 2222\n'
  assert.is((await complete(config, { user: 'root' })).port, 2222)
  assert.is((await complete(config, { user: 'ann' })).port, 22)
})

test('Match exec works as for ssh', async () => {
  assert.is((await complete('Match exec "test %n = kvm1"\n  Port 2222\n')).port, 2222)
  assert.is((await complete('Match exec false\n  Port 2222\n')).port, 22)
})

test('a canonical name is looked up, and matched again', async () => {
  const config =
    'CanonicalizeHostname yes\nCanonicalDomains localdomain invalid\nMatch canonical host kvm1\n  Port 2222\n'
  const found = await complete(config)
  assert.is(found.host, 'kvm1')
  assert.is(found.port, 2222)
})

test('IdentityAgent names another agent, or none', async () => {
  assert.is((await complete('IdentityAgent ~/agent.sock\n')).agent, `${home}/agent.sock`)
  assert.is((await complete('IdentityAgent SSH_AUTH_SOCK\n')).agent, '/run/agent')
  assert.is((await complete('IdentityAgent none\n')).agent, undefined)
})

test('IdentityFile none means no key file at all', async () => {
  const { identityFiles, defaultIdentityFiles } = await complete('IdentityFile none\n')
  assert.equal([...identityFiles, ...defaultIdentityFiles], [])
})

test('a default key file in the config counts as configured', async () => {
  const found = await complete('IdentityFile ~/.ssh/id_ed25519\n')
  assert.equal(found.identityFiles, [`${home}/.ssh/id_ed25519`])
  assert.equal(found.defaultIdentityFiles, [])
})

test('UserKnownHostsFile none leaves the global files', async () => {
  assert.equal(
    (await complete('UserKnownHostsFile none\nGlobalKnownHostsFile /kh\n')).knownHostsFiles,
    ['/kh'],
  )
})

test('ProxyJump none and ProxyCommand none mean a direct connection', async () => {
  assert.equal((await complete('ProxyJump none\nProxyCommand none\n')).jumps, [])
})

test('a ProxyCommand is refused by name', async () => {
  const problem = await problemOf(complete('ProxyCommand ssh -W %h:%p jump\n'))
  assert.is(problem.code, 'SSH_PROXY_UNSUPPORTED')
})

test('a mistake in the config is reported with the error of ssh', async () => {
  for (const [config, words] of [
    ['Host "kvm1\n', 'line 1: invalid quotes'],
    ['\nHots kvm1\n', 'line 2: Bad configuration option: hots'],
    ['Host kvm1\n  Port many\n', "line 2: Bad port 'many'"],
  ] as const) {
    const problem = await problemOf(complete(config))
    assert.is(problem.code, 'SSH_CONFIG_INVALID')
    assert.match(problem.because ?? '', words)
    assert.match(problem.hint ?? '', 'ssh -G kvm1')
  }
})

test('a host, user or file name is never an option or a command', async () => {
  const file = join(folder, 'never')
  for (const host of [`-oProxyCommand=touch ${file}`, `$(touch ${file})`, `kvm1;touch ${file}`])
    assert.is((await problemOf(complete('', { host }))).code, 'SSH_CONFIG_INVALID')
  await complete('', { user: `-F${file}` }).catch(() => undefined)
  assert.not.ok(existsSync(file))
})

test('a machine without an OpenSSH client gets a hint what to install', async () => {
  const { PATH } = process.env
  process.env['PATH'] = '/nowhere'
  try {
    const problem = await problemOf(complete(''))
    assert.is(problem.code, 'SSH_CLIENT_MISSING')
    assert.match(problem.hint ?? '', 'openssh-client')
  } finally {
    process.env['PATH'] = PATH
  }
})

test('jump hosts are parsed in the syntax of OpenSSH', () => {
  assert.equal(parseJump('jump'), { host: 'jump' })
  assert.equal(parseJump('ann@jump:2200'), { host: 'jump', port: 2200, user: 'ann' })
  assert.equal(parseJump('ssh://ann@[fd00::1]:2200'), { host: 'fd00::1', port: 2200, user: 'ann' })
  assert.equal(parseJump('ssh://a%20b@jump/'), { host: 'jump', user: 'a b' })
  assert.equal(parseJump('root@[10.0.0.5]:22'), { host: '10.0.0.5', port: 22, user: 'root' })
  assert.equal(parseJump('ann@corp.lan@jump'), { host: 'jump', user: 'ann@corp.lan' })
  assert.throws(
    () => parseJump('ann@jump:x'),
    (error: unknown) => error instanceof Problem,
  )
  assert.throws(
    () => parseJump(''),
    (error: unknown) => error instanceof Problem,
  )
})

test('Include brings in files by pattern, and keeps sections apart', async () => {
  write('a.conf', 'Host kvm1\n  HostName 10.0.0.5\n')
  write('b.txt', 'User nobody\n')
  write('more', 'Host other\n  User other\n')
  const found = await complete(
    `Include ${folder}/*.conf ${folder}/more ${folder}/missing\nUser ann\nHost kvm1\n  Port 2222\n`,
  )
  assert.is(found.host, '10.0.0.5')
  assert.is(found.user, 'ann')
  assert.is(found.port, 2222)
})

test.run()
