/** Throwaway certificate authorities for tests. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@talosmith/core/testing'

/** A certificate with its key, as PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

/** A throwaway CA of openssl's making, named as Talos names its own. */
export interface Ca extends Pair {
  issue(subject: string, days?: number, address?: string): Pair
}

/** Makes a CA, or takes `given` for one. */
export function createCa(subject = '/O=talos', given?: Pair): Ca {
  const folder = temporaryFolder('pki')
  const file = (name: string): string => join(folder, name)
  const read = (name: string): Pair => ({
    cert: readFileSync(file(`${name}.crt`), 'utf8'),
    key: readFileSync(file(`${name}.key`), 'utf8'),
  })
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  }
  const key = (name: string): void =>
    openssl('genpkey', '-algorithm', 'ed25519', '-out', `${name}.key`)
  if (given === undefined) {
    key('ca')
    const self = ['-x509', '-new', '-key', 'ca.key', '-subj', subject, '-days', '10']
    openssl('req', ...self, '-out', 'ca.crt')
  } else {
    writeFileSync(file('ca.crt'), given.cert)
    writeFileSync(file('ca.key'), given.key, { mode: 0o600 })
  }
  let count = 0
  return {
    ...read('ca'),
    issue(name, days = 365, address = '127.0.0.1') {
      const pair = `pair${count++}`
      writeFileSync(file('san'), `subjectAltName=IP:${address}`)
      key(pair)
      openssl('req', '-new', '-key', `${pair}.key`, '-subj', name, '-out', `${pair}.csr`)
      const ca = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial']
      const out = ['-days', String(days), '-extfile', 'san', '-out', `${pair}.crt`]
      openssl('x509', '-req', '-in', `${pair}.csr`, ...ca, ...out)
      return read(pair)
    },
  }
}
