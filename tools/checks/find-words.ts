/** Finds unwanted words in the names and the prose of a file. */
import ts from 'typescript'
import { unwantedWords, type UnwantedWord } from './word-list.ts'

/** An unwanted word in a file. */
export interface WordFound {
  readonly rule: UnwantedWord
  readonly line: number
  /** As it is written. */
  readonly text: string
}

interface Piece {
  readonly at: number
  readonly text: string
}

/** A file's names, and its comments, strings and free text. */
interface Pieces {
  readonly names: readonly Piece[]
  readonly prose: readonly Piece[]
}

/** Every unwanted word of a file, from top to bottom; its name counts as line 0. */
export function findWords(
  path: string,
  contents: string,
  rules: readonly UnwantedWord[] = unwantedWords,
): WordFound[] {
  const { names, prose } = piecesOf(path, contents)
  const lineOf = lineFinder(contents)
  const found: WordFound[] = []
  for (const rule of rules.filter(({ only }) => only?.test(path) ?? true)) {
    const inNames = rule.rightIn?.test(path) === true ? undefined : rule.names
    const fileName = path.slice(path.lastIndexOf('/') + 1)
    if (inNames && matches(kebab(fileName), inNames, rule).length > 0)
      found.push({ rule, line: 0, text: fileName })
    for (const { at, text } of inNames ? names : [])
      if (matches(kebab(text), inNames as RegExp, rule).length > 0)
        found.push({ rule, line: lineOf(at), text })
    for (const { at, text } of rule.prose ? prose : [])
      for (const { index, 0: word } of matches(text, rule.prose as RegExp, rule))
        found.push({ rule, line: lineOf(at + index), text: word.replace(/\s+/g, ' ') })
  }
  return found.sort((a, b) => a.line - b.line)
}

/** `someName`, `SOME_NAME` and `Some-name` as `some-name`. */
export function kebab(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
    .replace(/_/g, '-')
    .toLowerCase()
}

/** The matches of a pattern outside of the phrases in which the word is right. */
function matches(text: string, pattern: RegExp, { except = [] }: UnwantedWord): RegExpExecArray[] {
  const rest = except.reduce(
    (left, phrase) => left.replaceAll(phrase, (match) => '\0'.repeat(match.length)),
    text,
  )
  return [...rest.matchAll(pattern)]
}

function piecesOf(path: string, contents: string): Pieces {
  if (/\.[cm]?[jt]s$/.test(path)) return ofTypeScript(path, contents)
  if (path.endsWith('.go')) return ofGo(contents)
  return { names: [], prose: [{ at: 0, text: withoutLineStarts(contents) }] }
}

function ofTypeScript(path: string, contents: string): Pieces {
  const names: Piece[] = []
  const prose: Piece[] = []
  const code = contents.split('')
  const source = ts.createSourceFile(path, contents, ts.ScriptTarget.Latest, false)
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node))
      names.push({ at: node.end - node.text.length, text: node.text })
    else if (ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node)) literal(node, true)
    else if (ts.isRegularExpressionLiteral(node)) literal(node, false)
    ts.forEachChild(node, visit)
  }
  const literal = (node: ts.Node, isProse: boolean): void => {
    const at = node.getStart(source)
    if (isProse) prose.push({ at, text: contents.slice(at, node.end) })
    code.fill(' ', at, node.end)
  }
  visit(source)
  return { names, prose: [...prose, ...commentsIn(code.join(''))] }
}

const goTokens =
  /\/\/[^\n]*(?:\n[ \t]*\/\/[^\n]*)*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])+'|[A-Za-z_]\w*/g

function ofGo(contents: string): Pieces {
  const tokens = [...contents.matchAll(goTokens)].map(({ index, 0: text }) => ({ at: index, text }))
  const isName = ({ text }: Piece): boolean => /^\w/.test(text)
  return {
    names: tokens.filter(isName),
    prose: mergeComments(tokens.filter((token) => !isName(token))),
  }
}

function commentsIn(code: string): Piece[] {
  const comments = [...code.matchAll(/\/\/[^\n]*(?:\n[ \t]*\/\/[^\n]*)*|\/\*[\s\S]*?\*\//g)]
  return mergeComments(comments.map(({ index, 0: text }) => ({ at: index, text })))
}

/** A sentence may continue in the next line's comment: the start of such a line becomes spaces. */
function mergeComments(pieces: readonly Piece[]): Piece[] {
  return pieces.map(({ at, text }) => ({ at, text: withoutLineStarts(text) }))
}

/** The same length, with line ends and the start of a comment's or quotation's line as spaces. */
function withoutLineStarts(text: string): string {
  return text.replace(/\n[ \t]*(?:\/\/|\*(?!\/)|#+|>)?[ \t]*/g, (start) => ' '.repeat(start.length))
}

function lineFinder(contents: string): (at: number) => number {
  const ends = [...contents.matchAll(/\n/g)].map(({ index }) => index)
  return (at) => {
    let [low, high] = [0, ends.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ends[middle] as number) < at) low = middle + 1
      else high = middle
    }
    return low + 1
  }
}
