/** Nx' view of a workspace: every resolved target, and the tasks of a run. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'

export interface Target {
  readonly executor: string
  readonly options: { readonly command?: string; readonly cwd?: string }
  readonly dependsOn?: readonly string[]
  readonly cache?: boolean
  readonly metadata?: { readonly description?: string }
}

interface GraphFile {
  readonly graph: {
    readonly nodes: Readonly<
      Record<string, { readonly data: { readonly targets: Readonly<Record<string, Target>> } }>
    >
  }
  readonly tasks?: { readonly tasks: Readonly<Record<string, unknown>> }
}

/** Every target of a workspace by the name under which Nx runs it: `vm:create`. */
export function targetsOf(workspace: string): ReadonlyMap<string, Target> {
  const { nodes } = readGraph(workspace, ['graph'], '--file').graph
  return new Map(
    Object.entries(nodes).flatMap(([project, { data }]) =>
      Object.entries(data.targets).map(([name, target]) => [`${project}:${name}`, target] as const),
    ),
  )
}

/** The tasks that Nx would run for one, that one included. */
export function tasksFor(workspace: string, task: string): string[] {
  return Object.keys(readGraph(workspace, ['run', task], '--graph').tasks?.tasks ?? {}).sort()
}

function readGraph(workspace: string, command: readonly string[], option: string): GraphFile {
  const folder = mkdtempSync(join(temporaryFolder('graph'), 'file-'))
  try {
    const file = join(folder, 'graph.json')
    const { HOME = '', PATH = '' } = process.env
    execFileSync('npx', ['nx', ...command, `${option}=${file}`], {
      cwd: workspace,
      // Without the variables of the Nx that runs this test.
      env: { HOME, PATH, NX_DAEMON: 'false', NX_TUI: 'false' },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    return JSON.parse(readFileSync(file, 'utf8')) as GraphFile
  } finally {
    rmSync(folder, { recursive: true })
  }
}
