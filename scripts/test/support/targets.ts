/** The targets of every project, as the project.json files have them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '@talosmith/core'

export interface Target {
  readonly command?: string
  readonly dependsOn?: readonly string[]
  readonly cache?: boolean
}

const folders = {
  cluster: 'scripts',
  lab: 'lab',
  ...Object.fromEntries(
    ['bootstrap', 'core', 'image', 'storage', 'vm'].map((name) => [name, `packages/${name}`]),
  ),
}

/** Every target by the name under which Nx runs it: `vm:create`. */
export const targets: ReadonlyMap<string, Target> = new Map(
  Object.entries(folders).flatMap(([project, folder]) =>
    Object.entries(readJson<Record<string, Target>>(join(folder, 'project.json'), 'targets')).map(
      ([name, target]) => [`${project}:${name}`, target] as const,
    ),
  ),
)

/** What nx.json gives to targets of a name. */
export const targetDefaults = readJson<Record<string, Target>>('nx.json', 'targetDefaults')

export function targetOf(task: string): Target {
  const found = targets.get(task)
  if (found === undefined) throw new Error(`no target ${task}`)
  return found
}

/** The tasks that have to end before one begins. */
export function tasksBefore(task: string): string[] {
  const [project] = task.split(':')
  return (targetOf(task).dependsOn ?? []).map((name) =>
    name.includes(':') ? name : `${project}:${name}`,
  )
}

function readJson<T>(file: string, key: string): T {
  return (JSON.parse(readFileSync(join(projectRoot, file), 'utf8')) as Record<string, T>)[key] as T
}
