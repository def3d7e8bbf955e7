import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeCluster } from '../../src/cluster.ts'
import { readSettings } from '../../src/settings/read.ts'

/** What people paste from other tools and editors; what is refused has its fixture. */
const base = 'CLUSTER_NAME=home\nNETWORK_BRIDGE=br0\n'
const kernel =
  'net.ifnames=0 -console console=ttyS0,115200n8 mitigations=off intel_iommu=on vfio-pci.ids=10de:1c03,10de:10f1'
const nfs = 'NFS_SERVER=nas\nNFS_SHARE=/volume1/k8s\n'
const options = 'nfsvers=4.1,hard,noatime,nconnect=8,rsize=1048576,wsize=1048576,sec=sys'
const rows: [string, string, (cluster: ReturnType<typeof describeCluster>) => unknown, unknown][] =
  [
    ['a byte order mark of a Windows editor', `\uFEFF${base}`, ({ name }) => name, 'home'],
    ["Windows' line breaks", base.replaceAll('\n', '\r\n'), ({ name }) => name, 'home'],
    [
      'export, quotes and comments at the end of lines',
      'export CLUSTER_NAME=home # mine\nNETWORK_BRIDGE="br0" # lan\n',
      ({ settings }) => settings.NETWORK_BRIDGE,
      'br0',
    ],
    [
      'a bridge of a VLAN',
      base.replace('br0', 'br0.20'),
      ({ settings }) => settings.NETWORK_BRIDGE,
      'br0.20',
    ],
    [
      'an endpoint with a port',
      `${base}CLUSTER_ENDPOINT=k8s.lan:8443\n`,
      ({ endpoint }) => endpoint,
      'https://k8s.lan:8443',
    ],
    [
      'extensions between quotes, separated by a space',
      `${base}TALOS_EXTENSIONS="siderolabs/util-linux-tools siderolabs/iscsi-tools"\n`,
      ({ settings }) => settings.TALOS_EXTENSIONS,
      ['siderolabs/iscsi-tools', 'siderolabs/util-linux-tools'],
    ],
    [
      'kernel arguments of a passthrough',
      `${base}TALOS_KERNEL_ARGS=${kernel}\n`,
      ({ settings }) => settings.TALOS_KERNEL_ARGS.join(' '),
      kernel,
    ],
    [
      'ip= with a name server',
      `${base}TALOS_KERNEL_ARGS=ip=10.0.0.70::10.0.0.1:255.255.255.0::eth0:off:1.1.1.1\n`,
      ({ settings }) => settings.TALOS_KERNEL_ARGS,
      ['ip=10.0.0.70::10.0.0.1:255.255.255.0::eth0:off:1.1.1.1'],
    ],
    [
      'mount options of a NAS guide',
      `${base}${nfs}NFS_MOUNT_OPTIONS=${options}\n`,
      ({ settings }) => settings.NFS_MOUNT_OPTIONS.join(),
      options,
    ],
    [
      'NFS 3 without locks',
      `${base}${nfs}NFS_MOUNT_OPTIONS=nfsvers=3,nolock,tcp\n`,
      ({ settings }) => settings.NFS_MOUNT_OPTIONS,
      ['nfsvers=3', 'nolock', 'tcp'],
    ],
  ]
for (const [title, text, read, expected] of rows)
  test(`${title}: accepted`, () => {
    const { settings, warnings } = readSettings(text)
    assert.equal(warnings, [])
    assert.equal(read(describeCluster(settings, '/project')), expected)
  })

test.run()
