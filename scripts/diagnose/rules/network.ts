/** Causes between a machine and everybody else: its address, its gateway, what is let through. */
import { codes, type Cluster } from '@talosmith/core'
import { type, type Diagnosis } from '../diagnosis.ts'
import { offAndOn, onHost } from '../on-host.ts'
import type { Seen } from '../gather.ts'
import type { View } from '../view.ts'

export function judgeNetwork(cluster: Cluster, view: View): Diagnosis | undefined {
  const { node, host, evidence, probe, talos } = view
  const { settings } = cluster
  const at = (code: string, cause: string, evidence: string[], remedy: string[]): Diagnosis => ({
    ...{ code, where: node.name, cause, evidence, remedy },
  })
  const restart =
    host === undefined
      ? ['# then off and on once']
      : ['# then off and on once: Talos reads its seed when it boots', ...offAndOn(host, node.name)]
  // A machine keeps the MAC address that it was started with until it is off.
  const own = [node.mac, evidence?.running?.mac]
  const others = (evidence?.answering ?? []).filter((mac) => !own.includes(mac))
  if (others.length > 0 && host !== undefined)
    return at(
      codes.addressTaken,
      `another machine has the address of ${node.name}, ${node.address}`,
      [
        ...others.map((mac) => `${mac} answers for ${node.address}; ${node.name} is ${node.mac}`),
        ...(probe?.kind === 'foreign' ? [probe.reason] : []),
      ],
      [
        `# find the machine with ${others.join(', ')} and give it another address:`,
        ...onHost(
          host,
          `for name in $(virsh list --name); do virsh domiflist $name | grep -q ${others[0]} && echo $name; done`,
        ),
      ],
    )
  if (probe?.kind === 'foreign')
    return at(
      codes.nodeForeign,
      `${node.name} has the machine config of another cluster, or of other secrets`,
      [probe.reason],
      [
        `# is it another cluster's? Then give this one other addresses. Was secrets.yaml lost? Put it back into ${cluster.generated}, or begin anew:`,
        `CONFIRM=${cluster.name} ${type(cluster, 'cluster:destroy')}`,
      ],
    )
  const isSilent = probe?.kind === 'silent'
  if (isSilent && evidence?.state === 'running') {
    // Who closes a connection has let it through first.
    if (evidence.opens && !view.isJustUp && !/closed the connection/.test(probe.reason))
      return at(
        'PORT_BLOCKED',
        `this machine does not reach Talos on ${node.name}, its KVM host does`,
        [probe.reason, `the host opens ${node.address}:50000`],
        ['# let TCP 50000 and 6443 through between here and the machines (firewall, VPN, routes)'],
      )
    if (evidence.answering.length === 0 && evidence.elsewhere.length > 0)
      return at(
        'ADDRESS_NOT_TAKEN',
        `${node.name} runs, with another address than ${node.address}: it did not read its seed ISO`,
        evidence.elsewhere.map((address) => `${node.mac} (${node.name}) is at ${address}`),
        [type(cluster, 'vm:create'), ...restart],
      )
  }
  if (talos !== undefined) {
    const { NETWORK_GATEWAY: gateway, NETWORK_NAMESERVERS: nameservers } = settings
    const reseed = [type(cluster, 'vm:create'), ...restart]
    if (talos.gateways.length > 0 && !talos.gateways.includes(gateway))
      return at(
        'GATEWAY_WRONG',
        `${node.name} uses the gateway ${talos.gateways.join(', ')}; the settings say ${gateway}`,
        talos.gateways.map((one) => `talosctl get routes: default via ${one}`),
        reseed,
      )
    const missing = nameservers.filter((one) => !talos.resolvers.includes(one))
    if (talos.resolvers.length > 0 && missing.length === nameservers.length)
      return at(
        'RESOLVER_WRONG',
        `${node.name} asks the name servers ${talos.resolvers.join(', ')}; the settings say ${nameservers.join(', ')}`,
        [`talosctl get resolvers: ${talos.resolvers.join(', ')}`],
        reseed,
      )
  }
  return undefined
}

/** The gateway is one for all machines. */
export function judgeGateway(cluster: Cluster, seen: Seen): Diagnosis[] {
  return seen.evidence.flatMap((answer): Diagnosis[] => {
    if (!answer.ok || answer.value.gatewayAnswers !== false) return []
    const { NETWORK_GATEWAY: gateway } = cluster.settings
    return [
      {
        code: codes.gatewaySilent,
        where: answer.value.host,
        cause: `nobody has the gateway's address ${gateway}: machines reach no registry and no time server through it`,
        evidence: [`ip neigh on ${answer.value.host}: no answer for ${gateway}`],
        remedy: [
          '# set NETWORK_GATEWAY in the env file to the router (ip route on the host), then',
          type(cluster, 'vm:create'),
          '# and each machine off and on once',
          type(cluster, 'cluster:stop'),
          type(cluster, 'cluster:start'),
        ],
      },
    ]
  })
}
