import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findCauses } from '../../../diagnose/find.ts'
import { testDiagnosed, testNotDiagnosed } from '../../support/diagnosed.ts'
import { cluster, observedWith, running, up, w1 } from '../../support/observed-cluster.ts'

testDiagnosed([
  [
    'an address that another machine uses too',
    { evidence: { [w1]: { answering: ['52:54:00:99:99:99', running(w1).mac] } } },
    [`ADDRESS_TAKEN ${w1}`],
  ],
  ['a machine config with other secrets', { probes: { [w1]: 'foreign' } }, [`NODE_FOREIGN ${w1}`]],
  ['a port that is blocked', { probes: { [w1]: 'silent' } }, [`PORT_BLOCKED ${w1}`]],
  [
    'an address from DHCP',
    {
      probes: { [w1]: 'silent' },
      evidence: { [w1]: { opens: false, answering: [], elsewhere: ['10.0.0.123'] } },
    },
    [`ADDRESS_NOT_TAKEN ${w1}`],
  ],
  ['another gateway', { talos: { [w1]: { gateways: ['10.0.0.9'] } } }, [`GATEWAY_WRONG ${w1}`]],
  [
    'a gateway that does not answer',
    { network: { gatewayAnswers: false } },
    ['GATEWAY_SILENT root@kvm1'],
  ],
  ['other name servers', { talos: { [w1]: { resolvers: ['8.8.8.8'] } } }, [`RESOLVER_WRONG ${w1}`]],
])

testNotDiagnosed([
  [
    'a machine that comes up during the observation',
    { probes: { [w1]: 'silent' }, more: { justUp: new Set([w1]) } },
  ],
  [
    'a machine that is booting',
    { probes: { [w1]: 'silent' }, evidence: { [w1]: { opens: false, answering: [] } } },
  ],
  [
    'a machine that still has the MAC address it was started with',
    {
      evidence: {
        [w1]: {
          running: { ...running(w1), mac: '52:54:00:00:00:01' },
          answering: ['52:54:00:00:00:01'],
        },
      },
    },
  ],
])

test('a connection that the machine closed is not a blocked port', () => {
  const { findings, ...rest } = observedWith({ probes: { [w1]: 'silent' } })
  assert.ok(findings.ok)
  const closed = { kind: 'silent', reason: '10.0.0.80 is starting', hasClosed: true } as const
  const probes = new Map([...findings.value.probes, [w1, closed] as const])
  const { diagnoses, unmet } = findCauses(cluster, {
    ...rest,
    findings: up({ ...findings.value, probes }),
  })
  assert.equal(diagnoses, [])
  assert.is(unmet[0], `${w1}: 10.0.0.80 is starting`)
})

test.run()
