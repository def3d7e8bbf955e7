/** Builds command lines from templates, with every value quoted. */
import type { Command, Output, RunOptions, Shell, CommandArgument } from './shell.ts'

/** Quotes a word for bash; simple words stay unquoted, so that commands are readable. */
export function quote(word: string | number): string {
  const text = String(word)
  if (text.includes('\0')) throw new TypeError('a word of a command cannot contain a NUL byte')
  return /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** The command line of a template and its values; every value is quoted, lists word by word. */
export function commandText(
  pieces: readonly string[],
  ...values: readonly CommandArgument[]
): string {
  const words = values.map((value) => [value].flat().map(quote).join(' '))
  return pieces.map((piece, index) => piece + (words[index] ?? '')).join('')
}

/** The `$` of a host whose commands `run` executes. */
export function shellOf(run: (command: string, options: RunOptions) => Promise<Output>): Shell {
  const command =
    (options: RunOptions): Command =>
    (pieces, ...values) =>
      run(commandText(pieces, ...values), options)
  function shell(options: RunOptions): Command
  function shell(pieces: TemplateStringsArray, ...values: CommandArgument[]): Promise<Output>
  function shell(
    first: RunOptions | TemplateStringsArray,
    ...values: CommandArgument[]
  ): Command | Promise<Output> {
    return isTemplate(first) ? command({})(first, ...values) : command(first)
  }
  return shell
}

function isTemplate(value: RunOptions | TemplateStringsArray): value is TemplateStringsArray {
  return Array.isArray(value)
}
