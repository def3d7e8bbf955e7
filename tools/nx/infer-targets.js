/**
 * Infers a target for every script: `packages/vm/scripts/create.ts` is `vm:create`.
 *
 * A target's dependencies are in the file of chains; its project.json adds the rest (cached, other inputs), and
 * takes precedence over what is inferred here.
 */
import { basename, dirname } from 'node:path'

/** @import { CreateNodesResultArray, TargetConfiguration } from 'nx/src/devkit-exports.js' */

/** @typedef {Readonly<Record<string, string>>} Stages Tasks that run side by side, each with what it does. */

/**
 * @typedef {object} Chains What the file of chains exports.
 * @property {readonly (readonly Stages[])[]} chains each from its first line to its last
 * @property {Readonly<Record<string, string>>} aliases former names of tasks
 */

/**
 * @typedef {object} Options The options in nx.json.
 * @property {string} chains the file of chains
 * @property {Readonly<Record<string, readonly string[]>>} [before]
 *   tasks that this workspace runs before a stage; Nx ignores tasks that do not exist
 */

/**
 * Every target, with the file that it comes from.
 * @param {readonly string[]} files the scripts
 * @param {(folder: string) => string | undefined} projectIn the name of the project in a folder
 * @param {Chains} chains
 * @param {Options} options
 * @returns {CreateNodesResultArray}
 */
export function inferTargets(files, projectIn, { chains, aliases }, options) {
  /** @type {Map<string, { file: string, target: TargetConfiguration }>} */
  const tasks = new Map()
  /** @type {Map<string, string>} */
  const roots = new Map()
  for (const file of files) {
    // The project "cluster" is the folder scripts/ itself.
    const root = [dirname(file), dirname(dirname(file))].find((folder) => projectIn(folder))
    const project = root === undefined ? undefined : projectIn(root)
    if (root === undefined || project === undefined) continue
    roots.set(project, root)
    tasks.set(`${project}:${basename(file, '.ts')}`, { file, target: targetOf(file) })
  }
  for (const [task, order] of orderOf(chains, options.before)) {
    // A stage without its own file has its command in project.json.
    const { file, target } = tasks.get(task) ?? { file: options.chains, target: { cache: false } }
    tasks.set(task, { file, target: { ...target, ...order } })
  }
  for (const task of laterStages(chains)) {
    const { file, target } = tasks.get(task) ?? { file: options.chains, target: {} }
    // Read by packages/core/src/script.ts: what a run prints once, its first stage prints.
    const own = /** @type {object} */ (target.options ?? {})
    const targetOptions = { ...own, env: { TALOSMITH_LATER_STAGE: 'true' } }
    tasks.set(task, { file, target: { ...target, options: targetOptions } })
  }
  for (const [alias, task] of Object.entries(aliases)) {
    const named = tasks.get(task)
    if (named === undefined) throw new Error(`${alias}: there is no ${task}`)
    const metadata = { description: `the former name of ${task}` }
    tasks.set(alias, { ...named, target: { ...named.target, metadata } })
  }
  return Array.from(tasks, ([task, { file, target }]) => {
    const [project = '', name = ''] = task.split(':')
    const root = roots.get(project)
    if (root === undefined) throw new Error(`${task}: there is no project ${project} with scripts`)
    return [file, { projects: { [root]: { root, targets: { [name]: target } } } }]
  })
}

/**
 * The target of a script; a target that touches a host is never cached.
 * @param {string} file
 * @returns {TargetConfiguration}
 */
function targetOf(file) {
  return {
    executor: 'nx:run-commands',
    options: { command: `node tools/build/run.js ${file}`, cwd: '{workspaceRoot}' },
    cache: false,
  }
}

/**
 * The stages that only run together with an earlier one, or beside the first one.
 * @param {Chains['chains']} chains
 */
function laterStages(chains) {
  return new Set(chains.flatMap((chain) => chain.flatMap((line) => Object.keys(line)).slice(1)))
}

/**
 * The dependencies of every stage: the line before it, and the tasks that the workspace runs before.
 * @param {Chains['chains']} chains
 * @param {Options['before']} before
 */
export function orderOf(chains, before = {}) {
  /** @type {Map<string, { dependsOn: string[], metadata: { description: string } }>} */
  const order = new Map()
  for (const chain of chains)
    for (const [index, line] of chain.entries()) {
      const earlier = Object.keys(chain[index - 1] ?? {})
      for (const [task, description] of Object.entries(line)) {
        const dependsOn = [...(before[task] ?? []), ...earlier]
        const other = order.get(task)?.dependsOn ?? dependsOn
        if (String(other) !== String(dependsOn))
          throw new Error(
            `${task} comes after ${String(other)} in one chain, after ${String(dependsOn)} in another`,
          )
        order.set(task, { dependsOn, metadata: { description } })
      }
    }
  const unknown = Object.keys(before).find((task) => !order.has(task))
  if (unknown !== undefined) throw new Error(`nx.json: ${unknown} is in no chain`)
  return order
}
