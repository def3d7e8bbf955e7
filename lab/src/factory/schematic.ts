/** Parses schematics as the Image Factory does. */
import { createHash } from 'node:crypto'
import { parse, YAMLError } from 'yaml'

/** A schematic, checked as the Image Factory checks it. */
export interface ParsedSchematic {
  readonly id: string
  readonly canonical: string
  readonly extensions: readonly string[]
  readonly kernelArgs: readonly string[]
}

/** A schematic that the factory rejects with status 400, with the factory's message. */
export class InvalidSchematic extends Error {}

/** Fields of a schematic that the lab can build; the public factory knows more. */
const known: Readonly<Record<string, readonly string[]>> = {
  'schematic.Schematic': ['customization'],
  'schematic.Customization': ['extraKernelArgs', 'systemExtensions'],
  'schematic.SystemExtensions': ['officialExtensions'],
}

/** Reads a schematic strictly: an unknown field is rejected, names of extensions are not checked. */
export function parseSchematic(text: string): ParsedSchematic {
  let document: unknown
  try {
    document = parse(text)
  } catch (error) {
    throw new InvalidSchematic(
      `yaml: ${error instanceof YAMLError ? error.message.split('\n')[0] : 'unreadable'}`,
    )
  }
  const schematic = fields(document, 'schematic.Schematic')
  const customization = fields(schematic['customization'], 'schematic.Customization')
  const system = fields(customization['systemExtensions'], 'schematic.SystemExtensions')
  const kernelArgs = strings(customization['extraKernelArgs'])
  const extensions = strings(system['officialExtensions'])
  const canonical = marshal(kernelArgs, extensions)
  return {
    id: createHash('sha256').update(canonical).digest('hex'),
    canonical,
    extensions,
    kernelArgs,
  }
}

function fields(value: unknown, type: string): Record<string, unknown> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value))
    throw new InvalidSchematic(
      `yaml: construct errors:\n  line 1: cannot construct !!str into ${type}`,
    )
  for (const key of Object.keys(value))
    if (!known[type]?.includes(key))
      throw new InvalidSchematic(
        `yaml: construct errors:\n  line 1: field ${key} not found in type ${type}`,
      )
  return value as Record<string, unknown>
}

function strings(value: unknown): string[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value))
    throw new InvalidSchematic(
      'yaml: construct errors:\n  line 1: cannot construct !!str into []string',
    )
  return value.map(String)
}

function marshal(kernelArgs: readonly string[], extensions: readonly string[]): string {
  const list = (indent: number, items: readonly string[]): string =>
    items.map((item) => `${' '.repeat(indent)}- ${item}\n`).join('')
  if (kernelArgs.length + extensions.length === 0) return 'customization: {}\n'
  return [
    'customization:\n',
    kernelArgs.length > 0 ? `    extraKernelArgs:\n${list(8, kernelArgs)}` : '',
    extensions.length > 0
      ? `    systemExtensions:\n        officialExtensions:\n${list(12, extensions)}`
      : '',
  ].join('')
}
