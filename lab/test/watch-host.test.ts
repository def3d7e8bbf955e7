import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isChanging } from '../e2e/watch-host.ts'

const rows: [string, boolean][] = [
  ['virsh -q -c qemu:///system list --all --autostart --name; echo 1; pool-list --all', false],
  ['/usr/bin/virsh -q -c qemu:///system dumpxml lab-cp1', false],
  ['virsh -q -c qemu:///system domstats --state; autostart lab-cp1', true],
  ['virsh -q -c qemu:///system destroy lab-cp1', true],
  ['virsh undefine lab-cp1 --nvram', true],
  ['stat -c %s /var/lib/libvirt/images/a.raw', false],
  ['dd if=/a bs=2048 skip=16 count=1', false],
  ['dd if=/a of=/b', true],
  ['qemu-img info --output=json /a', false],
  ['qemu-img create -f qcow2 /a', true],
  ['rm -f -- /a', true],
]
for (const [command, changes] of rows)
  test(`${command} ${changes ? 'changes something' : 'only reads'}`, () => {
    assert.is(isChanging(command), changes)
  })

test.run()
