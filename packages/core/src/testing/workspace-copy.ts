/** A copy of this workspace, in which tests can break things. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readlinkSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../root.ts'
import { temporaryFolder } from './temporary-folder.ts'

/**
 * Copies all files that git tracks or would add, except those below the folders `without`, into a new folder; returns
 * its path.
 */
export function copyWorkspace(without: readonly string[] = []): string {
  const copy = join(realpathSync(temporaryFolder('workspace')), 'copy')
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    { cwd: projectRoot, encoding: 'utf8' },
  )
  for (const file of listed
    .split('\0')
    .filter((name) => name !== '' && !without.some((folder) => name.startsWith(`${folder}/`))))
    cpSync(join(projectRoot, file), join(copy, file), { recursive: true })
  linkModules(copy)
  return copy
}

/** Links the workspace's packages to the copy's own, and all others to the installed ones. */
function linkModules(copy: string): void {
  const installed = join(projectRoot, 'node_modules')
  const own = join(copy, 'node_modules')
  mkdirSync(join(own, '@talosmith'), { recursive: true })
  for (const name of readdirSync(installed).filter((entry) => entry !== '@talosmith'))
    symlinkSync(join(installed, name), join(own, name))
  for (const name of readdirSync(join(installed, '@talosmith')))
    symlinkSync(readlinkSync(join(installed, '@talosmith', name)), join(own, '@talosmith', name))
}
