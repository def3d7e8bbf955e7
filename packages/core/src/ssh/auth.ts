/** The keys to offer to a host. */
import { readFile } from 'node:fs/promises'
import ssh2 from 'ssh2'
import { Problem } from '../problem.ts'
import type { SshSettings } from './config.ts'

/** A key to offer to a host, and its name in errors. */
interface Offer {
  readonly name: string
  readonly method: ssh2.PublicKeyAuthMethod | ssh2.AgentAuthMethod
}

/** The keys to offer to a host one after the other, and the Problem when none is accepted. */
export interface Authentication {
  /** For ssh2's authHandler. */
  readonly next: (
    left: unknown,
    partial: unknown,
    give: (method: Offer['method'] | false) => void,
  ) => void
  /** The Problem of a host that accepted none of them. */
  readonly refused: (name: string, cause: unknown) => Problem
}

/**
 * Collects the keys for a host: the configured files, the agent's keys, then OpenSSH's default files. Throws
 * SSH_KEY_UNREADABLE when the keyfile of the URI can't be used.
 */
export async function collectKeys(settings: SshSettings): Promise<Authentication> {
  const { user, keyfile, agent } = settings
  const read = async (files: readonly string[], required: boolean): Promise<Key[]> =>
    Promise.all(files.map((file) => readKey(file, user, required)))
  const configured = [
    ...(await read(keyfile === undefined ? [] : [keyfile], true)),
    ...(await read(settings.identityFiles, false)),
  ]
  const defaults = keyfile === undefined ? await read(settings.defaultIdentityFiles, false) : []
  const keys = [...configured, ...defaults]
  const fromAgent =
    agent === undefined ? [] : [await offerAgent(agent, user, settings.identitiesOnly, configured)]
  const offers = [...offersOf(configured), ...fromAgent, ...offersOf(defaults)]
  const encrypted = keys.flatMap(({ file, encrypted }) => (encrypted === true ? [file] : []))
  const tried: string[] = []
  return {
    next(_left, _partial, give) {
      const offer = offers[tried.length]
      if (offer === undefined) return give(false)
      tried.push(offer.name)
      give(offer.method)
    },
    refused(name, cause) {
      const what = tried.length === 0 ? 'there is no key to offer' : `offered: ${tried.join(', ')}`
      if (encrypted.length > 0)
        return new Problem('SSH_KEY_ENCRYPTED', `a key for ${name} needs a passphrase`, {
          because: `${encrypted.join(', ')} has a passphrase and can be used only through an agent; ${what}`,
          hint: `eval "$(ssh-agent)"; ssh-add ${encrypted[0]}; then run the same command again`,
          cause,
        })
      return new Problem('SSH_AUTH_FAILED', `${name} accepted none of the keys`, {
        because: `${what}${agent === undefined ? '; there is no agent (SSH_AUTH_SOCK is unset)' : ''}`,
        hint: `authorize one: ssh-copy-id -p ${settings.port} ${user}@${settings.host}; or use another: LIBVIRT_URI=qemu+ssh://...?keyfile=<path>`,
        cause,
      })
    },
  }
}

/** A key file: its key to offer, or that it has a passphrase; neither when it is unusable. */
interface Key {
  readonly file: string
  readonly offer?: Offer
  readonly encrypted?: true
}

function offersOf(keys: readonly Key[]): Offer[] {
  return keys.flatMap((key) => (key.offer === undefined ? [] : [key.offer]))
}

/** The agent's keys; with IdentitiesOnly, only those whose .pub file is beside a configured file. */
async function offerAgent(
  socket: string,
  username: string,
  identitiesOnly: boolean,
  configured: readonly Key[],
): Promise<Offer> {
  if (!identitiesOnly)
    return { name: 'all keys of the agent', method: { type: 'agent', username, agent: socket } }
  const publicKeys = await Promise.all(
    configured.map(({ file }) => readFile(`${file}.pub`, 'utf8').catch(() => '')),
  )
  const wanted = publicKeys.map((line) => line.split(' ')[1])
  const agent = ssh2.createAgent(socket)
  const getIdentities: ssh2.BaseAgent['getIdentities'] = (give) =>
    agent.getIdentities((error, found = []) => {
      const base64 = (key: (typeof found)[number]): string => {
        const parsed = ssh2.utils.parseKey(key as Buffer)
        return parsed instanceof Error ? '' : parsed.getPublicSSH().toString('base64')
      }
      give(
        error,
        found.filter((key) => wanted.includes(base64(key))),
      )
    })
  const filtered = Object.assign(Object.create(agent) as ssh2.BaseAgent, { getIdentities })
  return {
    name: 'the configured keys of the agent',
    method: { type: 'agent', username, agent: filtered },
  }
}

async function readKey(file: string, username: string, required: boolean): Promise<Key> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if (!required) return { file }
    throw new Problem('SSH_KEY_UNREADABLE', `could not read the key ${file}`, {
      cause,
      hint: `correct keyfile= in LIBVIRT_URI; to create a key: ssh-keygen -t ed25519 -f ${file}`,
    })
  }
  const key = ssh2.utils.parseKey(text)
  if (!(key instanceof Error) && key.isPrivateKey())
    return { file, offer: { name: file, method: { type: 'publickey', username, key } } }
  if (key instanceof Error && /encrypted/i.test(key.message)) return { file, encrypted: true }
  if (!required) return { file }
  throw new Problem('SSH_KEY_UNREADABLE', `${file} is not a private key`, {
    because: key instanceof Error ? key.message : 'it is a public key',
    hint: 'set keyfile= to the private key, not the .pub file beside it',
  })
}
