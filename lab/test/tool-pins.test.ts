import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { projectRoot } from '@talosmith/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const read = (name: string): string => readFileSync(join(projectRoot, name), 'utf8')

test('mise.toml pins tools that fit the versions in env/lab.env', () => {
  const settings = parseEnv(read('env/lab.env'))
  const pinned = (tool: string) =>
    new RegExp(`^${tool} = "(.+)"$`, 'm').exec(read('mise.toml'))?.[1]
  assert.is(`v${pinned('talosctl')}`, settings['TALOS_VERSION'])
  assert.is(`v${pinned('kubectl')}`, settings['KUBERNETES_VERSION'])
})

test.run()
