import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { InvalidSchematic, parseSchematic } from '../../src/factory/schematic.ts'

// IDs that the public factory gives; pkg/schematic/schematic_test.go of siderolabs/image-factory.
const golden: [string, string, string][] = [
  [
    'nothing customized',
    'customization: {}',
    '376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba',
  ],
  ['an empty body', '', '376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba'],
  [
    'the guest agent',
    'customization:\n  systemExtensions:\n    officialExtensions: [siderolabs/qemu-guest-agent]',
    'ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515',
  ],
  [
    'kernel arguments, as JSON',
    '{"customization":{"extraKernelArgs":["noapic","nolapic"]}}',
    '9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c',
  ],
]
for (const [name, text, id] of golden)
  test(`gives the public factory's ID: ${name}`, () => assert.is(parseSchematic(text).id, id))

test('keeps the order of extensions: another order results in another schematic', () => {
  const of = (names: string): string =>
    parseSchematic(`customization: { systemExtensions: { officialExtensions: [${names}] } }`).id
  assert.is.not(of('a, b'), of('b, a'))
})

const rejected: [string, string, RegExp][] = [
  ['an unknown field', 'something: 1', /field something not found in type schematic\.Schematic/],
  [
    'an unknown field further in',
    'customization: { systemExtension: {} }',
    /field systemExtension not found in type schematic\.Customization/,
  ],
  ['a list that is none', 'customization: { extraKernelArgs: a }', /cannot construct/],
  ['no YAML', 'a: [', /^yaml: /],
]
for (const [name, text, message] of rejected)
  test(`rejects ${name}`, () => {
    assert.throws(
      () => parseSchematic(text),
      (error: unknown) => error instanceof InvalidSchematic && message.test(error.message),
    )
  })

test.run()
