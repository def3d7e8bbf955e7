/** Why a machine config was rejected, without the values of the user's patches. */
import { createRedactor } from '@talosmith/core'
import { talosReason } from '@talosmith/clients/talos'
import { parseDocument } from 'yaml'
import { secretsInConfigs } from '../secrets/secret-values.ts'

/** The part of a document that Talos does not know, with its values: Talos' pkg/machinery/config/configloader/internal/decoder. */
const unknownKeys = /unknown keys found during decoding:[ \t]*\n([\s\S]*?)(?:\n[ \t]*(?=\n|$)|$)/g

/**
 * The reason of an error of talosctl or of a machine about configs, without values from `texts`, the patches
 * or configs that it is about: of unknown keys it gives the names only.
 */
export function configReason(error: unknown, texts: readonly string[]): string {
  return withoutValues(talosReason(error, withoutUnknownValues), texts)
}

/** A text of talosctl or of a machine about configs, without values from `texts`. */
export function withoutValues(text: string, texts: readonly string[]): string {
  // Large manifests take seconds.
  if (text.trim() === '') return text
  const redact = createRedactor(secretsInConfigs(texts))
  // The decoder of YAML quotes the beginning of a value: cannot construct !!str `hunter2...` into int
  return explained(redact(withoutUnknownValues(text).replaceAll(/`[^`\n]*`/g, '`...`')))
}

/** With what to write instead, where a text names two forms of one thing (Talos' V1Alpha1ConflictValidate). */
function explained(text: string): string {
  return text.includes('UnattendedInstallConfig config is incompatible')
    ? `${text.trimEnd()}\nTalos 1.14 configures the installation in a document of its own: instead of machine.install, give your patch the document "apiVersion: v1alpha1, kind: UnattendedInstallConfig" with the fields to change`
    : text
}

function withoutUnknownValues(text: string): string {
  return text.replaceAll(unknownKeys, (_, block: string) => `unknown keys: ${keysOf(block)}\n`)
}

/** The paths of the keys of a YAML text, without values; of a text that is cut off, those of its complete lines. */
function keysOf(block: string): string {
  const paths: string[] = []
  const walk = (value: unknown, path: readonly string[]): void => {
    if (Array.isArray(value)) value.forEach((one) => walk(one, path))
    else if (typeof value === 'object' && value !== null && Object.keys(value).length > 0)
      for (const [key, one] of Object.entries(value)) walk(one, [...path, nameOf(key)])
    else if (path.length > 0 && !paths.includes(path.join('.'))) paths.push(path.join('.'))
  }
  try {
    const document = parseDocument(block)
    if (document.errors.length === 0) walk(document.toJS(), [])
  } catch {
    // The names are not known, then.
  }
  return paths.length === 0 ? '(not shown)' : paths.join(', ')
}

/** Without what follows a colon that lacks its space: `password:hunter2`. */
function nameOf(key: string): string {
  return key.replace(/[:=\s][\s\S]*$/, '')
}
