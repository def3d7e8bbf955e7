/** The types of settings: each parses the text of an env file and reports what is allowed. */
import ipaddr from 'ipaddr.js'
import semver from 'semver'
import * as z from 'zod'
import { isIpv4 } from '../addresses.ts'
import { quoted } from './errors.ts'

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

/**
 * Words separated by commas or white space. The error quotes each invalid one, with what `suggest` returns for it.
 */
export const list = (
  item: z.ZodType<string, string>,
  allowed: string,
  separator = /[\s,]+/,
  suggest: (word: string) => string | undefined = () => undefined,
) =>
  z
    .string()
    .transform((value) => value.split(separator).filter((word) => word !== ''))
    .superRefine((words, ctx) => {
      const wrong = words.filter((word) => !item.safeParse(word).success)
      const parts = wrong.map((word) => {
        const meant = suggest(word)
        return meant === undefined ? `correct ${quoted(word)}` : `for ${quoted(word)} ${meant}`
      })
      if (wrong.length > 0)
        ctx.addIssue({ code: 'custom', message: `${allowed}: ${parts.join(', ')}` })
    })

/**
 * An absolute path without characters that are special in XML, virsh or a shell, and without `..`: what such a
 * path names depends on links.
 */
export const absolutePath = text(
  'an absolute path of letters, digits and . _ - + @ : /, without ..',
  /^\/(?!(?:.*\/)?\.\.?(?:\/|$))[\w.+@:/-]*$/,
).transform((value) => value.replace(/\/{2,}/g, '/'))

/** The absolute path of a folder of its own, not of the whole file system; a trailing slash is removed. */
export const folderPath = absolutePath
  .refine((value) => value !== '/', { error: 'a folder of its own such as /var/lib/talosmith' })
  .transform((value) => value.replace(/\/$/, ''))

/** The absolute path of a file. */
export const filePath = absolutePath.refine((value) => !value.endsWith('/'), {
  error: 'the path of a file such as /var/lib/libvirt/images/talos.raw',
})

/** A DNS label, short enough for node names that begin with it. */
export const clusterName = text(
  'lower-case letters, digits and hyphens, starting with a letter, at most 40',
  /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
)

/** The name of a libvirt pool, libvirt network or bridge. */
export const plainName = (allowed: string) => text(allowed, /^[A-Za-z0-9][\w.-]*$/)

/** Without leading zeros, which some programs read as octal. */
function isUnambiguous(value: string): boolean {
  return isIpv4(value) && !/(?:^|\.)0\d/.test(value)
}

/** An IPv4 address. */
export const ipv4 = z
  .string()
  .refine(isUnambiguous, { error: 'an IPv4 address such as 10.0.0.10, without leading zeros' })

/** An IPv4 network in CIDR notation, written as its first address. */
export const ipv4Cidr = z.string().superRefine((value, ctx) => {
  const fail = (message: string): void => ctx.addIssue({ code: 'custom', message })
  if (
    !/^\d+(?:\.\d+){3}\/\d+$/.test(value) ||
    !ipaddr.IPv4.isValidCIDR(value) ||
    /(?:^|\.)0\d/.test(value)
  )
    return fail('an IPv4 network such as 10.0.0.0/24')
  const network = ipaddr.IPv4.networkAddressFromCIDR(value).toString()
  const prefix = value.slice(value.indexOf('/'))
  if (Number(prefix.slice(1)) > 29)
    return fail('a network of at least eight addresses (/29 or wider)')
  if (!value.startsWith(`${network}/`))
    fail(`a network, not an address in it: write ${network}${prefix}`)
})

/** A DNS label: RFC 1123, section 2.1. */
const dnsLabel = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/
/** A last label that a URL takes for part of an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker */
const numericLabel = /^(?:\d+|0x[0-9a-f]*)$/i

/** A host name or an IPv4 address, without scheme, port or path. */
export const hostName = z.string().superRefine((value, ctx) => {
  const fail = (message: string): void => ctx.addIssue({ code: 'custom', message })
  const labels = value.split('.')
  if (value.length > 253 || !labels.every((label) => dnsLabel.test(label)))
    return fail(
      'a host name or an IPv4 address, without scheme or port; a name has letters, digits, hyphens and dots',
    )
  if (numericLabel.test(labels.at(-1) ?? '') && !isUnambiguous(value))
    fail('an IPv4 address such as 10.0.0.10, and a host name does not end in a number')
})

/** The API's host name or IPv4 address, and its port where a load balancer has another than 6443. */
export const apiEndpoint = z.string().superRefine((value, ctx) => {
  const [, host = '', port] = /^([^:]*)(?::(.*))?$/.exec(value) ?? []
  const number = /^[1-9]\d{0,4}$/.test(port ?? '6443') ? Number(port ?? 6443) : 0
  if (number < 1 || number > 65_535)
    return ctx.addIssue({
      code: 'custom',
      message:
        'a host name or an IPv4 address, or one with the port of a load balancer (api.home.lan:443)',
    })
  for (const { message } of hostName.safeParse(host).error?.issues ?? [])
    ctx.addIssue({
      code: 'custom',
      message: message.replace('scheme or port', 'scheme'),
    })
})

/**
 * An http or https address; a trailing slash is removed. A user and a password in it can't work: fetch refuses
 * them (https://fetch.spec.whatwg.org/#dom-request), and machines pull the installer without them.
 */
export const httpUrl = z
  .string()
  .superRefine((value, ctx) => {
    const fail = (message: string): void => ctx.addIssue({ code: 'custom', message })
    if (/^https?:\/\/[^/?#]*@/.test(value))
      return fail(
        'an address without user and password, which neither downloads nor machines can use; write https://<host>',
      )
    if (!/^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/.test(value) || !URL.canParse(value))
      fail('an address such as https://factory.talos.dev')
  })
  .transform((value) => value.replace(/\/+$/, ''))

/** An HTTP proxy, with user and password if it needs them: curl's --proxy. */
export const proxyUrl = text(
  'an address such as http://proxy.lan:3128, or http://user:password@proxy.lan:3128',
  /^https?:\/\/(?:[^\s/?#@]+@)?[\w.-]+(?::\d{1,5})?\/?$/,
).refine((value) => URL.canParse(value), { error: 'an address with a port from 1 to 65535' })

/** Where a Helm chart comes from; a trailing slash is removed. */
export const chartSource = text(
  'a chart repository (https://...), the address of a .tgz, oci://..., or an absolute path, without user, password or ..',
  /^(?!.*\/\.\.(?:\/|$))(?:(?:https?|oci):\/\/[\w.-]+(?::\d+)?(?:\/[\w.~+@:%-]*)*|\/[\w.+@:/-]+)$/,
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

/**
 * A disk of the machines. Each has one, on virtio: /dev/vda, or udev's link to it by its path. It has no serial
 * number, so no link by ID.
 */
export const installDisk = text(
  'a disk of the machines: write /dev/vda, their only disk',
  /^\/dev\/(?:vda|disk\/by-path\/(?:virtio-)?pci-[\w:.-]+)$/,
)

/** sha256 in hexadecimal. */
export const sha256 = z
  .string()
  .refine((value) => /^[0-9a-f]{64}$/i.test(value), { error: '64 hexadecimal digits' })
  .transform((value) => value.toLowerCase())

/** The name of a system extension at the Image Factory. */
export const extensionName = text('', /^[a-z0-9][\w.-]*\/[a-z0-9][\w.-]*$/)

/** What was probably meant by a word that is not an extension's name; nearly all are of owner siderolabs. */
export function suggestExtension(word: string): string | undefined {
  const name = /^(?:.*\/)?([a-z0-9][\w.-]*)(?:[:@].*)?$/i.exec(word)?.[1]?.toLowerCase()
  if (name === undefined) return undefined
  const owner = /([a-z0-9][\w-]*)\/[^/]*$/i.exec(word)?.[1]?.toLowerCase() ?? 'siderolabs'
  const why = word.includes('/') ? ', without registry and version' : ', with its owner'
  return `write ${owner}/${name}${why}`
}

/** A kernel argument that YAML writes without quotes, so that the schematic ID can be computed here. */
export const kernelArgument = text('', /^[A-Za-z_-][^\s"'#\\`]*[^\s"'#:\\`]$/)

/** A mount option. */
export const mountOption = text('', /^[a-z][\w]*(?:=[\w./:-]+)?$/)

/** File permissions as chmod takes them, in octal, with a leading zero as YAML and csi-driver-nfs write them. */
export const permissions = text('permissions in octal such as 0777', /^0?[0-7]{3}$/)

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
