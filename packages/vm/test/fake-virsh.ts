/** Fake outputs of virsh. */
import type { Output } from '@talosmith/core'

/** Output of one virsh command of a batch: its stdout, or an error. */
export type VirshOutput = string | { readonly error: string }

/**
 * Answers a batch of commands as virsh does (core/src/host/virsh.ts): each with `answer`, with separators
 * between the outputs. Undefined when the command is not a batch.
 */
export function answerBatch(
  command: string,
  answer: (words: string) => VirshOutput,
): Partial<Output> | undefined {
  const separator = /echo --err ([\w.-]+)/.exec(command)?.[1]
  if (!command.startsWith('virsh ') || separator === undefined) return undefined
  const text = command
    .slice(command.indexOf("'") + 1, command.lastIndexOf("'"))
    .replaceAll(`'\\''`, "'")
  const end = `; echo ${separator}; echo --err ${separator}`
  const outputs = text
    .split(end)
    .map((words) => words.replace(/^; /, '').replaceAll("'", ''))
    .filter((words) => words !== '')
    .map(answer)
  const out = outputs.map((one) => `${typeof one === 'string' ? `${one}\n` : ''}${separator}\n`)
  const err = outputs.map((one) =>
    typeof one === 'string'
      ? `error: ${separator}\n`
      : `error: ${one.error}\nerror: ${separator}\n`,
  )
  const failed = outputs.some((one) => typeof one !== 'string')
  return { stdout: out.join(''), stderr: err.join(''), exitCode: failed ? 1 : 0 }
}
