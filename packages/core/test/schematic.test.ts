import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeSchematic } from '../src/schematic.ts'

// Vectors of siderolabs/image-factory pkg/schematic/schematic_test.go and the Talos documentation.
const vectors: [string, string[], string[], string][] = [
  ['nothing', [], [], '376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba'],
  [
    'the guest agent',
    ['siderolabs/qemu-guest-agent'],
    [],
    'ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515',
  ],
  [
    'kernel arguments',
    [],
    ['noapic', 'nolapic'],
    '9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c',
  ],
]
for (const [name, extensions, kernelArguments, id] of vectors)
  test(`a schematic of ${name} has the ID that the factory gives it`, () => {
    assert.is(describeSchematic(extensions, kernelArguments).id, id)
  })

test('kernel arguments come before extensions', () => {
  assert.is(
    describeSchematic(['siderolabs/a'], ['b=1']).body,
    'customization:\n    extraKernelArgs:\n        - b=1\n    systemExtensions:\n        officialExtensions:\n            - siderolabs/a\n',
  )
})

test.run()
