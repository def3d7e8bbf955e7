/** Whether every package declares what it imports, where it belongs, and nothing else. Pure. */
import { isBuiltin } from 'node:module'
import { isTest, manifestOf, type Manifest, type Source } from './sources.ts'

/** The package behind an import: `@talosmith/core` behind `@talosmith/core/testing`. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function isPackage(specifier: string): boolean {
  return !specifier.startsWith('.') && !isBuiltin(specifier)
}

/** `@types/semver` belongs to whoever imports semver. */
function typed(name: string): string {
  return name.replace(/^@types\/(?:(.+)__)?/, (_, scope) => (scope ? `@${scope}/` : ''))
}

/**
 * What is wrong, as sentences. `isUsed` says of the workspace's own dependencies whether it needs one that
 * nothing imports: a program that targets run, for example.
 */
export function findUndeclared(
  manifests: readonly Manifest[],
  sources: readonly Source[],
  isUsed: (name: string) => boolean,
): string[] {
  return [
    ...manifests.flatMap((manifest) => {
      const own = sources.filter(({ path }) => manifestOf(manifests, path) === manifest)
      return [...judgeImports(manifest, own), ...judgeDeclared(manifest, own, isUsed)]
    }),
    ...judgeVersions(manifests),
  ]
}

function judgeImports(manifest: Manifest, sources: readonly Source[]): string[] {
  const faults = sources.flatMap(({ path, imports }) =>
    imports.filter(isPackage).flatMap((specifier) => {
      const name = packageOf(specifier)
      if (name === manifest.name || name in manifest.dependencies) return []
      if (!(name in manifest.devDependencies))
        return [`${path} imports ${name}, which ${fileOf(manifest)} does not declare`]
      if (manifest.folder === '' || isTest(path)) return []
      return [`${path} imports ${name}, which ${fileOf(manifest)} has for tests only`]
    }),
  )
  return [...new Set(faults)]
}

function judgeDeclared(
  manifest: Manifest,
  sources: readonly Source[],
  isUsed: (name: string) => boolean,
): string[] {
  const importers = (declared: string): string[] =>
    sources
      .filter(({ imports }) =>
        imports.some((name) => isPackage(name) && packageOf(name) === typed(declared)),
      )
      .map(({ path }) => path)
  const { dependencies, devDependencies, folder } = manifest
  const declared = { ...dependencies, ...devDependencies }
  const unused = Object.keys(declared).filter(
    (name) => importers(name).length === 0 && !(folder === '' && isUsed(name)),
  )
  const misplaced =
    folder === ''
      ? []
      : Object.keys(dependencies).filter(
          (name) => !unused.includes(name) && importers(name).every(isTest),
        )
  return [
    ...unused.map((name) => `${fileOf(manifest)} declares ${name}, which nothing of it imports`),
    ...misplaced.map(
      (name) => `${fileOf(manifest)} has ${name} in dependencies, but only tests import it`,
    ),
  ]
}

/** Two versions of one package would both be installed, and what is compiled would find either. */
function judgeVersions(manifests: readonly Manifest[]): string[] {
  const versions = new Map<string, Set<string>>()
  for (const { dependencies, devDependencies } of manifests)
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
      versions.set(name, (versions.get(name) ?? new Set()).add(version))
  return [...versions]
    .filter(([, seen]) => seen.size > 1)
    .map(([name, seen]) => `${name} is declared in several versions: ${[...seen].join(', ')}`)
}

function fileOf({ folder }: Manifest): string {
  return folder === '' ? 'package.json' : `${folder}/package.json`
}
