/** The types of settings: each parses the text of an env file and reports what is allowed. */
import ipaddr from 'ipaddr.js'
import semver from 'semver'
import * as z from 'zod'

const text = (allowed: string, pattern: RegExp) => z.string().regex(pattern, { error: allowed })

/** An integer within bounds. */
export const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .refine((value) => /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max, {
      error: `a whole number from ${min} to ${max}`,
    })
    .transform(Number)

/** `true` or `false`, nothing else. */
export const flag = z
  .enum(['true', 'false'], { error: 'true or false' })
  .transform((value) => value === 'true')

/** One of a few words. */
export const oneOf = <const T extends readonly [string, ...string[]]>(...words: T) =>
  z.enum(words, { error: `one of ${words.join(', ')}` })

/** Words separated by commas or white space. */
export const list = (item: z.ZodType<string, string>, allowed: string, separator = /[\s,]+/) =>
  z
    .string()
    .transform((value) => value.split(separator).filter((word) => word !== ''))
    .refine((words) => words.every((word) => item.safeParse(word).success), { error: allowed })

/** An absolute path without characters that are special in XML, virsh or a shell. */
export const absolutePath = text(
  'an absolute path of letters, digits and . _ - + @ : /',
  /^\/[\w.+@:/-]*$/,
)

/** A DNS label, short enough for node names that begin with it. */
export const clusterName = text(
  'lower-case letters, digits and hyphens, starting with a letter, at most 40',
  /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
)

/** The name of a libvirt pool, libvirt network or bridge. */
export const plainName = (allowed: string) => text(allowed, /^[A-Za-z0-9][\w.-]*$/)

/** An IPv4 address. */
export const ipv4 = z.string().refine((value) => ipaddr.IPv4.isValidFourPartDecimal(value), {
  error: 'an IPv4 address such as 10.0.0.10',
})

/** An IPv4 network in CIDR notation, written as its first address. */
export const ipv4Cidr = z.string().superRefine((value, ctx) => {
  const fail = (message: string): void => ctx.addIssue({ code: 'custom', message })
  if (!/^[\d.]+\/\d+$/.test(value) || !ipaddr.IPv4.isValidCIDR(value))
    return fail('an IPv4 network such as 10.0.0.0/24')
  const network = ipaddr.IPv4.networkAddressFromCIDR(value).toString()
  const prefix = value.slice(value.indexOf('/'))
  if (Number(prefix.slice(1)) > 29)
    return fail('a network of at least eight addresses (/29 or wider)')
  if (!value.startsWith(`${network}/`))
    fail(`a network, not an address in it: write ${network}${prefix}`)
})

/** A host name or an IPv4 address, without scheme, port or path. */
export const hostName = text(
  'a host name or an IPv4 address, without scheme or port',
  /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/,
)

/** An http or https address; a trailing slash is removed. */
export const httpUrl = z
  .string()
  .refine((value) => /^https?:\/\/[^\s/?#]+(?:\/[^\s?#]*)?$/.test(value) && URL.canParse(value), {
    error: 'an address such as https://factory.talos.dev',
  })
  .transform((value) => value.replace(/\/+$/, ''))

/** Where a Helm chart comes from; a trailing slash is removed. */
export const chartSource = text(
  'a chart repository (https://...), the address of a .tgz, oci://..., or an absolute path',
  /^(?:(?:https?|oci):\/\/[\w.-]+(?::\d+)?(?:\/[\w.~+@:%-]*)*|\/[\w.+@:/-]+)$/,
).transform((value) => value.replace(/\/+$/, ''))

/** A full version, with or without `v`; the value has it. */
export const version = z
  .string()
  .refine((value) => semver.valid(value) !== null, { error: 'a full version such as v1.13.9' })
  .transform((value) => `v${semver.clean(value)}`)

/** The first five bytes of a MAC address: unicast, locally administered or QEMU's own 52:54:00. */
export const macPrefix = z
  .string()
  .refine((value) => /^[0-9a-f][26ae0](?::[0-9a-f]{2}){4}$/i.test(value), {
    error: 'five bytes of a unicast MAC address such as 52:54:00:1a:2b',
  })
  .transform((value) => value.toLowerCase())

/** A block device of the guest. */
export const blockDevice = text('a device of the guest such as /dev/vda', /^\/dev\/[a-z][\w/-]*$/)

/** sha256 in hexadecimal. */
export const sha256 = z
  .string()
  .refine((value) => /^[0-9a-f]{64}$/i.test(value), { error: '64 hexadecimal digits' })
  .transform((value) => value.toLowerCase())

/** The name of a system extension at the Image Factory. */
export const extensionName = text('', /^[a-z0-9][\w.-]*\/[a-z0-9][\w.-]*$/)

/** A kernel argument that YAML writes without quotes, so that the schematic ID can be computed here. */
export const kernelArgument = text('', /^[A-Za-z_-][^\s"'#\\`]*[^\s"'#:\\`]$/)

/** A mount option. */
export const mountOption = text('', /^[a-z][\w]*(?:=[\w./:-]+)?$/)

/** A libvirt CPU model's name, or one of libvirt's modes. */
export const cpuModel = text(
  'a libvirt CPU mode or model such as host-passthrough, max or Skylake-Server',
  /^[A-Za-z0-9][\w.-]*$/,
)

/** A duration such as 15m or 90s; the value is in seconds. */
export const duration = z
  .string()
  .refine((value) => /^[1-9]\d{0,4}[sm]$/.test(value), { error: 'a time such as 15m or 90s' })
  .transform((value) => Number(value.slice(0, -1)) * (value.endsWith('m') ? 60 : 1))

/** A command line for the shell of the operator's machine. */
export const commandLine = text('a command on one line', /^[^\n\r\0]+$/)
