import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codes as sharedCodes, projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findingsAsJson, renderFindings } from '../../diagnose/report.ts'
import { cluster, w1 } from '../support/observed-cluster.ts'

test('lines of logs are shown without secrets', () => {
  const diagnosis = { code: 'X', where: w1, cause: 'it fails', remedy: [] }
  const findings = {
    diagnoses: [{ ...diagnosis, evidence: ['login with token=Zq1nightfall'] }],
    unmet: [],
  }
  for (const text of [
    renderFindings(cluster, findings),
    JSON.stringify(findingsAsJson(cluster, findings)),
  ]) {
    assert.match(text, 'login with token=[removed]')
    assert.not.match(text, 'nightfall')
  }
})

test('every diagnosis has a heading in docs/troubleshooting/diagnosis.md, and every heading has a diagnosis', () => {
  const folder = join(projectRoot, 'scripts', 'diagnose', 'rules')
  const text = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
  const own = [...text.matchAll(/(?<!settingOf\(node, )'([A-Z]+(?:_[A-Z]+)+)'/g)].map(
    ([, code = '']) => code,
  )
  const taken: readonly string[] = Object.entries(sharedCodes).flatMap(([state, code]) =>
    text.includes(`codes.${state}`) ? code : [],
  )
  const headings = (name: string): string[] =>
    [
      ...readFileSync(join(projectRoot, 'docs', 'troubleshooting', name), 'utf8').matchAll(
        /^## (\S+)$/gm,
      ),
    ].map(([, code = '']) => code)
  const documented = headings('diagnosis.md')
  assert.equal(
    documented.filter((code) => !own.includes(code) && !taken.includes(code)),
    [],
  )
  assert.equal(
    own.filter((code) => !documented.includes(code)),
    [],
  )
  assert.ok(documented.length >= 40, `${documented.length} diagnoses`)
})

test.run()
