/** The stages of `npm test`, in order; it ends at the first one that fails. */

export interface Stage {
  /** Its name in the closing lines. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Counts {
  readonly passed: number
  readonly failed: number
}

export interface Outcome {
  readonly total: Counts
  /** The stage that failed, if any. */
  readonly failed: Stage | undefined
  /** The stages after it, which were not run. */
  readonly left: readonly Stage[]
}

/** Targets that need only `npm ci` and take seconds; add new ones of this kind here. */
const quick = ['format', 'lint', 'spell', 'words', 'layers', 'imports']

/** A chapter creates and destroys clusters, some with an upgrade in between. */
const chapterLimitS = '3600'

/** Fast stages first: sources, types, the lab (which installs tools without which tests are skipped), tests, clusters. */
export function stagesOf({ lab, ha }: { readonly lab: boolean; readonly ha: boolean }): Stage[] {
  const suites = ha ? ['lab/e2e', 'lab/e2e-ha'] : ['lab/e2e']
  const chapters = ['--one-by-one', '--limit-s', chapterLimitS, ...suites]
  const inLab = <T>(...stages: T[]): T[] => (lab ? stages : [])
  return [
    { name: 'sources', ...runMany(...quick) },
    { name: 'types', ...runMany('typecheck') },
    ...inLab({ name: 'lab', ...runOne('lab:start'), env: { CLUSTER: 'lab' } }),
    // All targets of `check`; those that ran above come from Nx' cache.
    // One project at a time: each keeps all processors busy, and limits count real time.
    { name: 'unit tests', ...oneByOne(runMany('check')) },
    ...inLab(
      { name: "the lab's guests", ...runOne('lab:test-guest') },
      {
        name: 'clusters in the lab',
        command: 'npx',
        args: ['tsx', 'tools/checks/run-tests.ts', ...chapters],
      },
    ),
  ]
}

/** Runs stages until one fails; a stage that fails without a failed test counts as one failure. */
export async function runStages(
  stages: readonly Stage[],
  run: (stage: Stage) => Promise<Counts & { readonly code: number | null }>,
): Promise<Outcome> {
  let total: Counts = { passed: 0, failed: 0 }
  for (const [index, stage] of stages.entries()) {
    const { passed, failed, code } = await run(stage)
    const failures = code === 0 ? failed : Math.max(failed, 1)
    total = { passed: total.passed + passed, failed: total.failed + failures }
    if (failures > 0) return { total, failed: stage, left: stages.slice(index + 1) }
  }
  return { total, failed: undefined, left: [] }
}

const output = '--outputStyle=stream-without-prefixes'

function runMany(...targets: readonly string[]): Pick<Stage, 'command' | 'args'> {
  return { command: 'npx', args: ['nx', 'run-many', '-t', ...targets, output] }
}

function oneByOne({ command, args }: Pick<Stage, 'command' | 'args'>) {
  return { command, args: [...args, '--parallel=1'] }
}

function runOne(target: string): Pick<Stage, 'command' | 'args'> {
  return { command: 'npx', args: ['nx', 'run', target, output] }
}
