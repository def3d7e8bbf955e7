/** A second checkout of the project: the same commands and settings, and a generated/ folder of its own. */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { copyWorkspace } from '@talosmith/core/testing'
import { labFolder } from '../src/layout.ts'

/** Copies the project into a temporary folder, from which the lab's host can be reached; returns the folder. */
export function secondCheckout(): string {
  const folder = copyWorkspace(['lab/tools'])
  // The keys that env/lab.env names.
  symlinkSync(labFolder, join(folder, '.lab'))
  return folder
}
