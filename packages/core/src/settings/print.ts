/** Prints env/example.env and docs/configuration.md from the settings schema. */
import { exitCodes } from '../problem.ts'
import { settingGroups, type Setting } from './schema.ts'

const groups = Object.entries(settingGroups) as [string, Record<string, Setting>][]

/** Hosts of a cluster that differ, as both files show them; a test reads it. */
export const hostsExample = [
  'LIBVIRT_URI=big=qemu+ssh://root@kvm1/system, small=qemu+ssh://root@kvm2/system',
  'NETWORK_BRIDGE=br0',
  'HOST_BIG_STORAGE_POOL=nvme',
  'HOST_BIG_WEIGHT=4',
  'HOST_SMALL_NETWORK_BRIDGE=vmbr0',
  'PLACE_W1=small',
] as const

/** env/example.env: every setting with its description; optional ones are commented out. */
export function printExampleEnv(): string {
  const blocks = groups.map(([title, settings]) => [
    `# --- ${title} `.padEnd(80, '-'),
    ...Object.entries(settings).flatMap(([name, setting]) => ['', ...exampleOf(name, setting)]),
    ...(title === 'Host'
      ? [
          '',
          '# Hosts that differ: names, settings of their own, shares of the machines (docs/configuration.md).',
          ...hostsExample.map((line) => `#${line}`),
        ]
      : []),
    '',
  ])
  return [
    '# A Talosmith cluster. Copy this file to env/<cluster>.env, edit it, then: npx nx run cluster:up',
    '# Generated from the settings schema (packages/core/scripts/print-settings.ts).',
    '',
    ...blocks.flat(),
  ].join('\n')
}

function exampleOf(
  name: string,
  { about, default: standard, otherwise, example, required }: Setting,
): string[] {
  const derived = standard === undefined || standard === '' ? otherwise : undefined
  const note = derived === undefined ? about : `${about} Default: ${derived}.`
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
      '| setting | default | description |',
      '| --- | --- | --- |',
      ...Object.entries(settings).map(
        ([name, setting]) => `| \`${name}\` | ${leftOut(setting)} | ${setting.about} |`,
      ),
      '',
      ...(title === 'Host' ? [hostsThatDiffer] : []),
    ].join('\n'),
  )
  return `# Configuration

One file, \`env/<cluster>.env\`, describes a cluster. \`CLUSTER=<cluster>\` (or \`--cluster\`) selects the file;
without it, the only file of yours in \`env/\` is used. All errors of a file are reported at once, each with its line,
and nothing is changed until they are fixed.

Each line is blank, a comment, or \`KEY=VALUE\`, optionally after \`export\`; any other line is an error. A comment
after a value begins with a space and \`#\`. Put a value that contains \`#\` in single quotes, as a whole. Nothing is
expanded: neither \`$HOME\` nor \`\\n\`. An environment variable overrides the setting in the file, and each run lists
once which settings come from the environment.

Put your own machine config patches into \`env/<cluster>/patches/\`: \`all*\`, \`controlplane*\`, \`worker*\` and
\`<machine>*\`, applied in that order. The word ends at \`.\`, \`-\` or \`_\`, and the name ends with \`.yaml\`, \`.yml\` or
\`.json\`: \`all_cilium.yaml\`, \`worker-gpu.yml\`, \`home-w1.yaml\`. A patch that applies to no machine, a subfolder, and a
folder that is gone since the last run are errors. Names that begin with a dot or have another ending are ignored.

Put Kubernetes manifests that the cluster needs to start, such as those of a CNI, into \`env/<cluster>/manifests/\`
([operations](operations.md#a-cni-of-your-own)).

This page is generated from the schema: \`npx tsx packages/core/scripts/print-settings.ts\`.

${tables.join('\n')}
## Exit codes

| code | meaning |
| --- | --- |
| ${exitCodes.done} | done, or nothing to do |
| ${exitCodes.failed} | failed; the message explains what to do next |
| ${exitCodes.planHasChanges} | the plan (\`--dry-run\`) has changes |
| ${exitCodes.wrongOption} | wrong option on the command line |
| ${exitCodes.wrongSetting} | wrong setting in the env file |

Nx replaces the exit code of a failure with 1, or with 130 when a stage before the last one failed. A wrapper
that needs the exit code must run the script itself with \`npx tsx\`.
`
}

const hostsThatDiffer = `### Hosts that differ

Give all hosts of \`LIBVIRT_URI\` names (lower-case letters, digits, \`-\` and \`_\`), or none:

\`\`\`env
${hostsExample.join('\n')}
\`\`\`

| setting | description |
| --- | --- |
| \`HOST_<NAME>_STORAGE_POOL\` | The storage pool of this host. |
| \`HOST_<NAME>_SEED_ISO_DIR\` | The folder of seed ISOs of this host. |
| \`HOST_<NAME>_NETWORK_BRIDGE\`, \`HOST_<NAME>_NETWORK_NAME\` | The bridge or libvirt network of this host; it must be the same network, \`NETWORK_CIDR\`, as on the others. |
| \`HOST_<NAME>_WEIGHT\` | Its share of the machines (1 if left out), for example its memory in GiB; 0: it gets no new ones. |
| \`PLACE_CP1\`, \`PLACE_W1\` ... | The host of a machine that does not exist yet: of \`<cluster>-cp1\`, \`<cluster>-w1\`. |

\`<NAME>\` is the name in upper case, with \`_\` for \`-\`. What a host does not set comes from the general setting. \`proxy\` and
\`shell\` are no names.

A new control plane goes to the host with the fewest control planes; otherwise a machine goes where the number of
machines, divided by the weight, is smallest. Machines that exist stay where they are when hosts or weights are added, reordered or changed ([operations](operations.md#several-hosts)).
\`NETWORK_BRIDGE\` may be left out if each host has a network of its own.
`

function leftOut({ default: standard, otherwise, required }: Setting): string {
  if (required === true) return '**must be set**'
  if (standard !== undefined && standard !== '') return `\`${standard}\``
  return otherwise ?? 'none'
}
