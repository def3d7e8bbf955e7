/**
 * Finds words that this project does not use (word-list.ts) in all files that git tracks or would add, and prints
 * their places, what to write instead, and the counts.
 *
 *   npx tsx tools/checks/words.ts [--counts] [path...]     only the counts | only in these files and folders
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { findWords } from './find-words.ts'

/** Word lists, third-party texts, and output of programs. */
const ignored =
  /^(?:package-lock\.json|cspell.*|LICENSE|tools\/checks\/word-list\.ts|tools\/test\/words\.test\.ts)$|\.(?:sum|mod)$|\/(?:golden|fixtures)\//
const read = /\.(?:[cm]?[jt]s|go|md|sh|json|ya?ml|toml|env|tpl|conf)$|^\.[a-z/]+$/

const args = process.argv.slice(2)
const paths = args.filter((arg) => !arg.startsWith('--'))
const listed = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...paths],
  { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
)
const files = [...new Set(listed.split('\0'))].filter(
  (path) => read.test(path) && !ignored.test(path) && existsSync(path),
)
const counts = new Map<string, number>()
for (const path of files)
  for (const { rule, line, text } of findWords(path, readFileSync(path, 'utf8'))) {
    counts.set(rule.word, (counts.get(rule.word) ?? 0) + 1)
    if (!args.includes('--counts'))
      console.log(`${path}:${line}: "${text}"; write instead: ${rule.instead}`)
  }
const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
for (const [word, count] of [...counts].sort(([, a], [, b]) => b - a))
  console.log(`${String(count).padStart(6)}  ${word}`)
console.log(`${total} unwanted words in ${files.length} files`)
process.exitCode = total > 0 ? 1 : 0
