/**
 * The Nx plugin that infers the targets of this workspace; infer-targets.js has the logic. Plain JavaScript,
 * because Nx loads it without a build step, on every supported Node.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** @import { CreateNodes } from 'nx/src/devkit-exports.js' */
/** @import { Chains, Options } from './infer-targets.js' */

/** @type {CreateNodes<Options>} */
export const createNodes = [
  '{scripts,*/scripts,*/*/scripts}/*.ts',
  async (files, options, { workspaceRoot }) => {
    if (options === undefined) throw new Error('nx.json gives tools/nx/plugin.js no options')
    const { inferTargets } = /** @type {typeof import('./infer-targets.js')} */ (
      await importFresh(join(import.meta.dirname, 'infer-targets.js'))
    )
    const chains = /** @type {Chains} */ (await importFresh(join(workspaceRoot, options.chains)))
    return inferTargets(files, (folder) => nameOf(join(workspaceRoot, folder)), chains, options)
  },
]

/**
 * A module as its file is now: Nx' daemon lives for hours, and an import without a query is kept for as long.
 * @param {string} path
 * @returns {Promise<unknown>}
 */
async function importFresh(path) {
  return import(`${pathToFileURL(path).href}?${statSync(path).mtimeMs}`)
}

/**
 * The name of the project in a folder, if there is one.
 * @param {string} folder
 * @returns {string | undefined}
 */
function nameOf(folder) {
  const path = join(folder, 'project.json')
  if (!existsSync(path)) return undefined
  const { name } = /** @type {{ name?: string }} */ (JSON.parse(readFileSync(path, 'utf8')))
  return name
}
