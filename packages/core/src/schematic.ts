/** Image Factory schematics and their IDs. */
import { createHash } from 'node:crypto'

/** A customization of the Talos image, and its ID at the Image Factory. */
export interface Schematic {
  readonly id: string
  /** Canonical YAML, which is posted to the factory; the ID is its sha256. */
  readonly body: string
}

/**
 * The schematic of a set of extensions and kernel arguments. The ID is the sha256 of the factory's own
 * canonical form (siderolabs/image-factory pkg/schematic): four spaces per level, lists in their order.
 */
export function describeSchematic(
  extensions: readonly string[],
  kernelArguments: readonly string[],
): Schematic {
  const items = (indent: string, values: readonly string[]): string[] =>
    values.map((value) => `${indent}- ${value}`)
  const customization = [
    ...(kernelArguments.length > 0
      ? ['    extraKernelArgs:', ...items('        ', kernelArguments)]
      : []),
    ...(extensions.length > 0
      ? [
          '    systemExtensions:',
          '        officialExtensions:',
          ...items('            ', extensions),
        ]
      : []),
  ]
  const lines =
    customization.length === 0 ? ['customization: {}'] : ['customization:', ...customization]
  const body = `${lines.join('\n')}\n`
  return { id: createHash('sha256').update(body).digest('hex'), body }
}
