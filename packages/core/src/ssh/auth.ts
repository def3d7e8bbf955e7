/** The keys to offer to a host. */
import type ssh2 from 'ssh2'
import { Problem, reasonOf } from '../problem.ts'
import { agentKeys, type AgentKey } from './agent.ts'
import { agentMethod, type Protocol } from './agent-offer.ts'
import type { SshSettings } from './config.ts'
import { readKeyFile, type KeyFile } from './key-file.ts'

/** A key to offer to a host, and its name in errors. */
interface Offer {
  readonly name: string
  readonly method: (protocol: () => Protocol) => ssh2.PublicKeyAuthMethod | ssh2.AgentAuthMethod
}

/** The keys to offer to a host one after the other, over several connections if need be. */
export interface Authentication {
  /** ssh2's authHandler for one connection; keys that were already offered are left out. */
  readonly handler: (
    protocol: () => Protocol,
  ) => (
    left: unknown,
    partial: unknown,
    give: (method: ReturnType<Offer['method']> | false) => void,
  ) => void
  /** Whether there are keys that were not offered yet. */
  readonly hasMore: () => boolean
  /** The Problem of a host that accepted none of them. */
  readonly refused: (name: string, cause: unknown) => Problem
}

/**
 * Collects the keys for a host: the configured files, the agent's keys, then OpenSSH's default files. As with OpenSSH,
 * a configured file may be a public key whose private key only the agent has, and an agent that does not answer is no
 * agent. Throws SSH_KEY_UNREADABLE when the keyfile of the URI can't be used.
 */
export async function collectKeys(settings: SshSettings): Promise<Authentication> {
  const { user, keyfile, agent } = settings
  let agentProblem = agent === undefined ? 'there is no agent (SSH_AUTH_SOCK is unset)' : undefined
  const inAgent =
    agent === undefined
      ? []
      : await agentKeys(agent).catch((error: unknown) => {
          agentProblem = `the agent at ${agent} does not answer: ${reasonOf(error)}`
          return []
        })
  const read = (files: readonly string[]): Promise<KeyFile[]> =>
    Promise.all(files.map((file) => readKeyFile(file)))
  const [given] = await read(keyfile === undefined ? [] : [keyfile])
  const configured = [
    ...(given === undefined ? [] : [given]),
    ...(await read(settings.identityFiles)),
  ]
  const defaults = keyfile === undefined ? await read(settings.defaultIdentityFiles) : []
  const certificates = await read(settings.certificateFiles)
  const isOf =
    (files: readonly KeyFile[]) =>
    ({ blob }: AgentKey): boolean =>
      files.some(({ blobs }) => blobs.some((one) => one.equals(blob)))
  if (given !== undefined) checkGiven(given, inAgent.some(isOf([given])))

  const fromAgent = (keys: readonly AgentKey[], whose: string): Offer[] =>
    agent === undefined
      ? []
      : keys.map((key) => ({
          name: `${key.comment || key.type} (${whose} the agent)`,
          method: (protocol) => agentMethod(agent, user, key, protocol),
        }))
  const fromFiles = (files: readonly KeyFile[]): Offer[] =>
    files.flatMap(({ file, key }) =>
      key === undefined
        ? []
        : [{ name: file, method: () => ({ type: 'publickey', username: user, key }) }],
    )
  const isNamed = isOf([...configured, ...certificates])
  const others = settings.identitiesOnly ? [] : inAgent.filter((key) => !isNamed(key))
  const offers = [
    ...fromFiles(configured),
    ...fromAgent(inAgent.filter(isNamed), 'configured, in'),
    ...fromAgent(others, 'in'),
    ...fromFiles(defaults),
  ]
  const encrypted = [...configured, ...defaults]
    .filter((file) => file.isEncrypted && !inAgent.some(isOf([file])))
    .map(({ file }) => file)
  const tried: string[] = []
  return {
    handler: (protocol) => (_left, _partial, give) => {
      const offer = offers[tried.length]
      if (offer === undefined) return give(false)
      tried.push(offer.name)
      give(offer.method(protocol))
    },
    hasMore: () => tried.length < offers.length,
    refused(name, cause) {
      const what = tried.length === 0 ? 'there is no key to offer' : `offered: ${tried.join(', ')}`
      if (encrypted.length > 0)
        return new Problem('SSH_KEY_ENCRYPTED', `a key for ${name} needs a passphrase`, {
          because: `${encrypted.join(', ')} has a passphrase and can be used only through an agent; ${[what, agentProblem].filter(Boolean).join('; ')}`,
          hint: `eval "$(ssh-agent)"; ssh-add ${encrypted[0]}; then run the same command again`,
          cause,
        })
      return new Problem('SSH_AUTH_FAILED', `${name} accepted none of the keys`, {
        because: [what, agentProblem].filter(Boolean).join('; '),
        hint: `authorize one: ssh-copy-id -p ${settings.port} ${user}@${settings.host}; or use another: LIBVIRT_URI=qemu+ssh://...?keyfile=<path>`,
        cause,
      })
    },
  }
}

/** Throws SSH_KEY_UNREADABLE when the keyfile of the URI can't be used. */
function checkGiven({ file, problem, cause }: KeyFile, isInAgent: boolean): void {
  if (problem === undefined || isInAgent) return
  if (problem === 'unreadable')
    throw new Problem('SSH_KEY_UNREADABLE', `could not read the key ${file}`, {
      cause,
      hint: `correct keyfile= in LIBVIRT_URI; to create a key: ssh-keygen -t ed25519 -f ${file}`,
    })
  throw new Problem('SSH_KEY_UNREADABLE', `${file} is not a private key`, {
    because:
      problem === 'public'
        ? 'it is a public key, and the agent does not have its private key'
        : reasonOf(cause),
    hint: 'set keyfile= to the private key, not the .pub file beside it; or add that key to the agent: ssh-add <private key>',
  })
}
