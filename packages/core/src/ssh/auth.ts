import { readFile } from 'node:fs/promises'
import ssh2 from 'ssh2'
import { Problem } from '../problem.ts'
import type { SshSettings } from './config.ts'

/** One key to show to a host, and how to name it in an error. */
interface Offer {
  readonly name: string
  readonly method: ssh2.PublicKeyAuthMethod | ssh2.AgentAuthMethod
}

/** The keys to show to a host one after the other, and what happened to them. */
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
 * Collects the keys for a host: the files that were asked for, the agent's, then OpenSSH's usual
 * files. Throws SSH_KEY_UNREADABLE for a keyfile of the URI that can't be used.
 */
export async function collectKeys(settings: SshSettings): Promise<Authentication> {
  const { user, keyfile, agent } = settings
  const read = async (files: readonly string[], required: boolean): Promise<Key[]> =>
    Promise.all(files.map((file) => readKey(file, user, required)))
  const asked = [
    ...(await read(keyfile === undefined ? [] : [keyfile], true)),
    ...(await read(settings.identityFiles, false)),
  ]
  const usual = keyfile === undefined ? await read(settings.defaultIdentityFiles, false) : []
  const keys = [...asked, ...usual]
  const fromAgent =
    agent === undefined ? [] : [await offerAgent(agent, user, settings.identitiesOnly, asked)]
  const offers = [...offersOf(asked), ...fromAgent, ...offersOf(usual)]
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
      const what = tried.length === 0 ? 'there was no key to try' : `tried: ${tried.join(', ')}`
      if (encrypted.length > 0)
        return new Problem('SSH_KEY_ENCRYPTED', `${name} was not shown the key it may want`, {
          because: `${encrypted.join(', ')} has a passphrase, so only an agent can use it; ${what}`,
          hint: `eval "$(ssh-agent)"; ssh-add ${encrypted[0]}; then run the same command again`,
          cause,
        })
      return new Problem('SSH_AUTH_FAILED', `${name} accepts none of the keys`, {
        because: `${what}${agent === undefined ? '; there is no agent (SSH_AUTH_SOCK is unset)' : ''}`,
        hint: `let it accept one: ssh-copy-id -p ${settings.port} ${user}@${settings.host}; or name another: LIBVIRT_URI=qemu+ssh://...?keyfile=<path>`,
        cause,
      })
    },
  }
}

/** What a key file gave: something to offer, a key with a passphrase, or nothing. */
interface Key {
  readonly file: string
  readonly offer?: Offer
  readonly encrypted?: true
}

function offersOf(keys: readonly Key[]): Offer[] {
  return keys.flatMap((key) => (key.offer === undefined ? [] : [key.offer]))
}

/** The agent's keys; only those whose public half lies beside a named file under IdentitiesOnly. */
async function offerAgent(
  socket: string,
  username: string,
  identitiesOnly: boolean,
  asked: readonly Key[],
): Promise<Offer> {
  if (!identitiesOnly)
    return { name: 'the keys of the agent', method: { type: 'agent', username, agent: socket } }
  const publicKeys = await Promise.all(
    asked.map(({ file }) => readFile(`${file}.pub`, 'utf8').catch(() => '')),
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
    name: 'the named keys of the agent',
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
      hint: `correct keyfile= in LIBVIRT_URI; a new key: ssh-keygen -t ed25519 -f ${file}`,
    })
  }
  const key = ssh2.utils.parseKey(text)
  if (!(key instanceof Error) && key.isPrivateKey())
    return { file, offer: { name: file, method: { type: 'publickey', username, key } } }
  if (key instanceof Error && /encrypted/i.test(key.message)) return { file, encrypted: true }
  if (!required) return { file }
  throw new Problem('SSH_KEY_UNREADABLE', `${file} is not a private key`, {
    because: key instanceof Error ? key.message : 'it is a public key',
    hint: 'name the private key, not the .pub file beside it',
  })
}
