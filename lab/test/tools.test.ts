import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { cacheFolder } from '../src/layout.ts'
import { isOurBuild, offerTool } from '../src/tools.ts'

const folder = temporaryFolder('tools')
const link = join(folder, 'v1.2.3', 'kubectl')
const built = (digest: string): string => join(cacheFolder, 'tools', `kubelab-${digest}`, 'kubelab')
const offer = (digest: string): void => offerTool('kubectl', 'v1.2.3', built(digest), folder)
const tools = suite('a built tool')
tools.before.each(() => {
  rmSync(link, { force: true })
  mkdirSync(join(folder, 'v1.2.3'), { recursive: true })
})

tools('is offered where there is none', () => {
  offer('1')
  assert.is(readlinkSync(link), built('1'))
  assert.ok(isOurBuild(link))
})

tools('takes the place of an earlier build of ours', () => {
  offer('1')
  offer('2')
  assert.is(readlinkSync(link), built('2'))
})

tools('takes the place of a link that leads nowhere', () => {
  symlinkSync('/nonexistent', link)
  offer('1')
  assert.is(readlinkSync(link), built('1'))
})

tools("leaves the operator's own file", () => {
  writeFileSync(link, 'own')
  offer('1')
  assert.is(readFileSync(link, 'utf8'), 'own')
  assert.not(isOurBuild(link))
})

tools("leaves the operator's own link", () => {
  symlinkSync(process.execPath, link)
  offer('1')
  assert.is(readlinkSync(link), process.execPath)
  assert.not(isOurBuild(link))
  assert.ok(existsSync(link))
})

tools.run()
