import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from '@talosmith/core/testing'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { formsOf, leaksIn, secretsIn } from '../e2e/leaks.ts'
import { copySecrets, sampleArguments } from '../e2e/record.ts'

const leaks = suite('leaks')
const token = 'abcdef.0123456789abcdef'
const key = generateKeyPairSync('ed25519')
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const file = stringify({
  trustdinfo: { token },
  certs: { os: { key: Buffer.from(key).toString('base64') } },
  endpoints: ['10.213.77.11', 'https://10.213.77.11:6443'],
})
const secrets = secretsIn(file, 'secrets.yaml')
const put = (folder: string, name: string, text: string): void => {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), text)
}

leaks(
  'every long string of a secret file is a secret, and every line of a key; no address is',
  () => {
    const lines = key.split('\n').filter((line) => line.length >= 16 && !line.startsWith('-----'))
    const encoded = Buffer.from(key).toString('base64')
    assert.equal(
      secrets.map(({ text }) => text),
      [token, encoded, ...lines],
    )
    assert.equal(new Set(secrets.map(({ at }) => at)).size, 2)
  },
)

leaks('a secret is found in a file of any kind, by the place that it is from', async () => {
  const folder = temporaryFolder('leaked')
  put(folder, 'a/log', `failed: token=${token}&x`)
  put(folder, 'b.bin', `\0\xff${key}\0`)
  put(folder, 'c', 'nothing')
  assert.equal((await leaksIn({ paths: [folder] }, secrets)).sort(), [
    `${folder}/a/log has secrets.yaml.trustdinfo.token`,
    `${folder}/b.bin has secrets.yaml.certs.os.key`,
  ])
})

leaks('excepted paths, older files and folders that do not exist are left out', async () => {
  const folder = temporaryFolder('leaked')
  put(folder, 'archive/secrets.yaml', file)
  put(folder, 'old', token)
  await sleep(20)
  put(folder, 'since', '')
  await sleep(20)
  put(folder, 'new', token)
  const place = {
    paths: [folder, join(folder, 'none')],
    except: ['*/archive'],
    since: join(folder, 'since'),
  }
  assert.equal(await leaksIn(place, secrets), [`${folder}/new has secrets.yaml.trustdinfo.token`])
})

leaks('without any of its folders a place has no leak', async () => {
  // Not those of the current folder, where the word is in this file.
  const word = [{ at: 'here', text: 'Not those of the current folder' }]
  assert.equal(await leaksIn({ paths: ['/none/at/all'] }, word), [])
})

leaks('what begins with the planted word is found, also within a text in base64', async () => {
  const folder = temporaryFolder('leaked')
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  put(folder, 'plain', 'password: Zq0a1b2c-patch')
  for (const user of ['', 'a', 'me']) put(folder, `auth-${user}`, encode(`${user}Zq0a1b2c-patch`))
  put(folder, 'other', encode('Zq9a1b2c-patch'))
  const found = await leaksIn({ paths: [folder] }, formsOf('Zq0a1b2c'))
  assert.equal(found.map((line) => line.replace(/^.*\/(\S+) .*/, '$1')).sort(), [
    ...['auth-', 'auth-a', 'auth-me', 'plain'],
  ])
})

leaks('the arguments of a process that ran meanwhile are sampled', async () => {
  const stop = sampleArguments()
  const child = spawn('sleep', ['0.6123'])
  await new Promise((resolve) => child.on('close', resolve))
  assert.ok(stop().has('sleep 0.6123'))
})

leaks('secret files are kept once each, wherever they are', () => {
  const [from, to] = [temporaryFolder('generated'), temporaryFolder('kept')]
  put(from, 'lab/secrets.yaml', 'a: 1')
  put(from, 'lab/archive/2026/secrets.yaml', 'a: 2')
  put(from, 'lab/backups/etcd-1.secrets.yaml', 'a: 2')
  put(from, 'lab/kubeconfig', 'a: 3')
  put(from, 'lab/runs/1.jsonl', 'a: 4')
  copySecrets(from, to)
  copySecrets(from, to)
  assert.equal(
    readdirSync(to)
      .map((name) => name.replace(/^\w+\./, ''))
      .sort(),
    ['etcd-1.secrets.yaml', 'kubeconfig', 'secrets.yaml', 'secrets.yaml'],
  )
})

leaks.run()
