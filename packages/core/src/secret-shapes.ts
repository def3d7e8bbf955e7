/** What secrets look like in texts of which nothing is known: formats of keys, and values behind names such as `password`. */

/** In place of a removed secret. */
export const removed = '[removed]'

/** Parts of names whose values are secrets. */
const parts =
  'token|secret|password|passphrase|passcode|passwd|pwd|credential|cookie|signature|(?:api|access|account|auth|private|encryption|shared|signing|session|master|unseal|root)[-_.]?key|key[-_]data'
/** A name that contains one of them, or is a short one by itself. */
const name = String.raw`(?:[\w.-]*(?:${parts})[\w-]*|[\w.-]*[_-](?:key|pass|pw|auth)|key|pass|auth|authentication|psk|sig|preshared-?key)`
const begin = String.raw`(?<![\w-])`
/** Between a name and its value: YAML, JSON (also as a string of JSON), env files, XML attributes, Ruby, Go. */
const between = String.raw`(?:\\*["'])?\]?[ \t]*(?:=>|:=|[:=](?!>))[ \t]*`
/** Not secret, and of use to the reader. */
const plain = String.raw`(?!(?:true|false|null|none|nil|yes|no|undefined|\d{1,4})(?![\w.+/-]))`
const quoted = String.raw`"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\\n]|\\.|'')*'`
const value = String.raw`(?:(?<escape>\\+)"[\s\S]*?(?<!\\)\k<escape>"|${quoted}|\[[^\]]*\]|\{[^{}]*\}|&#?\w+;.*?&#?\w+;|[^\s"']+)`
const pemEnd = String.raw`-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`
const base64Line = String.raw`[A-Za-z0-9+/_-]`

/**
 * A value in base64 and base64url, also as a part of a longer text: the characters that do not depend on its
 * neighbors.
 */
export function inBase64(value: string | Buffer): string[] {
  return (['base64', 'base64url'] as const).flatMap((encoding) =>
    [0, 1, 2].map((offset) => {
      const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(value)])
      const stable = Math.floor((bytes.length * 8) / 6)
      return bytes.toString(encoding).slice(offset === 0 ? 0 : offset + 1, stable)
    }),
  )
}

const pemInBase64 = [
  ...new Set(inBase64('-----BEGIN').flatMap((text) => [text, ...inBase64(text)])),
]

type Shape = readonly [pattern: RegExp, by: string]

const shapes: readonly Shape[] = [
  [
    new RegExp(
      String.raw`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:${pemEnd}|$)`,
      'g',
    ),
    removed,
  ],
  // PEM in base64, at each of the three offsets that it may have in a longer text, and in base64 once more.
  [
    new RegExp(
      String.raw`(?:${pemInBase64.join('|')})${base64Line}*=*(?:(?:\s|\\n)+${base64Line}{20,}=*)*`,
      'g',
    ),
    removed,
  ],
  // Compressed in base64, as Helm keeps releases with their values.
  [/\bH4sI[A-Za-z0-9+/]{30,}=*/g, removed],
  // Tokens and JSON objects in base64: {"
  [/\beyJ[\w+/-]{8,}=*(?:\.[\w+/-]*=*){0,4}/g, removed],
  // Of kubeadm and Talos: k8s.io/cluster-bootstrap, token/util.
  [/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g, removed],
  // 32 bytes in base64: keys of WireGuard, secretbox, a Talos cluster.
  [/(?<![\w+/=])[A-Za-z0-9+/_-]{43}=(?![\w+/=])/g, removed],
  // Tokens of services, recognizable by their prefix.
  [
    /\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|dckr_[a-z]+_|npm_|pypi-|hv[bsr]\.|s\.(?=\w{24}\b)|sk-|[rs]k_(?:live|test)_|tskey-|dop_v1_|glc_|glsa_|hf_|AGE-SECRET-KEY-1|AKIA|ASIA|AIza|ya29\.)[\w.-]{10,}/g,
    removed,
  ],
  // Hashes of passwords: crypt(5), LDAP.
  [/\$(?:[1-9]\w?|y|gy|apr1|argon2\w*|scrypt|bcrypt|pbkdf2[\w-]*)\$[\w./$=,+-]{8,}/g, removed],
  [/\{S?(?:SHA|MD5|CRYPT)\d*\}[\w+/=$.]{8,}/gi, removed],
  // Headers of HTTP, to the end of the line.
  [
    /((?<![\w-])(?:(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*(?:token|key|auth|secret)[\w-]*)(?:\\*["'])?\s*[:=]\s*)(?!\s*\[removed\])(?:\\*["'])?[^"'\n\\]+/gi,
    `$1${removed}`,
  ],
  [/\b(Bearer\s+)[\w.~+/-]+=*/gi, `$1${removed}`],
  [/\b((?:Basic|basic)\s+)(?=[A-Za-z+/]*[A-Z0-9=])[A-Za-z0-9+/]{8,}=*/g, `$1${removed}`],
  // Block scalars of YAML: the lines indented further than the name.
  [
    new RegExp(
      String.raw`^([ \t]*)((?:- +)?["']?${name}["']?[ \t]*:[ \t]*[|>][-+\d]*[ \t]*(?:#.*)?)\n(?:(?:\1[ \t]+.*|[ \t]*)(?:\n|$))+`,
      'gim',
    ),
    `$1$2\n$1  ${removed}\n`,
  ],
  // Lists of YAML below a name.
  [
    new RegExp(
      String.raw`^([ \t]*)(["']?${name}["']?[ \t]*:[ \t]*)\n(?:\1[ \t]*- +(?!["']?[\w-]+["']?:).*(?:\n|$))+`,
      'gim',
    ),
    `$1$2\n$1  - ${removed}\n`,
  ],
  // A value of YAML without quotes may contain spaces.
  [
    new RegExp(
      String.raw`^([ \t]*(?:- +)?["']?${name}["']?[ \t]*:[ \t]+)${plain}(?![ \t]*(?:["'[{|>&*]|\\)).+`,
      'gim',
    ),
    `$1${removed}`,
  ],
  // Environment variables of Kubernetes: name and value side by side, in JSON and in YAML.
  [
    new RegExp(
      String.raw`(\\*"name\\*"\s*:\s*\\*"${name}\\*"\s*,\s*\\*"value\\*"\s*:\s*)(?:\\+"[\s\S]*?\\+"|${quoted})`,
      'gi',
    ),
    `$1"${removed}"`,
  ],
  [
    new RegExp(
      String.raw`(\\*"value\\*"\s*:\s*)(?:\\+"[^"]*?\\+"|"(?:[^"\\]|\\.)*")(\s*,\s*\\*"name\\*"\s*:\s*\\*"${name}\\*")`,
      'gi',
    ),
    `$1"${removed}"$2`,
  ],
  [
    new RegExp(
      String.raw`^([ \t]*(?:- +)?name:[ \t]*["']?${name}["']?[ \t]*\n[ \t]*value:[ \t]*).+`,
      'gim',
    ),
    `$1${removed}`,
  ],
  // Elements of XML.
  [new RegExp(String.raw`(<((?:\w+:)?${name})(?:\s[^<>]*)?>)[^<]+(?=</)`, 'gi'), `$1${removed}`],
  // Options of a command line whose value is the next word.
  [
    new RegExp(
      String.raw`((?:^|[\s"',[])--?${name}(?:["'],[ \t]*|[ \t]+))(?!-|\[removed\])(?:${quoted}|[^\s"']+)`,
      'gim',
    ),
    `$1${removed}`,
  ],
  [
    /((?:^|\s)(?:-u|--user|--proxy-user)[ =]?)(?:"[^":\n]*:[^"\n]*"|'[^':\n]*:[^'\n]*'|[^\s:]+:\S+)/gm,
    `$1${removed}`,
  ],
  [/((?<!\w)sshpass\s+-p\s*)(?:"[^"\n]*"|'[^'\n]*'|\S+)/g, `$1${removed}`],
  // In the query of a URL, also when it is percent-encoded.
  [
    /((?:[?&;]|%3F|%26)[\w.-]*(?:token|secret|pass\w*|pwd|signature|sig|key|auth|code|credential|session)[\w-]*(?:=|%3D))(?!\[removed\])[^\s&"'#]+/gi,
    `$1${removed}`,
  ],
  // User and password of a URL; a password may contain / and @. Not the port of a host, nor a digest: x@sha256:
  [
    /(\b[a-z][\w+.-]*:\/\/[^\s:/@"'<>]*:)(?!\d{1,5}(?:[/?#\s"']|$))(?!\[removed\]@)[^\s"'<>]*@(?!sha\d)/gi,
    `$1${removed}@`,
  ],
  // A token as the user.
  [/(\b[a-z][\w+.-]*:\/\/)[^\s:/@"'<>]{16,}@/gi, `$1${removed}@`],
  // Name and value.
  [
    new RegExp(
      `(${begin}${name}${between})${plain}(?![ \\t]*\\[removed\\]|[|>][-+\\d]*[ \\t]*$)${value}`,
      'gim',
    ),
    `$1${removed}`,
  ],
]

/** Removes everything that looks like a secret; what surrounds it stays. */
export function redactShapes(text: string): string {
  let clean = removeTails(text)
  for (const [shape, by] of shapes) clean = clean.replace(shape, by)
  return clean
}

/** Removes the end of a private key whose beginning is cut off, as in the tail of a log. */
function removeTails(text: string): string {
  const first = text.search(new RegExp(pemEnd))
  if (first < 0) return text
  const begins = text.lastIndexOf('-----BEGIN', first)
  if (begins >= 0 && !text.slice(begins, first).includes('-----END')) return text
  let from = first
  while (from > 0 && /[A-Za-z0-9+/=\s\\]/.test(text[from - 1] ?? '')) from--
  const [end = ''] = new RegExp(pemEnd).exec(text) ?? []
  return `${text.slice(0, from)}${removed}${text.slice(first + end.length)}`
}
