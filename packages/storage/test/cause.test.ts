import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nameCause, watchCauses } from '../src/cause.ts'

const nfs = { server: '10.0.0.5', share: '/srv/appdata' }
const mount = (words: string): string =>
  `FailedMount: MountVolume.SetUp failed for volume "pvc-1" : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs -o nfsvers=4.1 10.0.0.5:/srv/appdata /var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/x\nOutput: ${words}`

/** Words as kubelet, mount.nfs, busybox and the provisioner say them, and the cause that they mean. */
const table: [string, string][] = [
  [mount('mount.nfs: Connection refused'), 'NFS_REFUSED'],
  [mount('mount.nfs: Connection timed out'), 'NFS_NO_ANSWER'],
  [mount('mount.nfs: No route to host'), 'NFS_NO_ROUTE'],
  [mount('mount.nfs: Network is unreachable'), 'NFS_NO_ROUTE'],
  [mount('mount.nfs: Failed to resolve server nas: Name or service not known'), 'NFS_NAME_UNKNOWN'],
  [
    mount('mount.nfs: access denied by server while mounting 10.0.0.5:/srv/appdata'),
    'NFS_ACCESS_DENIED',
  ],
  [mount('mount.nfs: Operation not permitted'), 'NFS_ACCESS_DENIED'],
  [
    mount(
      'mount.nfs: mounting 10.0.0.5:/nope failed, reason given by server: No such file or directory',
    ),
    'NFS_EXPORT_MISSING',
  ],
  [mount('mount.nfs: Protocol not supported'), 'NFS_VERSION_REFUSED'],
  [
    mount('mount.nfs: requested NFS version or transport protocol is not supported'),
    'NFS_VERSION_REFUSED',
  ],
  [
    mount(
      "mount.nfs: rpc.statd is not running but is required for remote locking.\nmount.nfs: Either use '-o nolock' to keep locks local, or start statd.",
    ),
    'NFS_LOCKS',
  ],
  [
    'FailedMount: MountVolume.MountDevice failed for volume "pvc-1" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name nfs.csi.k8s.io not found in the list of registered CSI drivers',
    'DRIVER_NOT_ON_NODE',
  ],
  [
    'FailedMount: Unable to attach or mount volumes: unmounted volumes=[proof]: timed out waiting for the condition',
    'NFS_NO_ANSWER',
  ],
  ['nc: 10.0.0.5 (10.0.0.5:2049): Connection refused', 'NFS_REFUSED'],
  ['nc: 10.0.0.5 (10.0.0.5:2049): No route to host', 'NFS_NO_ROUTE'],
  ["nc: bad address 'nas'", 'NFS_NAME_UNKNOWN'],
  ['nc: timed out', 'NFS_NO_ANSWER'],
  ["mkdir: can't create directory '/export/.x': Permission denied", 'NFS_NOT_WRITABLE'],
  ["mkdir: can't create directory '/export/.x': Read-only file system", 'NFS_READ_ONLY'],
  [
    'ProvisioningFailed: failed to provision volume with StorageClass "nfs-appdata": rpc error: code = Internal desc = failed to make subdirectory: mkdir /tmp/pvc-1/a: permission denied',
    'NFS_NOT_WRITABLE',
  ],
  [
    'ProvisioningFailed: failed to provision volume with StorageClass "nfs-appdata": rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    'NFS_NO_ANSWER',
  ],
  [
    'ProvisioningFailed: failed to provision volume: rpc error: code = Internal desc = failed to mount nfs server: rpc error: code = Internal desc = mount failed: exit status 32\nOutput: mount.nfs: mounting 10.0.0.5:/nope failed, reason given by server: No such file or directory',
    'NFS_EXPORT_MISSING',
  ],
  [
    'ErrImagePull: failed to pull and unpack image "registry.k8s.io/e2e-test-images/busybox:1.29-4": not found',
    'TEST_IMAGE_MISSING',
  ],
]
for (const [text, code] of table)
  test(`${code}: ${text.split('\n').at(-1)?.slice(0, 80)}`, () => {
    const cause = nameCause([{ from: 'home-w1', text }], nfs)
    assert.is(cause?.code, code)
    assert.ok((cause?.message ?? '') !== '' && (cause?.hint ?? '') !== '')
    assert.not.match(cause?.because ?? '', 'Mounting arguments')
  })

test('words that mean nothing known name no cause', () => {
  assert.is(nameCause([{ from: 'home-w1', text: 'exit 3' }], nfs), undefined)
  assert.is(nameCause([], nfs), undefined)
})

for (const [text, ends] of [
  ['mkdir: permission denied', [true]],
  ['mount.nfs: Protocol not supported', [true]],
  ['mount.nfs: Connection refused', [false, false, true]],
  ['rpc error: code = DeadlineExceeded', [false, false, false]],
] as const)
  test(`observed after 0, 3 and 6 s, "${text}" ends a wait: ${ends.join(', ')}`, () => {
    let seconds = 0
    const hasLasted = watchCauses(() => seconds * 1000)
    const cause = nameCause([{ from: 'home-w1', text }], nfs)
    if (cause === undefined) throw new Error('no cause')
    for (const end of ends) {
      assert.is(hasLasted('home-w1', cause), end)
      seconds += 3
    }
  })

test('a cause that is new on another node counts from its first observation there', () => {
  let seconds = 0
  const hasLasted = watchCauses(() => seconds * 1000)
  const cause = nameCause([{ from: 'x', text: 'Connection refused' }], nfs)
  if (cause === undefined) throw new Error('no cause')
  hasLasted('home-w1', cause)
  seconds = 6
  assert.is(hasLasted('home-w2', cause), false)
  assert.is(hasLasted('home-w1', cause), true)
})

test('a missing driver is named before what follows from it', () => {
  const clues = [
    { from: 'home-w1', text: 'timed out waiting for the condition' },
    {
      from: 'home-w1',
      text: 'driver name nfs.csi.k8s.io not found in the list of registered CSI drivers',
    },
  ]
  assert.is(nameCause(clues, nfs)?.code, 'DRIVER_NOT_ON_NODE')
})

test.run()
