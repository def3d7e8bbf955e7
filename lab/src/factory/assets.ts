/** The images and schematics of the lab's factory. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { local } from '@talosmith/core'
import { buildRawImage, buildUki, type GuestParts } from '../guest/image.ts'
import { cacheFolder } from '../layout.ts'
import { brokenVersion, extensions, offeredVersion } from './catalogue.ts'
import { parseSchematic, type ParsedSchematic } from './schematic.ts'

/** A request that can't be served, with the factory's status code and message. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The command of each compression, with fast levels: clients wait for the build. */
const compressors: Readonly<Record<string, readonly string[]>> = {
  zst: ['zstd', '-q', '-3', '-T0', '-k', '-o'],
  xz: ['xz', '-0', '-T0', '-c'],
  gz: ['gzip', '-1', '-c'],
}

/** Builds each requested image once: a second request waits for the first. */
export class Assets {
  readonly #parts: GuestParts
  readonly #url: string
  readonly #schematics: string
  readonly #images: string
  readonly #building = new Map<string, Promise<string>>()

  constructor(parts: GuestParts, url: string, stateFolder: string) {
    this.#parts = parts
    this.#url = url
    this.#schematics = join(stateFolder, 'schematics')
    // Images are stored by the guest program and the kernel that they contain.
    this.#images = join(
      cacheFolder,
      'images',
      basename(parts.initramfs, '.cpio.zst').replace('initramfs-', ''),
    )
    mkdirSync(this.#schematics, { recursive: true })
  }

  addSchematic(text: string): ParsedSchematic {
    const schematic = parseSchematic(text)
    writeFileSync(join(this.#schematics, schematic.id), schematic.canonical)
    return schematic
  }

  schematic(id: string): ParsedSchematic {
    const path = join(this.#schematics, basename(id))
    if (!existsSync(path)) throw new Refused(404, `schematic ID "${id}" not found`)
    return parseSchematic(readFileSync(path, 'utf8'))
  }

  /** The path of a disk image or kernel image, built on first request. */
  async image(id: string, versionText: string, file: string): Promise<string> {
    const schematic = this.schematic(id)
    const version = this.checkVersion(schematic, versionText)
    if (file === 'nocloud-amd64-uki.efi')
      return this.#once(schematic, version, file, (folder) => this.#uki(schematic, version, folder))
    const [, suffix] = /^nocloud-amd64\.raw(?:\.(zst|xz|gz))?$/.exec(file) ?? []
    if (
      !file.startsWith('nocloud-amd64.raw') ||
      (suffix === undefined && file !== 'nocloud-amd64.raw')
    )
      throw new Refused(400, `error parsing profile from path: invalid profile path: "${file}"`)
    return this.#once(schematic, version, file, async (folder) => {
      const raw = await buildRawImage(await this.#uki(schematic, version, folder), folder)
      return suffix === undefined ? raw : compress(raw, suffix)
    })
  }

  /** The version with `v`, when it and all of the schematic's extensions are offered. */
  checkVersion({ extensions: requested }: ParsedSchematic, versionText: string): string {
    const version = offeredVersion(versionText)
    if (version === undefined) throw new Refused(404, `version ${versionText} is not available`)
    for (const name of requested)
      if (!extensions.some((extension) => extension.name === name))
        throw new Refused(
          400,
          `error enhancing profile from schematic: official extension "${name}" is not available for Talos version ${version}`,
        )
    return version
  }

  #uki(schematic: ParsedSchematic, version: string, folder: string): Promise<string> {
    const facts = {
      version,
      schematic: schematic.id,
      extensions: extensions
        .filter(({ name }) => schematic.extensions.includes(name))
        .map(({ name, version: number }) => ({ name, version: number })),
      kernelArgs: schematic.kernelArgs,
      factory: this.#url,
      broken: version === brokenVersion,
    }
    return buildUki(facts, this.#parts, folder)
  }

  #once(
    schematic: ParsedSchematic,
    version: string,
    file: string,
    build: (folder: string) => Promise<string>,
  ): Promise<string> {
    const folder = join(this.#images, `${version}-${schematic.id}`)
    mkdirSync(folder, { recursive: true })
    // All files of one folder share their parts: one build at a time.
    const before = this.#building.get(folder) ?? Promise.resolve('')
    const building = before.catch(() => '').then(() => build(folder))
    this.#building.set(folder, building)
    return building.catch((error: unknown) => {
      throw error instanceof Refused
        ? error
        : new Refused(500, `internal server error: ${dirname(file)} ${String(error)}`)
    })
  }
}

async function compress(raw: string, suffix: string): Promise<string> {
  const path = `${raw}.${suffix}`
  if (existsSync(path)) return path
  const temporary = `${path}.${process.pid}.tmp`
  const words = compressors[suffix] ?? []
  if (words.includes('-o')) await local.$`${words} ${temporary} ${raw}`
  else await local.$`${words} ${raw} > ${temporary}`
  renameSync(temporary, path)
  return path
}
