import { exitCodes } from '../problem.ts'
import { settingGroups, type Setting } from './schema.ts'

const groups = Object.entries(settingGroups) as [string, Record<string, Setting>][]

/** env/example.env: every setting with its sentence; what has a default is commented out. */
export function printExampleEnv(): string {
  const blocks = groups.map(([title, settings]) => [
    `# --- ${title} `.padEnd(80, '-'),
    ...Object.entries(settings).flatMap(([name, setting]) => ['', ...exampleOf(name, setting)]),
    '',
  ])
  return [
    '# A Talosmith cluster. Copy this file to env/<cluster>.env, edit it, then: npx nx run cluster:up',
    '# Printed from the schema of the settings (packages/core/scripts/print-settings.ts).',
    '',
    ...blocks.flat(),
  ].join('\n')
}

function exampleOf(
  name: string,
  { about, default: standard, otherwise, example, required }: Setting,
): string[] {
  const left = standard === undefined || standard === '' ? otherwise : undefined
  const note = left === undefined ? about : `${about} Left out: ${left}.`
  const needed = required === true || name === 'NETWORK_BRIDGE'
  return [
    `# ${note}`,
    `${needed ? '' : '#'}${name}=${needed ? (example ?? '') : standard || example || ''}`,
  ]
}

/** docs/configuration.md: every setting as a table row, and the exit codes. */
export function printConfigurationPage(): string {
  const tables = groups.map(([title, settings]) =>
    [
      `## ${title}`,
      '',
      '| setting | left out | what it is |',
      '| --- | --- | --- |',
      ...Object.entries(settings).map(
        ([name, setting]) => `| \`${name}\` | ${leftOut(setting)} | ${setting.about} |`,
      ),
      '',
    ].join('\n'),
  )
  return `# Configuration

One file, \`env/<cluster>.env\`, describes a cluster. \`CLUSTER=<cluster>\` (or \`--cluster\`) says which file;
without it the only file of yours in \`env/\` is taken. A setting in the shell's environment wins over the file.
Every fault of a file is reported at once, and nothing is changed before all are mended.
Your own machine config patches lie in \`env/<cluster>/patches/\`: \`all*.yaml\`, \`controlplane*.yaml\`,
\`worker*.yaml\`, \`<machine>*.yaml\`, applied in that order.

This page is printed from the schema: \`npx tsx packages/core/scripts/print-settings.ts\`.

${tables.join('\n')}
## Exit codes

| code | meaning |
| --- | --- |
| ${exitCodes.done} | done, or nothing to do |
| ${exitCodes.failed} | failed; the message says what to do next |
| ${exitCodes.planHasChanges} | a plan (\`--dry-run\`) that has changes |
| ${exitCodes.wrongOption} | wrong option on the command line |
| ${exitCodes.wrongSetting} | wrong setting in the env file |

Nx turns a failure into 1, and into 130 when a stage before the last one failed: a wrapper that needs the
code runs the script itself with \`npx tsx\`.
`
}

function leftOut({ default: standard, otherwise, required }: Setting): string {
  if (required === true) return '**must be set**'
  if (standard !== undefined && standard !== '') return `\`${standard}\``
  return otherwise ?? 'none'
}
