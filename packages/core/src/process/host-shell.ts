/** The Problem of a login that runs no commands. */
import { Problem } from '../problem.ts'
import { timeoutExitCode, type Output } from './shell.ts'

/** The Problem of a login shell that did not start bash, by its output. */
export function hostShell(name: string, { stdout, stderr, exitCode }: Output): Problem {
  const lines = `${stderr}\n${stdout}`
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
  const ended = exitCode === timeoutExitCode ? 'did not end' : `ended with exit code ${exitCode}`
  return new Problem('HOST_SHELL', `the login shell of ${name} did not start bash`, {
    because: `it ${ended}${lines.length === 0 ? ' without output' : `: ${lines.slice(-3).join('; ')}`}`,
    hint: `as root on that machine: install bash, and give the user a login shell that runs commands (chsh -s /bin/bash <user>); its startup files must neither wait for input nor end the shell. To try it: ssh <user>@<host> bash -c true`,
  })
}
