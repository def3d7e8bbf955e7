import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseLibvirtUri } from '../../src/host/uri.ts'
import { Problem } from '../../src/problem.ts'

const good: Record<string, ReturnType<typeof parseLibvirtUri>> = {
  'qemu:///system': { kind: 'local' },
  'qemu+ssh://kvm1/system': { kind: 'ssh', host: 'kvm1' },
  'qemu+ssh://root@kvm1.lan:2222/system': {
    kind: 'ssh',
    host: 'kvm1.lan',
    user: 'root',
    port: 2222,
  },
  'qemu+ssh://root@[fd00::1]:22/system': { kind: 'ssh', host: 'fd00::1', user: 'root', port: 22 },
  'qemu+ssh://a%40b@10.0.0.5/system': { kind: 'ssh', host: '10.0.0.5', user: 'a@b' },
  'qemu+ssh://kvm1/system?keyfile=~/.ssh/kvm&known_hosts=env/known%20hosts': {
    kind: 'ssh',
    host: 'kvm1',
    keyfile: '~/.ssh/kvm',
    knownHosts: 'env/known hosts',
  },
}

for (const [uri, target] of Object.entries(good))
  test(`${uri} is parsed`, () => assert.equal(parseLibvirtUri(uri), target))

const bad: Record<string, RegExp> = {
  '': /not a URI/,
  kvm1: /not a URI/,
  'root@kvm1': /not a URI/,
  'qemu:///session': /use \/system/,
  'qemu:///': /write qemu:\/\/\/system/,
  'qemu:///system?socket=/run/x': /write qemu:\/\/\/system/,
  'qemu://kvm1/system': /qemu\+ssh/,
  'qemu+tcp://kvm1/system': /begins with qemu\+tcp:/,
  'qemu+tls://kvm1/system': /begins with qemu\+tls:/,
  'test:///default': /begins with test:/,
  'xen+ssh://kvm1/system': /begins with xen\+ssh:/,
  'ssh://root@kvm1': /begins with ssh:/,
  'https://kvm1/system': /begins with https:/,
  'qemu+ssh:///system': /no host/,
  'qemu+ssh://kvm1': /path is empty/,
  'qemu+ssh://kvm1/session': /path is \/session/,
  'qemu+ssh://kvm1/system/': /path is \/system\//,
  'qemu+ssh://kvm1:70000/system': /not a URI/,
  'qemu+ssh://kvm1:ssh/system': /not a URI/,
  'qemu+ssh://root:secret@kvm1/system': /password/,
  'qemu+ssh://-oProxyCommand=id@kvm1/system': /valid user name/,
  'qemu+ssh://-kvm1/system': /valid host name/,
  'qemu+ssh://kvm%201/system': /valid host name|not a URI/,
  'qemu+ssh://kvm1/system?no_verify=1': /always checked/,
  'qemu+ssh://kvm1/system?command=/bin/x': /command is not one of/,
  'qemu+ssh://kvm1/system?keyfile=': /path in it is empty/,
  'qemu+ssh://kvm1/system#x': /fragment #x/,
  'qemu+ssh://%zz@kvm1/system': /not correctly percent-encoded/,
}

for (const [uri, because] of Object.entries(bad))
  test(`${uri || 'an empty string'} is rejected, listing what is allowed`, () => {
    const problem = refusal(uri)
    assert.is(problem.code, 'LIBVIRT_URI_INVALID')
    assert.match(problem.because ?? '', because)
    assert.match(problem.hint ?? '', 'qemu+ssh://[user@]host[:port]/system')
    assert.is(problem.exitCode, 78)
  })

test('a password is not repeated', () => {
  const problem = refusal('qemu+ssh://root:secret@kvm1/system')
  assert.not.match(`${problem.message} ${problem.because} ${problem.hint}`, 'secret')
})

function refusal(uri: string): Problem {
  try {
    parseLibvirtUri(uri)
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
  throw new Error(`${uri} was accepted`)
}

test.run()
