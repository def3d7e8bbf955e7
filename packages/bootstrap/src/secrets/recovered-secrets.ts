/** Judges whether secrets that were found somewhere are the lost ones of this cluster. Pure. */
import { parse } from 'yaml'
import { isOfSecrets, ownerFile, parseSecrets } from './secrets.ts'

/** Secrets that may be the lost ones. */
export interface Candidate {
  /** Where they were found: a path in generated/<cluster>, or 'the machine config of home-cp1'. */
  readonly source: string
  /** A copy of a secrets file may be of an earlier cluster; a machine config is of the last one. */
  readonly kind: 'copy' | 'machine config'
  readonly text: string
}

/** What is left of the cluster that shows which secrets it had. */
export interface Evidence {
  /** PEM of the CA in the talosconfig. */
  readonly talosCa?: string
  /** PEM of the CA in the kubeconfig. */
  readonly kubernetesCa?: string
  /** SHA-256 of the file that was created for this cluster. */
  readonly digest?: string
  /** SHA-256 of its CAs. */
  readonly caDigest?: string
  /** Of these secrets: machines whose certificate their CA signed, and machines with that of another CA. */
  readonly machines: { readonly ours: readonly string[]; readonly foreign: readonly string[] }
}

/** Whether a candidate is accepted, with what confirms it or speaks against it. */
export interface Verdict {
  readonly isAccepted: boolean
  readonly because: string
}

/** Accepts complete secrets that nothing contradicts; a copy only when something confirms it. */
export function judgeCandidate({ kind, text }: Candidate, evidence: Evidence): Verdict {
  const refuse = (because: string): Verdict => ({ isAccepted: false, because })
  const contradiction = findLacking(text) ?? findContradiction(text, evidence)
  if (contradiction !== undefined) return refuse(contradiction)
  const { digest, caDigest } = evidence
  const isLost =
    digest !== undefined &&
    isOfSecrets(
      { secrets: digest, ...(caDigest !== undefined && { caDigest }) },
      parseSecrets(text),
    )
  const { ours, foreign } = evidence.machines
  const confirmedBy = [
    ...(evidence.talosCa === undefined ? [] : ['the CA of the talosconfig']),
    ...(evidence.kubernetesCa === undefined ? [] : ['the CA of the kubeconfig']),
    ...(isLost ? ['the checksum of the lost file'] : []),
    ...(ours.length === 0 ? [] : [`the certificate of ${ours.join(', ')}`]),
  ]
  if (confirmedBy.length > 0)
    return { isAccepted: true, because: `matches ${confirmedBy.join(', ')}` }
  if (foreign.length > 0) return refuse(`${foreign.join(', ')} has a certificate of another CA`)
  return kind === 'copy'
    ? refuse(
        'nothing confirms that it is of this cluster: no access file is left, no machine answers',
      )
    : { isAccepted: true, because: 'no access file is left to compare it with' }
}

/** Why secrets cannot be those of this cluster; undefined: nothing contradicts it. Throws for a text without secrets. */
export function findContradiction(
  text: string,
  evidence: Pick<Evidence, 'talosCa' | 'kubernetesCa' | 'caDigest'>,
): string | undefined {
  const { talosCa, kubernetesCa, caDigest = '' } = parseSecrets(text)
  if (differs(evidence.caDigest, caDigest)) return `${ownerFile} is of secrets with another CA`
  if (differs(evidence.talosCa, talosCa)) return 'the talosconfig has another CA'
  return differs(evidence.kubernetesCa, kubernetesCa) ? 'the kubeconfig has another CA' : undefined
}

/** The keys that a machine config of a worker lacks, for which `talosctl gen secrets` writes empty ones. */
const needed = [
  ...[
    ['cluster', 'id'],
    ['cluster', 'secret'],
    ['trustdinfo', 'token'],
    ['secrets', 'bootstraptoken'],
  ],
  ...['etcd', 'k8s', 'k8saggregator', 'os'].flatMap((ca) => [
    ['certs', ca, 'crt'],
    ['certs', ca, 'key'],
  ]),
  ['certs', 'k8sserviceaccount', 'key'],
]

/** What a secrets file lacks to be used, without any of its values; undefined: nothing. */
function findLacking(text: string): string | undefined {
  let all: unknown
  try {
    all = parse(text)
    parseSecrets(text)
  } catch {
    return 'it holds no Talos secrets'
  }
  const missing = needed.find((path) => {
    const value = path.reduce<unknown>((at, key) => (isMap(at) ? at[key] : undefined), all)
    return typeof value !== 'string' || value === ''
  })
  return missing === undefined ? undefined : `it lacks ${missing.join('.')}`
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function differs(known: string | undefined, found: string): boolean {
  return known !== undefined && known.trim() !== found.trim()
}
