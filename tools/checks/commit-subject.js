/** The commit-msg hook: `node tools/checks/commit-subject.js <file with the message>`. JavaScript, which starts fast. */
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const kinds = ['build', 'chore', 'ci', 'docs', 'feat', 'fix', 'perf', 'refactor', 'style', 'test']
const form = new RegExp(`^(?:${kinds.join('|')})(?:\\([a-z0-9,-]+\\))?!?: (.+)$`)
/** Subjects that git generates, and those of commits that will be squashed. */
const own = /^(?:Merge |Revert |merge: |fixup! |squash! |amend! )/

/**
 * What is wrong with a commit message's subject; undefined: nothing.
 *
 * @param {string} message
 * @returns {string | undefined}
 */
export function subjectProblem(message) {
  const subject = message.split('\n').find((line) => line.trim() !== '' && !line.startsWith('#'))
  if (subject === undefined) return 'it is empty'
  if (own.test(subject)) return undefined
  if (subject.length > 72) return `it has ${subject.length} characters; at most 72 are shown`
  const text = form.exec(subject)?.[1]
  if (text === undefined)
    return `it is not of the form "fix(vm): keep a disk's size"; the kinds are ${kinds.join(', ')}`
  // Names such as TALOS_VERSION stay as they are.
  if (/^[A-Z][a-z]/.test(text)) return 'it begins with an upper-case letter'
  if (text.endsWith('.')) return 'it ends with a full stop'
  if (/^\w+(?:ed|ing)\b/.test(text) && !/^(?:embed|feed|need|speed|string|bring|ping)\b/.test(text))
    return 'it is not imperative: "add", not "added" or "adding"'
  return undefined
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const problem = subjectProblem(readFileSync(process.argv[2] ?? '', 'utf8'))
  if (problem !== undefined) {
    console.error(`the subject of this commit: ${problem}`)
    process.exitCode = 1
  }
}
