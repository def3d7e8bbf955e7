import type { Output } from '@talosmith/core'

/** What one virsh command of a batch says: its stdout, or an error. */
export type Said = string | { readonly error: string }

/**
 * Answers a batch as virsh does (core/src/host/virsh.ts): every command of it by `answer`, with the marks
 * that tell their outputs apart. Undefined when the command is no batch.
 */
export function answerBatch(
  command: string,
  answer: (words: string) => Said,
): Partial<Output> | undefined {
  const mark = /echo --err ([\w.-]+)/.exec(command)?.[1]
  if (!command.startsWith('virsh ') || mark === undefined) return undefined
  const text = command
    .slice(command.indexOf("'") + 1, command.lastIndexOf("'"))
    .replaceAll(`'\\''`, "'")
  const end = `; echo ${mark}; echo --err ${mark}`
  const said = text
    .split(end)
    .map((words) => words.replace(/^; /, '').replaceAll("'", ''))
    .filter((words) => words !== '')
    .map(answer)
  const out = said.map((one) => `${typeof one === 'string' ? `${one}\n` : ''}${mark}\n`)
  const err = said.map((one) =>
    typeof one === 'string' ? `error: ${mark}\n` : `error: ${one.error}\nerror: ${mark}\n`,
  )
  const failed = said.some((one) => typeof one !== 'string')
  return { stdout: out.join(''), stderr: err.join(''), exitCode: failed ? 1 : 0 }
}
