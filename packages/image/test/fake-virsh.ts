/** A host with scripted answers of virsh. */
import { recordingHost } from '@talosmith/core/testing'

/** A host whose virsh answers with `answers`, by the beginning of the command; pools are folders named like them. */
export function hostWith(
  answers: Readonly<Record<string, string | undefined>>,
  files: (command: string) => string,
) {
  const answer = (words: string): string | undefined => {
    const found = Object.entries(answers).find(([start]) => words.startsWith(start))
    if (found !== undefined) return found[1]
    if (words.startsWith('pool-list')) return 'default'
    return "<pool type='dir'><target><path>/pool</path></target></pool>"
  }
  return recordingHost((command) => {
    const separator = /echo --err ([\w.-]+)/.exec(command)?.[1]
    const alone = /^virsh -q -c qemu:\/\/\/system (.*)$/.exec(command)?.[1]
    if (separator === undefined) return alone === undefined ? files(command) : (answer(alone) ?? '')
    const outputs = command
      .slice(command.indexOf("'") + 1, -1)
      .replaceAll(`'\\''`, "'")
      .split(`; echo ${separator}; echo --err ${separator}`)
      .map((words) => words.replace(/^; /, ''))
      .filter(Boolean)
      .map(answer)
    return {
      stdout: outputs.map((one) => `${one === undefined ? '' : `${one}\n`}${separator}\n`).join(''),
      stderr: outputs
        .map((one) => `${one === undefined ? 'error: no such pool\n' : ''}error: ${separator}\n`)
        .join(''),
    }
  })
}
