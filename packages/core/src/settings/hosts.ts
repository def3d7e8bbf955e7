/** The KVM hosts that the settings describe: their names, their own settings, and where new machines go. */
import { nearest } from '../did-you-mean.ts'
import type { GivenSettings } from './complete.ts'
import { quoted, type SettingError } from './errors.ts'
import { maxControlPlanes } from '../nodes.ts'
import { allSettings, type Settings } from './schema.ts'

/** The settings that a host may have of its own. */
export type OwnSettings = Pick<
  Settings,
  'STORAGE_POOL' | 'SEED_ISO_DIR' | 'NETWORK_BRIDGE' | 'NETWORK_NAME'
>

/** One host of LIBVIRT_URI. */
export interface HostSettings {
  /** Undefined: LIBVIRT_URI has no names. */
  readonly name: string | undefined
  /** Its share of the machines; 0: it gets no new ones. */
  readonly weight: number
  /** Complete, so that one host's never apply to another; undefined: no host has any of its own. */
  readonly own: OwnSettings | undefined
}

/** The keys that a host may have: HOST_<NAME>_<key>. */
export const hostKeys = [
  'STORAGE_POOL',
  'SEED_ISO_DIR',
  'NETWORK_BRIDGE',
  'NETWORK_NAME',
  'WEIGHT',
] as const

const hostKey = new RegExp(`^HOST_(.+)_(${hostKeys.join('|')})$`)
const placeKey = /^PLACE_((?:CP|W)[1-9]\d{0,2})$/
const maxWeight = 1_000_000
/** HOST_PROXY is a setting, HOST_SHELL a code: a host of that name would be read for them. */
const reserved = ['proxy', 'shell']

interface Named {
  readonly name: string | undefined
  readonly uri: string
}

/** An entry of LIBVIRT_URI: a URI, or `<name>=<URI>`. No URI has a `=` before its scheme ends. */
function entryOf(word: string): Named {
  const [, name, uri = word] = /^([^:/?#=]*)=(.*)$/s.exec(word) ?? []
  return { name, uri }
}

/** HOST_BIG_ for the host `big`. */
function prefixOf(name: string): string {
  return `HOST_${name.toUpperCase().replaceAll('-', '_')}_`
}

/** The keys that the hosts of LIBVIRT_URI, as it is written, make possible beside the fixed ones. */
export function keysOfHosts(libvirtUri: string): string[] {
  const names = libvirtUri.split(/[\s,]+/).flatMap((word) => entryOf(word).name ?? [])
  if (names.length === 0) return []
  const machines = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `PLACE_${prefix}${index + 1}`)
  return [
    ...names.flatMap((name) => hostKeys.map((key) => `${prefixOf(name)}${key}`)),
    ...machines('CP', maxControlPlanes),
    ...machines('W', 100),
  ]
}

/** Whether a key has the form of one for a host or for the place of a machine. */
export function isHostKey(key: string): boolean {
  return hostKey.test(key) || placeKey.test(key)
}

/**
 * Takes the names out of LIBVIRT_URI, and reads the keys of hosts and places in `texts`. The result of settings with
 * errors may be incomplete.
 */
export function readHosts(
  given: GivenSettings,
  texts: ReadonlyMap<string, string>,
  errors: SettingError[],
): GivenSettings {
  const entries = given.LIBVIRT_URI?.map(entryOf)
  if (entries === undefined) return given
  checkNames(entries, errors)
  const values = new Map<string, string | number>()
  const names = entries.flatMap(({ name }) => name ?? [])
  for (const [key, written] of texts) {
    const text = written.trim()
    if (!isHostKey(key) || text === '') continue
    const [, host, setting] = hostKey.exec(key) ?? []
    if (host === undefined) continue
    const value = names.some((name) => key === `${prefixOf(name)}${setting}`)
      ? parse(setting as (typeof hostKeys)[number], text)
      : { problem: unknownHost(host, setting ?? '', names) }
    if ('problem' in value) errors.push({ name: key, text: value.problem })
    else values.set(key, value.value)
  }
  const hasOwn = [...values.keys()].some((key) => !key.endsWith('_WEIGHT'))
  const hosts = entries.map(({ name }): HostSettings => {
    const of = (key: string): string | number | undefined =>
      name === undefined ? undefined : values.get(`${prefixOf(name)}${key}`)
    const network = { bridge: of('NETWORK_BRIDGE'), name: of('NETWORK_NAME') }
    const hasNetwork = network.bridge !== undefined || network.name !== undefined
    if (network.bridge !== undefined && network.name !== undefined)
      errors.push({
        name: `${prefixOf(name ?? '')}NETWORK_BRIDGE`,
        text: `"${network.bridge}" and ${prefixOf(name ?? '')}NETWORK_NAME "${network.name}" are both set; keep one`,
        others: [`${prefixOf(name ?? '')}NETWORK_NAME`],
      })
    return {
      name,
      weight: Number(of('WEIGHT') ?? 1),
      own: hasOwn
        ? ({
            STORAGE_POOL: of('STORAGE_POOL') ?? given.STORAGE_POOL,
            SEED_ISO_DIR: of('SEED_ISO_DIR') ?? given.SEED_ISO_DIR,
            NETWORK_BRIDGE: hasNetwork ? network.bridge : given.NETWORK_BRIDGE,
            NETWORK_NAME: hasNetwork ? network.name : given.NETWORK_NAME,
          } as OwnSettings)
        : undefined,
    }
  })
  checkWeights(hosts, errors)
  return {
    ...given,
    LIBVIRT_URI: entries.map(({ uri }) => uri),
    hosts,
    places: readPlaces(texts, names, errors),
  }
}

const nameRule = 'lower-case letters, digits, - and _, beginning with a letter'

function checkNames(entries: readonly Named[], errors: SettingError[]): void {
  const wrong = (text: string): void => {
    errors.push({ name: 'LIBVIRT_URI', text })
  }
  const unnamed = entries.filter(({ name }) => name === undefined)
  if (unnamed.length > 0 && unnamed.length < entries.length)
    wrong('names some of its hosts; name all of them (<name>=<URI>), or none')
  const prefixes = new Map<string, string>()
  for (const { name } of entries) {
    if (name === undefined) continue
    const other = prefixes.get(prefixOf(name))
    if (!/^[a-z][a-z0-9_-]*$/.test(name)) wrong(`${quoted(name)} is not a name: ${nameRule}`)
    else if (reserved.includes(name)) wrong(`${quoted(name)} is reserved; choose another name`)
    else if (other !== undefined)
      wrong(`has two hosts named ${[...new Set([other, name])].join(' and ')}; choose other names`)
    prefixes.set(prefixOf(name), name)
  }
}

function checkWeights(hosts: readonly HostSettings[], errors: SettingError[]): void {
  const [first] = hosts
  if (first?.name !== undefined && hosts.every(({ weight }) => weight === 0))
    errors.push({
      name: `${prefixOf(first.name)}WEIGHT`,
      text: 'every host has the weight 0, so no machine could be created; give one of them another',
    })
}

function parse(
  key: (typeof hostKeys)[number],
  text: string,
): { readonly value: string | number } | { readonly problem: string } {
  if (key === 'WEIGHT')
    return /^\d{1,7}$/.test(text) && Number(text) <= maxWeight
      ? { value: Number(text) }
      : { problem: `${quoted(text)} is not a whole number from 0 to ${maxWeight}` }
  const { data, error } = allSettings[key].type.safeParse(text)
  return error === undefined
    ? { value: data as string }
    : {
        problem: `${quoted(text)} is not ${error.issues.map(({ message }) => message).join('; ')}`,
      }
}

function unknownHost(host: string, setting: string, names: readonly string[]): string {
  if (names.length === 0)
    return `LIBVIRT_URI has no host with a name; write LIBVIRT_URI=${host.toLowerCase()}=<URI>, or remove the line`
  const meant = nearest(host.toLowerCase(), names)
  const known = `LIBVIRT_URI has no host ${quoted(host.toLowerCase())}`
  return meant === undefined
    ? `${known}, but ${names.join(', ')}`
    : `${known}; did you mean ${prefixOf(meant)}${setting}?`
}

/** The hosts, by index, that PLACE_<machine> assigns machines to, by the end of their names: cp1, w2. */
function readPlaces(
  texts: ReadonlyMap<string, string>,
  names: readonly string[],
  errors: SettingError[],
): Readonly<Record<string, number>> {
  const places: Record<string, number> = {}
  for (const [key, written] of texts) {
    const machine = placeKey.exec(key)?.[1]
    const name = written.trim()
    if (machine === undefined || name === '') continue
    const index = names.indexOf(name)
    const meant = nearest(name, names)
    if (index !== -1) places[machine.toLowerCase()] = index
    else
      errors.push({
        name: key,
        text:
          names.length === 0
            ? 'LIBVIRT_URI has no host with a name; write LIBVIRT_URI=<name>=<URI>, or remove the line'
            : `${quoted(name)} is no host of LIBVIRT_URI; ${meant === undefined ? `its hosts are ${names.join(', ')}` : `did you mean ${meant}?`}`,
      })
  }
  return places
}
