import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chains } from '../chain.js'
import { stages } from './support/chain.ts'

/** The chain that ends with a task, as its lines. */
function chainOf(last: string): string[][] {
  const found = chains.find((chain) => Object.keys(chain.at(-1) ?? {}).includes(last))
  return (found ?? []).map((line) => Object.keys(line))
}

test('every chain ends with one stage', () => {
  for (const chain of chains)
    assert.match(Object.keys(chain.at(-1) ?? {}).join(), /^[a-z]+:[a-z-]+$/)
})

test('cluster:destroy asks for confirmation, then goes from storage to the seed ISOs, one after the other', () => {
  assert.equal(
    chainOf('cluster:destroy'),
    Object.keys(stages).map((stage) => [stage]),
  )
})

test('docs/architecture.md shows the chains as they are', () => {
  const page = readFileSync(join(projectRoot, 'docs', 'architecture.md'), 'utf8')
  for (const chain of chains) {
    const shown = chain.map((line) => Object.keys(line).join(', ')).join(' -> ')
    assert.ok(page.replace(/\s+/g, ' ').includes(` ${shown} `), shown)
  }
})

test.run()
