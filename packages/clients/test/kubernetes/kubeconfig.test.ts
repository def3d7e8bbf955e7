import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseKubeconfig } from '../../src/kubernetes/kubeconfig.ts'

for (const [title, text] of Object.entries({
  'is cut short': 'users:\n  - user: {client-key-data: "Zq1nightfall',
  'has a tab': 'users:\n\t- user: {client-key-data: Zq1nightfall}',
  'has no cluster': 'a: Zq1nightfall',
  'is empty': '',
}))
  test(`a kubeconfig that ${title} is refused without a line of it`, () => {
    assert.throws(
      () => parseKubeconfig(text),
      ({ message }: Error) => /^a kubeconfig /.test(message) && !message.includes('nightfall'),
    )
  })

test.run()
