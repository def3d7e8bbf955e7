/** Failures that take minutes to show: a host with too little CPU time, and a machine that never finishes a boot. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cp, diagnose, diagnoseUntil, disk, on, right, w } from '../e2e/diagnosis.ts'
import { nx, removeCluster } from '../e2e/support.ts'

test('a control plane and a worker are running', async () => {
  assert.is((await nx('lab:start')).code, 0)
  await removeCluster(right)
  assert.is((await nx('cluster:up', right)).code, 0)
})

test('no problem is reported of a cluster with two fifths of its CPU time', async () => {
  const stop = '/tmp/throttle-stop'
  // It ends by itself, should this test be killed.
  const throttle = `
pids=$(cat /run/libvirt/qemu/${cp}.pid /run/libvirt/qemu/${w}.pid)
trap 'kill -CONT $pids' EXIT
end=$((SECONDS + 150))
while [ $SECONDS -lt $end ] && [ ! -e ${stop} ]; do
  kill -STOP $pids; sleep 0.06; kill -CONT $pids; sleep 0.04
done`
  await on(({ $ }) => $`rm -f ${stop}; setsid bash -c ${throttle} </dev/null >/dev/null 2>&1 &`)
  try {
    await sleep(10_000)
    for (let round = 0; round < 2; round++) assert.equal((await diagnose()).codes, [])
  } finally {
    await on(({ $ }) => $`touch ${stop}; sleep 1; rm ${stop}`)
  }
})

test('a machine whose boots all fail', async () => {
  await on(async ({ $ }) => {
    await $`virsh destroy ${w}`
    // The file system of EPHEMERAL is still known as one, and cannot be mounted any more.
    const table =
      await $`rm -f /tmp/gpt; qemu-img dd -f qcow2 -O raw if=${disk} of=/tmp/gpt bs=512 count=34 && base64 -w0 /tmp/gpt`
    const start = partitionStart(Buffer.from(table.stdout, 'base64'), 'EPHEMERAL')
    const logBlockSize = start + 1024 + 0x18
    await $`qemu-io -f qcow2 -c ${`write -P 0xff ${logBlockSize} 4`} ${disk}`
    await $`virsh start ${w}`
  })
  await diagnoseUntil(`BOOT_LOOP ${w}`)
})

test('the cluster is removed', async () => {
  await removeCluster(right)
})

/** Where a partition begins, in bytes, by a GPT with its 128 entries of 128 bytes each in the third sector. */
function partitionStart(disk: Buffer, label: string): number {
  for (let entry = 1024; entry < disk.length; entry += 128)
    if (disk.toString('utf16le', entry + 56, entry + 128).replace(/\0.*$/s, '') === label)
      return Number(disk.readBigUInt64LE(entry + 32)) * 512
  throw new Error(`no partition ${label}`)
}

test.run()
