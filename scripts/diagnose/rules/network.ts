/** Network problems of a machine: its address, its gateway, its name servers, blocked ports. */
import { codes, commandFor, type Cluster } from '@talosmith/core'
import type { Diagnosis } from '../diagnosis.ts'
import { offAndOn, onHost } from '../on-host.ts'
import type { Observations } from '../gather.ts'
import type { View } from '../view.ts'

export function judgeMachineNetwork(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, evidence, probe, talos } = view
  const { settings } = cluster
  const at = (code: string, cause: string, evidence: string[], remedy: string[]): Diagnosis => ({
    ...{ code, where: node.name, cause, evidence, remedy },
  })
  const restart =
    host === undefined
      ? ['# then shut down and start the machine']
      : [
          '# then shut down and start the machine: Talos reads its seed ISO at boot',
          ...offAndOn(host, node.name),
        ]
  // A running machine keeps the MAC address that it was started with.
  const own = [node.mac, evidence?.running?.mac]
  const others = (evidence?.answering ?? []).filter((mac) => !own.includes(mac))
  if (others.length > 0 && host !== undefined)
    return at(
      codes.addressTaken,
      `another machine uses ${node.address}, the address of ${node.name}`,
      [
        ...others.map(
          (mac) =>
            `${mac} answers for ${node.address}; the MAC address of ${node.name} is ${node.mac}`,
        ),
        ...(probe?.kind === 'foreign' ? [probe.reason] : []),
      ],
      [
        `# change the address of the machine with MAC address ${others.join(', ')}; to find it, if it is on the same host:`,
        ...onHost(
          host,
          `for name in $(virsh list --name); do virsh domiflist $name | grep -q ${others[0]} && echo $name; done`,
        ),
      ],
    )
  if (probe?.kind === 'foreign')
    return at(
      codes.nodeForeign,
      `${node.name} has a machine config with the secrets of another cluster`,
      [probe.reason],
      [
        `# if it belongs to another cluster, change the addresses of this cluster; if secrets.yaml was lost, put a copy into ${cluster.generated}, or recover it:`,
        commandFor(cluster, 'bootstrap:recover-secrets'),
        '# if that fails, start over (all data is lost):',
        `CONFIRM=${cluster.name} ${commandFor(cluster, 'cluster:destroy')}`,
      ],
    )
  const isUnreachable = probe?.kind === 'silent'
  if (isUnreachable && evidence?.state === 'running') {
    // A connection that the machine closed was not blocked.
    if (evidence.opens && !view.isJustUp && probe.hasClosed !== true)
      return at(
        'PORT_BLOCKED',
        `Talos on ${node.name} is reachable from its KVM host but not from this machine`,
        [probe.reason, `the host can connect to ${node.address}:50000`],
        [
          '# allow TCP 50000 and 6443 from this machine to the cluster (check firewall, VPN and routes)',
        ],
      )
    if (evidence.answering.length === 0 && evidence.elsewhere.length > 0)
      return at(
        'ADDRESS_NOT_TAKEN',
        `${node.name} runs with another address than ${node.address}: it did not read its seed ISO`,
        evidence.elsewhere.map((address) => `${node.mac} (${node.name}) answers at ${address}`),
        [commandFor(cluster, 'vm:create'), ...restart],
      )
  }
  if (talos !== undefined) {
    const { NETWORK_GATEWAY: gateway, NETWORK_NAMESERVERS: nameservers } = settings
    const reseed = [commandFor(cluster, 'vm:create'), ...restart]
    if (talos.gateways.length > 0 && !talos.gateways.includes(gateway))
      return at(
        'GATEWAY_WRONG',
        `${node.name} uses the gateway ${talos.gateways.join(', ')} instead of NETWORK_GATEWAY=${gateway}`,
        talos.gateways.map((one) => `talosctl get routes: default via ${one}`),
        reseed,
      )
    const unused = nameservers.filter((one) => !talos.resolvers.includes(one))
    if (talos.resolvers.length > 0 && unused.length === nameservers.length)
      return at(
        'RESOLVER_WRONG',
        `${node.name} uses the name servers ${talos.resolvers.join(', ')} instead of NETWORK_NAMESERVERS=${nameservers.join(',')}`,
        [`talosctl get resolvers: ${talos.resolvers.join(', ')}`],
        reseed,
      )
  }
  return undefined
}

/** All machines share one gateway. */
export function judgeGateway(cluster: Cluster, observed: Observations): Diagnosis[] {
  return observed.evidence.flatMap((answer): Diagnosis[] => {
    if (!answer.ok || answer.value.gatewayAnswers !== false) return []
    const { NETWORK_GATEWAY: gateway } = cluster.settings
    return [
      {
        code: codes.gatewaySilent,
        where: answer.value.host,
        cause: `the gateway ${gateway} does not answer, so the machines have no internet access`,
        evidence: [`ip neigh on ${answer.value.host}: no answer from ${gateway}`],
        remedy: [
          '# set NETWORK_GATEWAY in the env file to the address of the router (see ip route on the host), then',
          commandFor(cluster, 'vm:create'),
          '# and restart the machines',
          commandFor(cluster, 'cluster:stop'),
          commandFor(cluster, 'cluster:start'),
        ],
      },
    ]
  })
}
