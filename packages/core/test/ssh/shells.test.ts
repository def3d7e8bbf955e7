import { existsSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openHost } from '../../src/host/open.ts'
import { problemOf } from '../../src/testing/failure.ts'
import { hasSshd, startSshd } from '../../src/testing/sshd.ts'
import { within } from '../../src/testing/within.ts'

/** Login shells as sshd starts them, `<shell> -c <command>`, by their program. */
const shells: Readonly<Record<string, string>> = {
  bash: '/bin/bash',
  dash: '/usr/bin/dash',
  zsh: '/usr/bin/zsh',
  'busybox ash': '/usr/bin/busybox',
  fish: '/usr/bin/fish',
  tcsh: '/usr/bin/tcsh',
}
const nasty = `it's "quoted" $HOME \`id\` a\\b\\\\c ! !! !$ {a,b} * ~ #\n%1 Ünïcödé`

const test = suite('a login shell')

for (const [name, program] of Object.entries(shells)) {
  if (!hasSshd || !existsSync(program)) {
    console.log(`SKIPPED: the login shell ${name}: it needs root, /usr/sbin/sshd and ${program}`)
    continue
  }
  const shell = name === 'busybox ash' ? `${program} ash` : program
  test(`${name} runs commands, with their input, output and exit code`, async () => {
    const server = await startSshd(['ed25519'], [force(shell)])
    const host = await openHost(server.uri, '/', server.user)
    assert.is((await host.$`printf %s ${nasty}`).stdout, nasty)
    const input = `${nasty}\n`.repeat(20_000)
    assert.is((await host.$({ input })`cat`).stdout, input)
    assert.is((await host.$({ nothrow: true })`echo "!" >&2; (exit 7)`).exitCode, 7)
    // Longer than one argument of a command can be.
    const long = 'x'.repeat(300_000)
    assert.is((await host.$`text=${long}; echo "\${#text}"`).stdout, '300000\n')
    const late = await within(
      20_000,
      'the timeout',
      host.$({ timeoutMs: 1000, nothrow: true })`sleep 60`,
    )
    assert.is(late.exitCode, 124)
    await host.close()
    await server.stop()
  })
}

if (hasSshd)
  for (const [title, command, because] of [
    ['nologin', '/usr/sbin/nologin', 'exit code 1: .*not available'],
    ['that ends at once', '/bin/false', 'exit code 1 without output'],
    [
      'without bash',
      'PATH=/nowhere; /bin/sh -c "$SSH_ORIGINAL_COMMAND"',
      'exit code 127: .*not found',
    ],
    [
      'that takes the script for itself',
      'cat >/dev/null & /bin/sh -c "$SSH_ORIGINAL_COMMAND" </dev/null',
      'exit code 125',
    ],
  ] as const)
    test(`${title} is HOST_SHELL, with its output`, async () => {
      const server = await startSshd(['ed25519'], [`ForceCommand ${command}`])
      const problem = await problemOf(openHost(server.uri, '/', server.user))
      assert.is(problem.code, 'HOST_SHELL')
      assert.match(problem.because ?? '', new RegExp(because))
      assert.match(problem.hint ?? '', 'chsh -s /bin/bash')
      await server.stop()
    })

test.run()

function force(shell: string): string {
  return `ForceCommand exec ${shell} -c "$SSH_ORIGINAL_COMMAND"`
}
