/** The questions that Talos answers for all machines in one process, and how their answers are read. */
import { addressIn, type Role } from '@talosmith/core'
import type { MachineStatus } from './machine-status.ts'
import { parseResources, parseTable, parseVersions } from './talos-output.ts'

/** A question that one talosctl process puts to all machines. */
export interface Question<T> {
  readonly args: readonly string[]
  /** The answer of each machine by its address; `only` is the address when one machine is asked. */
  readonly parse: (output: string, only: string | undefined) => ReadonlyMap<string, T>
  /** What a machine answers that the output leaves out, where the call succeeds. */
  readonly empty?: T
  /** Machines of other roles are not asked. */
  readonly role?: Role
}

/** Questions by the names under which their answers are found. */
export type Questions = Readonly<Record<string, Question<unknown>>>

/** A question for resources of a type; `read` makes the answer of those of one machine. */
export function resourcesOf<Spec, T>(
  type: string,
  read: (specs: readonly Spec[]) => T,
  id?: string,
): Question<T> {
  return {
    args: ['get', type, ...(id === undefined ? [] : [id]), '--output', 'json'],
    parse: (output) => grouped(parseResources<Spec>(output), ({ spec }) => spec, read),
  }
}

/** A question whose answer is a table with a NODE column; `read` makes the answer of the rows of one machine. */
export function tableOf<T>(
  args: readonly string[],
  read: (rows: readonly Readonly<Record<string, string>>[]) => T | undefined,
): Question<T> {
  return {
    args,
    parse: (output) => {
      const rows = parseTable(output).map((row) => ({ node: row['NODE'] ?? '', row }))
      return new Map(
        [...grouped(rows, ({ row }) => row, read)].flatMap(([node, value]) =>
          value === undefined ? [] : [[node, value] as const],
        ),
      )
    },
  }
}

function grouped<From extends { readonly node: string }, Part, T>(
  all: readonly From[],
  part: (one: From) => Part,
  read: (parts: readonly Part[]) => T,
): ReadonlyMap<string, T> {
  const groups = new Map<string, Part[]>()
  for (const one of all) groups.set(one.node, [...(groups.get(one.node) ?? []), part(one)])
  return new Map([...groups].map(([node, parts]) => [node, read(parts)]))
}

/** Which Talos a machine runs. */
export const versionQuestion: Question<string> = { args: ['version'], parse: parseVersions }

/** Where a machine is, and what it lacks to be ready. */
export const machineStatusQuestion = resourcesOf<MachineStatus, MachineStatus>(
  'machinestatus',
  ([status]) => status as MachineStatus,
)

/** The machine config in force. Holds secrets: never print it. */
export const machineConfigQuestion = resourcesOf<string, string>(
  'machineconfig',
  ([config]) => config as string,
  'v1alpha1',
)

/** System extensions of an image, and its schematic. */
export interface Extensions {
  /** Undefined: an image that does not come from a factory. */
  readonly schematic: string | undefined
  /** Names without their owner: 'qemu-guest-agent'. */
  readonly extensions: readonly string[]
}

interface ExtensionSpec {
  readonly metadata?: { readonly name?: string; readonly version?: string }
}

/** Which extensions a machine has: Talos lists the schematic as one of them. */
export const extensionsQuestion: Question<Extensions> = {
  ...resourcesOf<ExtensionSpec, Extensions>('extensions', (specs) => {
    const all = specs.map(({ metadata = {} }) => metadata)
    return {
      schematic: all.find(({ name }) => name === 'schematic')?.version,
      extensions: all.flatMap(({ name }) => (name === 'schematic' ? [] : (name ?? []))),
    }
  }),
  empty: { schematic: undefined, extensions: [] },
}

/** The platform that a machine booted as: 'nocloud'. */
export const platformQuestion = resourcesOf<{ platform?: string }, string | undefined>(
  'platformmetadata',
  ([spec]) => spec?.platform,
)

/** The addresses of a machine's network interfaces, without the prefix length. */
export const addressesQuestion = resourcesOf<{ address: string }, readonly string[]>(
  'addresses',
  (specs) => specs.map(({ address }) => addressIn(address)),
)

/** How full a file system is. */
export interface DiskUse {
  readonly sizeGb: number
  readonly usedGb: number
}

/** Size and use of /var; `talosctl mounts` has no JSON form. */
export const varUseQuestion = tableOf<DiskUse>(['mounts'], (rows) => {
  const row = rows.find((one) => one['MOUNTED ON'] === '/var')
  return row && { sizeGb: Number(row['SIZE(GB)']), usedGb: Number(row['USED(GB)']) }
})
