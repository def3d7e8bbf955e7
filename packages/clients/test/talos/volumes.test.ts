import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { resource } from '@talosmith/clients/testing'
import { stateProblem, volumesQuestion } from '@talosmith/clients/talos'

const test = suite('volumes')
const volume = (phase: string, error?: string) => ({ id: 'STATE', phase, error })

const rows: [string, Parameters<typeof stateProblem>[0], string | undefined][] = [
  ['a STATE that is ready', [volume('ready')], undefined],
  [
    'a STATE that is not there yet',
    [{ ...volume('ready'), id: 'META' }],
    'it has no volume STATE yet',
  ],
  ['a STATE on its way', [volume('waiting')], 'its volume STATE is waiting'],
  ['a STATE that failed', [volume('failed', 'no disk')], 'its volume STATE is failed: no disk'],
  [
    'a failed EPHEMERAL beside it',
    [volume('ready'), { ...volume('failed'), id: 'EPHEMERAL' }],
    undefined,
  ],
]
for (const [what, volumes, expected] of rows)
  test(`${what}: ${expected ?? 'the config is saved'}`, () => {
    assert.is(stateProblem(volumes), expected)
  })

test('volumes are read by machine, with their IDs', () => {
  const output = [
    resource('10.0.0.70', { phase: 'ready' }, 'STATE'),
    resource('10.0.0.71', { phase: 'failed', errorMessage: 'too small' }, 'EPHEMERAL'),
    resource('10.0.0.70', { phase: 'missing' }, 'EPHEMERAL'),
  ].join('')
  assert.equal(
    [...volumesQuestion.parse(output, undefined)],
    [
      [
        '10.0.0.70',
        [
          { id: 'STATE', phase: 'ready', error: undefined },
          { id: 'EPHEMERAL', phase: 'missing', error: undefined },
        ],
      ],
      ['10.0.0.71', [{ id: 'EPHEMERAL', phase: 'failed', error: 'too small' }]],
    ],
  )
})

test.run()
