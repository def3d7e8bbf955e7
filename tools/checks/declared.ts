/** Checks that every package declares exactly what it imports, in the right place. Pure. */
import { isBuiltin } from 'node:module'
import { isTest, manifestOf, type Manifest, type Source } from './sources.ts'

/** The package behind an import: `@talosmith/core` behind `@talosmith/core/testing`. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function isPackage(specifier: string): boolean {
  return !specifier.startsWith('.') && !isBuiltin(specifier)
}

/** The package that a package of types is for: semver for `@types/semver`. */
function typed(name: string): string {
  return name.replace(/^@types\/(?:(.+)__)?/, (_, scope) => (scope ? `@${scope}/` : ''))
}

/**
 * The problems, as sentences. `isUsed` tells whether the workspace needs a dependency that nothing imports:
 * a program that targets run, for example.
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
  const problems = sources.flatMap(({ path, imports }) =>
    imports.filter(isPackage).flatMap((specifier) => {
      const name = packageOf(specifier)
      if (name === manifest.name || name in manifest.dependencies) return []
      if (!(name in manifest.devDependencies))
        return [`${path} imports ${name}, which ${fileOf(manifest)} does not declare`]
      if (manifest.folder === '' || isTest(path)) return []
      return [`${path} imports ${name}, which ${fileOf(manifest)} has for tests only`]
    }),
  )
  return [...new Set(problems)]
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

/** Two versions of one package would both be installed, and a compiled program could load either. */
function judgeVersions(manifests: readonly Manifest[]): string[] {
  const versions = new Map<string, Set<string>>()
  for (const { dependencies, devDependencies } of manifests)
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
      versions.set(name, (versions.get(name) ?? new Set()).add(version))
  return [...versions]
    .filter(([, declared]) => declared.size > 1)
    .map(
      ([name, declared]) => `${name} is declared in several versions: ${[...declared].join(', ')}`,
    )
}

function fileOf({ folder }: Manifest): string {
  return folder === '' ? 'package.json' : `${folder}/package.json`
}
