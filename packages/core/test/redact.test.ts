import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createRedactor } from '../src/redact.ts'
import { redactShapes } from '../src/secret-shapes.ts'

const pem =
  '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAbCdEf0123456789\n-----END EC PRIVATE KEY-----'
const encode = (text: string): string => Buffer.from(text).toString('base64')
const pemIn64 = encode(pem)
const known = 'kHq3+8fPz0vYt5LcR1uXw9mN2bQe7sDa'
const odd = `it's "odd" <&> \\ kHq3`
const redact = createRedactor([known, odd, pemIn64, 'home', 'true'])
/** A value that only its surroundings give away. */
const value = 's3cretvalue99'
const awsKey = value.toUpperCase().replaceAll(/[^A-Z]/g, 'Q')

/** A known secret in every form in which programs write it. */
const knownForms: [string, string][] = [
  ['a known value', known],
  ['a known value inside another word', `x${known}y`],
  ['a known value in base64', encode(known)],
  ['a known value in base64 with a byte before it', encode(`:${known}`)],
  ['a known value in base64 with two bytes before it', encode(`me:${known}`).slice(0, -1)],
  ['a known value in base64 twice', encode(encode(`x${known}`))],
  ['a known value in base64 of URLs', Buffer.from(`>>>?${known}`).toString('base64url')],
  ['a known value in hex', Buffer.from(known).toString('hex')],
  ['a known value in a URL', `https://host/x?a=${encodeURIComponent(known)}`],
  ['a known value in a string of JSON', JSON.stringify({ a: odd })],
  ['a known value in JSON in a string of JSON', JSON.stringify(JSON.stringify({ a: odd }))],
  ['a known value in XML', '<a>it&apos;s &quot;odd&quot; &lt;&amp;&gt; \\ kHq3</a>'],
  ['a known value quoted for a shell', `echo '${odd.replaceAll("'", `'\\''`)}'`],
  ['a key in base64 that is known', pemIn64],
  ['a line of a known key', 'line 2: MHcCAQEEIAbCdEf0123456789'],
]

/** What gives itself away by its form or its surroundings. */
const shapes: [string, string][] = [
  ['a private key', pem],
  ['an indented private key', pem.replaceAll('\n', '\n    ')],
  ['a private key on one line', pem.replaceAll('\n', '\\n')],
  ['a private key of OpenPGP', pem.replaceAll('EC PRIVATE KEY', 'PGP PRIVATE KEY BLOCK')],
  ['a private key in base64', encode(pem)],
  ['a private key in base64 after other text', encode(`k:${pem}`)],
  ['a private key in base64 on several lines', encode(pem).replaceAll(/(.{64})/g, '$1\n  ')],
  ['a private key in base64 twice', encode(encode(pem))],
  ['a private key whose end is cut off', '-----BEGIN PRIVATE KEY-----\nMHcCAQEEIAbCdEf0123456789'],
  ['a private key whose beginning is cut off', pem.replace(/^.*\n/, '')],
  ['a bearer token', `Authorization: Bearer ${value}`],
  ['basic authentication', `authorization: Basic ${encode(`me:${value}`)}`],
  ['another authorization', `Authorization: token ${value}`],
  ['headers of a Go program', `map[Authorization:[Bearer ${value}]]`],
  ['a header with a key', `X-Api-Key: ${value}`],
  ['a cookie', `Set-Cookie: session=${value}; Path=/`],
  ['a service account’s token', `eyJhbGciOiJSUzI1NiJ9.${encode(value)}.${encode('signature')}`],
  ['JSON in base64', encode(JSON.stringify({ auths: { a: { auth: value } } }))],
  ['a bootstrap token', 'token abcdef.0123456789abcdef'],
  ['a token of GitHub', `remote: ghp_${value}AbCdEf0123456789`],
  ['a token of Vault', `hvs.${value}AbCdEf0123456789`],
  ['an access key of AWS', `AKIA${awsKey}ABCDEF`],
  ['an age key', `AGE-SECRET-KEY-1${value.toUpperCase()}ABCDEF`],
  ['a WireGuard key', `peer kHq3${'a'.repeat(39)}=`],
  ['a password’s hash', `root:$6$salt$${value}abcdef:1:2`],
  ['a password’s hash of LDAP', `{SSHA}${value}abcd==`],
  ['a Helm release', `H4sI${'A'.repeat(8)}${value}${'a'.repeat(30)}==`],
  ['a password in a URL', `http://me:${value}@proxy:3128`],
  ['a password with / and @ in a URL', `postgres://me:a/b@${value}@db:5432/x`],
  ['a token as the user of a URL', `https://${value}${value}@github.com/x`],
  ['a token in the query of a URL', `https://host/x?a=b&access_token=${value}&c=d`],
  ['a signature in the query of a URL', `https://host/x?sv=1&sig=${value}`],
  ['a percent-encoded query', `next=${encodeURIComponent(`https://host?token=${value}`)}`],
  ['a YAML field', `token: ${value}`],
  ['a YAML field with spaces in its value', `x:\n  password: correct horse ${value}`],
  ['a YAML field in quotes', `password: "a \\" ${value}"`],
  ['a YAML block', `a:\n  password: |-\n    first\n    ${value}\n  b: 1`],
  ['a YAML list', `passwords:\n  - first\n  - ${value}\nb: 1`],
  ['a YAML list on one line', `passwords: [first, ${value}]`],
  ['a JSON field', `{"clientSecret":"${value}","a":1}`],
  ['a JSON field with an escaped quote', `{"password":"a\\"${value}","a":1}`],
  ['a JSON list', `{"tokens": [\n "first",\n "${value}"\n]}`],
  ['JSON in a string of JSON', JSON.stringify(JSON.stringify({ password: `a"${value}` }))],
  ['an environment variable of a pod', `{"name":"DB_PASSWORD","value":"${value}"}`],
  ['an environment variable, value first', `{"value":"${value}","name":"API_TOKEN"}`],
  ['an environment variable of a pod in YAML', `- name: DB_PASSWORD\n  value: ${value} x`],
  ['a line of an env file', `REGISTRY_PASSWORD=${value}`],
  ['a line of an env file with export', `export PGPASSWORD='a ${value}'`],
  ['a variable that ends in _KEY', `S3_KEY=${value}`],
  ['a variable that ends in PWD', `MYSQL_PWD=${value}`],
  ['an attribute of XML', `<graphics type='vnc' passwd='${value}'/>`],
  ['an element of XML', `<secret usage="x">${value}</secret>`],
  ['a key of a config', `key: ${encode(value)}`],
  ['a login of a registry', `"auth": "${encode(`me:${value}`)}"`],
  ['an option of a command', `kubectl --token=${value} get`],
  ['an option of a command, the next word', `tool --password ${value} --force`],
  ['options as a list', `["tool","--db-password","${value}"]`],
  ['user and password of curl', `curl -u me:${value} https://host`],
  ['a password of sshpass', `sshpass -p ${value} ssh host`],
  ['a Go struct', `{Username:me Password:${value}}`],
  ['a Ruby hash', `"password" => "${value}"`],
  ['a preshared key', `PresharedKey = ${value}`],
  ['a connection string', `Server=db;Password=${value};AccountKey=${value}`],
]
const secret = new RegExp(
  [
    ...['kHq3', 'MHcC', 'AbCdEf', value, 'abcdef\\.0123', awsKey, value.toUpperCase()],
    ...[known, value, pem].flatMap((text) =>
      [0, 1, 2].map((offset) => encode(' '.repeat(offset) + text).slice(4, 16)),
    ),
    ...[
      encodeURIComponent(known),
      Buffer.from(known).toString('hex'),
      encode(encode(pem)).slice(0, 20),
    ],
    encode(encode(`x${known}`)).slice(8, 28),
  ]
    .map((text) => text.replaceAll('+', '\\+'))
    .join('|'),
)
for (const [title, text] of [...knownForms, ...shapes])
  test(`${title} is removed, and the text around it stays`, () => {
    const around = `before\n${text}\nafter`
    assert.match(around, secret)
    const clean = redact(around)
    assert.not.match(clean, secret)
    assert.match(clean, /^before\n/)
    assert.match(clean, '[removed]')
    assert.is(redact(clean), clean)
  })

for (const [title, text] of shapes.filter(([, one]) => !one.includes('\n')))
  test(`${title} is removed within a line, too`, () => {
    const clean = redactShapes(`before ${text} after`)
    assert.match(clean, /^before /)
    assert.not.match(clean, secret)
  })

test('text without secrets stays as it is', () => {
  const text = `machine home-cp1 at 10.0.0.70: etcd is ready: true
digest sha256:${'ab'.repeat(32)}, key "monkey", tokens left: none; see https://kubernetes.io/docs/x#y
qemu+ssh://root@kvm1:22/system, http://10.0.0.1:8080/x@y, ghcr.io/siderolabs/installer:v1.13.9@sha256:${'ab'.repeat(32)}
automountServiceAccountToken: false
SHA256:9f8hU3iPq0kHk1vZ0aT5bM2nLx4cR7dQwEyJ6sGoVtA is a fingerprint; Basic functions work
Nov 30 kubelet[1]: I1130 reconciler.go:352] "MountVolume started" volume="kube-api-access"`
  assert.is(redact(text), text)
})

test('a long text takes a moment only', () => {
  const line = `${'A'.repeat(300)} token ${encode('x'.repeat(200))} key/value=1 http://a/b?c=d\n`
  const text = line.repeat(5000) + encode('y'.repeat(1_000_000))
  const many = Array.from({ length: 200 }, (_, index) => encode(`value ${index} of many`))
  const started = performance.now()
  createRedactor(many)(text)
  assert.ok(performance.now() - started < 10_000, `${performance.now() - started} ms`)
})

test.run()
