/** A copy of this workspace, to do wrong things in. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readlinkSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'
import { temporaryFolder } from '@talosmith/core/testing'

/** Makes one in a new folder, of what is committed and what is about to be; returns its path. */
export function copyWorkspace(): string {
  const copy = join(realpathSync(temporaryFolder('workspace')), 'copy')
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    { cwd: projectRoot, encoding: 'utf8' },
  )
  for (const file of listed
    .split('\0')
    .filter((name) => name !== '' && !name.startsWith('lab/tools/')))
    cpSync(join(projectRoot, file), join(copy, file), { recursive: true })
  linkModules(copy)
  return copy
}

/** The packages of this workspace are the copy's own; all others are those that are installed here. */
function linkModules(copy: string): void {
  const installed = join(projectRoot, 'node_modules')
  const own = join(copy, 'node_modules')
  mkdirSync(join(own, '@talosmith'), { recursive: true })
  for (const name of readdirSync(installed).filter((entry) => entry !== '@talosmith'))
    symlinkSync(join(installed, name), join(own, name))
  for (const name of readdirSync(join(installed, '@talosmith')))
    symlinkSync(readlinkSync(join(installed, '@talosmith', name)), join(own, '@talosmith', name))
}
